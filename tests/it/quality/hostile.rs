//! Texts that mean harm to the terminal they are shown on.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Sequences, halves of sequences, and what markdown or JSON might turn into one.
#[rustfmt::skip]
pub(crate) const PIECES: &[&str] = &[
    // Titles, clipboard, links, notifications, pictures, palettes, marks.
    "\u{1b}]0;stolen\u{7}", "\u{1b}]2;stolen\u{1b}\\", "\u{1b}]52;c;c3RvbGVu\u{7}", "\u{1b}]52;p;?\u{7}",
    "\u{1b}]8;;http://evil.example\u{1b}\\x\u{1b}]8;;\u{1b}\\", "\u{1b}]8;;file:///etc/passwd\u{7}x", "\u{1b}]8;id=1;javascript:alert(1)\u{7}",
    "\u{1b}]9;4;3;50\u{7}", "\u{1b}]777;notify;a;b\u{7}", "\u{1b}]1337;File=inline=1:AAAA\u{7}", "\u{1b}]4;1;?\u{7}", "\u{1b}]10;#ffffff\u{7}",
    "\u{1b}]133;A\u{7}", "\u{1b}]7;file:///\u{7}", "\u{1b}]0;never ended",
    // DCS, APC, PM, SOS; kitty pictures, sixel, terminfo, tmux passthrough.
    "\u{1b}P+q544e\u{1b}\\", "\u{1b}Pq#0;2;0;0;0\u{1b}\\", "\u{1b}Ptmux;\u{1b}\u{1b}]0;t\u{7}\u{1b}\\", "\u{1b}P$q\"p\u{1b}\\", "\u{1b}P1$r",
    "\u{1b}_Gf=100,a=T;AAAA\u{1b}\\", "\u{1b}^pm\u{1b}\\", "\u{1b}Xsos\u{1b}\\",
    // Reports, modes, movement, erasing, reset, keys, printing.
    "\u{1b}[6n", "\u{1b}[c", "\u{1b}[>c", "\u{1b}[=c", "\u{1b}[21t", "\u{1b}[8;9;9t", "\u{1b}[5i", "\u{1b}[?1049l", "\u{1b}[?1000;1006h",
    "\u{1b}[?1004h", "\u{1b}[?25l", "\u{1b}[?2004l", "\u{1b}[?2026h", "\u{1b}[2J", "\u{1b}[H", "\u{1b}[10;10H", "\u{1b}[1;1r", "\u{1b}[99A",
    "\u{1b}[!p", "\u{1b}c", "\u{1b}7", "\u{1b}8", "\u{1b}#8", "\u{1b}(0", "\u{1b})B", "\u{1b}=", "\u{1b}>", "\u{1b}D", "\u{1b}M", "\u{1b}Z",
    "\u{1b}[>1u", "\u{1b}[<u", "\u{1b}[31;1m", "\u{1b}[8m", "\u{1b}[4:3m", "\u{1b}[38;5;0;48;5;0m", "\u{1b}[0 q", "\u{1b}[200~", "\u{1b}[201~rm -rf ~\r",
    "\u{1b}", "\u{1b}[", "\u{1b}[?", "\u{1b}]", "\u{1b}P", "\u{1b}\u{1b}", "\u{1b}\\", "\u{1b}[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20;21;22;23;24;25;26;27;28;29;30;31;32;33m",
    // C1, as characters.
    "\u{9b}31m", "\u{9b}6n", "\u{9d}0;t\u{9c}", "\u{90}q\u{9c}", "\u{9e}x\u{9c}", "\u{9f}x\u{9c}", "\u{98}x\u{9c}", "\u{84}", "\u{85}", "\u{8d}", "\u{9a}", "\u{80}",
    // C0.
    "\u{0}", "\u{5}", "\u{7}", "\u{8}\u{8}\u{8}", "\u{b}", "\u{c}", "\r", "\r\n", "\n", "\t", "\u{e}", "\u{f}", "\u{11}", "\u{13}", "\u{18}", "\u{1a}", "\u{7f}",
    // Order, invisibility, width.
    "\u{202e}gpj.exe", "\u{2066}\u{2067}\u{2069}", "\u{200f}", "\u{61c}", "\u{200b}", "\u{200d}", "\u{feff}", "\u{2028}", "\u{2029}", "\u{ad}",
    "\u{e0041}\u{e007f}", "\u{fe0f}", "\u{301}\u{301}\u{301}\u{301}", "\u{fff9}a\u{fffa}b\u{fffb}", "\u{3164}", "\u{34f}", "\u{180e}", "\u{fdfd}", "\u{fffd}", "\u{ffff}", "\u{10ffff}",
    "漢字", "👩\u{200d}👩\u{200d}👧", "🇩🇪", "👍\u{1f3fd}", "ก็็็็็", "ﷺ", "\u{1f468}\u{200d}\u{1b}[2J",
    // Markdown and its entities; what becomes a control character only when it is read.
    "&#27;[2J", "&#x1b;]0;t&#7;", "&#x9b;31m", "&#155;6n", "&#0;", "\\\u{1b}[2J", "`\u{1b}[2J`", "```\n\u{1b}]0;t\u{7}\n```", "```\u{1b}[2J\n```\n",
    "[x](\u{1b}]0;t)", "[x](http://a.example/\u{7})", "[x](javascript:alert(1))", "![\u{1b}](\u{9b})", "<\u{1b}>", "<http://a.example/\u{1b}[2J>", "<!-- \u{1b}c -->",
    "| a | \u{1b}[2J |\n|-|-|\n| \u{9b} | b |\n", "# \u{1b}[2J", "- [x] \u{1b}c", "> \u{9d}0;t\u{9c}", "~~\u{1b}~~", "**\u{1b}[31m**", "[^\u{1b}]: x", "---\n",
    "\\u001b[2J", "\\x1b[2J", "\\033[2J", "^[[2J", "%1b%5d0;t", "{\"a\":\"\u{1b}\"}", "$(tput reset)", "plain words", "/etc/passwd", "https://example.com/",
];

/// Texts without an end, the same for the same seed.
pub(crate) struct Texts {
    random: StdRng,
}

impl Texts {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// A few pieces and characters in any order, at most about a hundred bytes.
    pub(crate) fn text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.random.random_range(1..=3) {
            if self.random.random_ratio(3, 4) {
                text.push_str(PIECES.choose(&mut self.random).expect("not empty"));
            } else {
                for _ in 0..self.random.random_range(1..8) {
                    text.push(self.char());
                }
            }
        }
        text
    }

    fn char(&mut self) -> char {
        let any = match self.random.random_range(0..4) {
            0 => self.random.random_range(0..0x20),
            1 => self.random.random_range(0x20..0xa0),
            2 => self.random.random_range(0..0x3000),
            _ => self.random.random_range(0..0x11_0000),
        };
        char::from_u32(any).unwrap_or('\u{1b}')
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }
}

//! Fixed texts: the samples of `/markdown`, `/unicode` and `/ansi`, and bytes that are the same on every machine.
//!
//! Pure. The escape sequences in here are data on their way through a JSON string; nothing in this room prints them.

/// An update kind that is in no version of ACP.
pub(crate) const UNKNOWN_KIND: &str = "moon_phase_update";

pub(crate) const MARKDOWN: &str = r#"# A heading

A paragraph with *emphasis*, **strong words**, ~~struck~~ and `code`, and a [link](https://example.com/a?b=c).

## Lists

1. one
2. two
   - nested
   - [x] done
   - [ ] open

> A quotation,
> of two lines.

| name | bytes |
|------|------:|
| a.rs |    12 |
| b.rs |  1834 |

```rust
/// Greets.
fn main() {
    let name = "world"; // a comment
    println!("hello, {name}");
}
```

```diff
-old line
+new line
```

---

The end.
"#;

/// A boat of 16 × 16 pixels.
pub(crate) const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAMAAAAoLQ9TAAAACVBMVEUYTnf///+1ZR3JH5KiAAAAMklEQVR42mNg\
IBYwYgqgCjFiE2BE4aMKMEIEGHEKMMIEGHEIMCIEGLG7mgkJoItgUw8AI7sAZ0T1QlAAAAAASUVORK5CYII=";

pub(crate) const UNICODE: &str = "Wide: 漢字かな交じり文 한국어 ＦＵＬＬ\n\n\
Joined: 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇯🇵\n\n\
Combining: e\u{301} a\u{308}\u{323} Z\u{351}\u{36b}\u{343}\u{36a}\u{302}\u{36b}\u{33d}\u{34f}\u{334}\n\n\
Right to left: שלום עולם and مرحبا بالعالم\n\n\
Turned around: \u{202e}gnp.exe\u{202c} and \u{2066}isolated\u{2069}\n\n\
Invisible: a\u{200b}b\u{200d}c\u{feff}d soft\u{ad}hyphen\n\n\
Ambiguous: ±×÷°·… ①②③ ─│┌┐\n\n\
Beyond the first plane: 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𠮷野家\n";

/// Each line names what it tries. A screen that lets any of them through has failed.
pub(crate) const ANSI: &str = "Colour: \u{1b}[31mred\u{1b}[0m\n\
Clear the screen: \u{1b}[2J\u{1b}[H\n\
Set the title: \u{1b}]0;stolen title\u{7}\n\
Set the clipboard: \u{1b}]52;c;cm0gLXJmIH4=\u{7}\n\
A link that lies: \u{1b}]8;;https://evil.example/\u{1b}\\https://good.example/\u{1b}]8;;\u{1b}\\\n\
Leave the alternate screen: \u{1b}[?1049l\n\
Mouse and paste modes: \u{1b}[?1000h\u{1b}[?2004l\n\
Ask the terminal to answer: \u{1b}[6n\u{1b}[c\u{1b}P$qm\u{1b}\\\n\
Reset: \u{1b}c\n\
Eight-bit controls: \u{9b}2J \u{9d}0;title\u{9c} \u{90}q\u{9c}\n\
Overwrite: harmless\rHIDDEN  \u{8}\u{8}\u{8}x\n\
Bell and shift: \u{7}\u{e}\u{f}\n\
A sequence without an end: \u{1b}]0;never closed\n\
Null: a\u{0}b delete: \u{7f}\n";

/// Bytes that are the same everywhere and for ever (splitmix64), so that their hash is known.
pub(crate) struct Bytes {
    state: u64,
}

impl Bytes {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Fills a whole buffer; a buffer whose length is a multiple of eight continues seamlessly.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }

    /// The same as lines of 63 small letters, for files that should be text.
    pub(crate) fn fill_text(&mut self, buffer: &mut [u8]) {
        self.fill(buffer);
        for (index, byte) in buffer.iter_mut().enumerate() {
            *byte = if index % 64 == 63 {
                b'\n'
            } else {
                b'a' + *byte % 26
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::hash::ContentHash;

    #[test]
    fn the_bytes_never_change() {
        let mut buffer = vec![0; 1000];
        Bytes::seeded(0).fill(&mut buffer);
        assert_eq!(buffer[..8], 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
        let mut halves = vec![0; 1000];
        let mut bytes = Bytes::seeded(0);
        bytes.fill(&mut halves[..504]);
        bytes.fill(&mut halves[504..]);
        assert_eq!(
            ContentHash::of(&buffer).to_string(),
            ContentHash::of(&halves).to_string()
        );
    }

    #[test]
    fn the_hostile_sample_is_hostile_and_the_unicode_sample_is_wide() {
        assert!(ANSI.contains("\u{1b}]52;") && ANSI.contains('\u{9b}') && ANSI.contains('\0'));
        assert!(UNICODE.contains('\u{202e}') && UNICODE.contains('\u{200d}'));
    }
}

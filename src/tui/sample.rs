//! A theme as it looks: a few lines in which every role stands, each in its own place.
//!
//! Pure.

use ratatui::text::{Line, Span};

use crate::tui::surface;
use crate::tui::theme::{Role, Theme};
use crate::tui::tty::report::Scheme;
use crate::tui::view::glyphs;

/// What is said, and as what.
const SAMPLE: &[&[(Role, &str)]] = {
    use Role as R;
    &[
        &[
            (R::User, " you"),
            (R::Dim, "  14:02"),
            (R::Text, "   why does the auth test fail?"),
        ],
        &[(R::Thought, " ▸ thought for 9 s: two tests, one clock")],
        &[
            (R::Agent, " agent"),
            (R::Text, "  It is a "),
            (R::Code, "shared clock"),
            (R::Text, ", see "),
            (R::Link, "src/clock.rs"),
        ],
        &[(R::Heading, "   What to do")],
        &[
            (R::Keyword, "     let"),
            (R::Text, " clock = "),
            (R::Name, "Clock::at"),
            (R::Text, "("),
            (R::Number, "41"),
            (R::Text, ", "),
            (R::String, "\"utc\""),
            (R::Text, ");"),
            (R::Comment, "  // no longer global"),
        ],
        &[
            (R::Tool, " edit"),
            (R::Text, " src/clock.rs  "),
            (R::Added, "+pub fn at()"),
            (R::Text, "  "),
            (R::Removed, "-pub fn global()"),
        ],
        &[
            (R::Success, " ✓ done"),
            (R::Warning, "  ! one conflict"),
            (R::Error, "  ✕ cargo test failed"),
        ],
        &[
            (R::Text, " look for a "),
            (R::Match, "match"),
            (R::Text, " and the one "),
            (R::Here, "here"),
            (R::Text, "  "),
            (R::Selection, " what is chosen "),
            (R::Accent, "  2 always allow"),
        ],
        &[(
            R::Border,
            " ────────────────────────────────────────────────────────────",
        )],
    ]
};

/// In the theme's own styles.
pub fn lines(theme: &Theme) -> Vec<Line<'static>> {
    let span = |(role, text): &(Role, &'static str)| Span::styled(*text, theme.style(*role));
    SAMPLE
        .iter()
        .map(|line| line.iter().map(span).collect())
        .collect()
}

/// As text for a terminal; `colours`: with what makes it look so, else the bare words.
pub fn written(theme: &Theme, colours: bool, ascii: bool) -> String {
    let mut text = String::new();
    for mut line in lines(theme) {
        if ascii {
            for span in &mut line.spans {
                span.content = glyphs::in_ascii(&span.content).into();
            }
        }
        if colours {
            text.push_str(&surface::written(&line));
        } else {
            text.extend(line.spans.iter().map(|span| span.content.as_ref()));
        }
        text.push('\n');
    }
    text
}

/// What it is made for, in words.
pub fn made_for(theme: &Theme) -> &'static str {
    match (theme.scheme(), theme.grounds.is_empty()) {
        (Some(Scheme::Dark), _) => "for dark grounds",
        (Some(Scheme::Light), _) => "for light grounds",
        (None, false) => "for dark and light grounds",
        (None, true) => "it does not say for which grounds",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::Depth;

    #[test]
    fn every_role_can_be_seen_in_the_sample() {
        for (role, word) in Role::ALL {
            let said = SAMPLE.iter().flat_map(|line| line.iter());
            assert!(said.clone().any(|(one, _)| *one == role), "{word}");
        }
    }

    #[test]
    fn without_colours_it_is_words_alone_and_with_them_the_same_words() {
        let theme = Theme::built_in("dracula", Depth::True);
        let bare = written(&theme, false, true);
        assert!(bare.is_ascii() && !bare.contains('\u{1b}'), "{bare}");
        let styled = written(&theme, true, true);
        assert!(
            styled.contains("\u{1b}[1;38;2;139;233;253m you"),
            "{styled:?}"
        );
        let mut words = String::new();
        for piece in styled.split("\u{1b}[") {
            words.push_str(piece.split_once('m').map_or(piece, |(sgr, rest)| {
                let is_sgr = sgr
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b';');
                if is_sgr { rest } else { piece }
            }));
        }
        assert_eq!(words, bare);
    }
}

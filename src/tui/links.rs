//! The addresses that words on the screen lead to, each with a number that a cell can carry.
//!
//! A cell of a picture has no place for an address: its number travels as the colour of a line under the text, which
//! nothing here draws, and whoever writes the picture looks it up. So cells that differ in nothing but where they lead
//! are different cells.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ratatui::style::{Color, Style};

/// Addresses that are known at once; the oldest is forgotten for a new one, and its words lead nowhere.
const MOST: usize = 4096;
/// Bytes of an address; some terminals take no more.
const LONGEST: usize = 2000;
/// The largest number that a colour holds.
const LAST: u32 = 0xff_ffff;

/// Shared by what lays out and what writes.
#[derive(Debug, Clone, Default)]
pub struct Links(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<Arc<str>, u32>,
    /// The oldest first.
    addresses: VecDeque<(u32, Arc<str>)>,
    last: u32,
}

impl Links {
    /// Words in this style that lead to this address, where that is one a browser may be given.
    pub(crate) fn style(&self, style: Style, address: &str) -> Style {
        match safe(address).and_then(|address| self.number(&address)) {
            Some(number) => style.underline_color(colour(number)),
            None => style,
        }
    }

    /// The same one for the same address, as long as it is known.
    fn number(&self, address: &str) -> Option<u32> {
        let mut known = self.lock();
        if let Some(number) = known.numbers.get(address) {
            return Some(*number);
        }
        let number = known.last + 1;
        if number > LAST {
            return None;
        }
        known.last = number;
        if known.addresses.len() >= MOST
            && let Some((_, oldest)) = known.addresses.pop_front()
        {
            known.numbers.remove(&oldest);
        }
        let address: Arc<str> = address.into();
        known.numbers.insert(address.clone(), number);
        known.addresses.push_back((number, address));
        Some(number)
    }

    /// Where it leads, unless that was forgotten.
    pub(super) fn address(&self, number: u32) -> Option<Arc<str>> {
        let known = self.lock();
        let place = known
            .addresses
            .binary_search_by_key(&number, |(number, _)| *number);
        let (_, address) = known.addresses.get(place.ok()?)?;
        Some(address.clone())
    }

    /// A panic while it was held has left it whole.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn colour(number: u32) -> Color {
    let [_, red, green, blue] = number.to_be_bytes();
    Color::Rgb(red, green, blue)
}

/// The number in a cell; 0 for words that lead nowhere.
pub(super) fn number_of(line: Color) -> u32 {
    match line {
        Color::Rgb(red, green, blue) => u32::from_be_bytes([0, red, green, blue]),
        _ => 0,
    }
}

/// An address of the web with nothing in it that could end a sequence, or be taken for a part of one.
fn safe(address: &str) -> Option<String> {
    let scheme = address
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("https://"))
        || address
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case("http://"));
    let printable = address.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme && printable && address.len() <= LONGEST).then(|| address.replace(';', "%3B"))
}

/// A text in parts, each with the address that it is, if it is one.
pub(crate) fn parts(text: &str) -> Vec<(&str, Option<&str>)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = begin(rest) {
        let end = rest[at..]
            .find(|char: char| char.is_whitespace() || "<>\"`".contains(char) || !char.is_ascii())
            .map_or(rest.len(), |end| at + end);
        let address = trimmed(&rest[at..end]);
        parts.push((&rest[..at], None));
        let leads = !address.ends_with("://");
        parts.push((address, leads.then_some(address)));
        rest = &rest[at + address.len()..];
    }
    parts.push((rest, None));
    parts.retain(|(text, _)| !text.is_empty());
    parts
}

fn begin(text: &str) -> Option<usize> {
    let found = ["https://", "http://"]
        .iter()
        .filter_map(|scheme| text.find(scheme));
    found.min()
}

/// Without what ends a sentence, or closes what was opened before it.
fn trimmed(address: &str) -> &str {
    let mut address = address;
    loop {
        let count = |sign| address.matches(sign).count();
        let odd = address.ends_with(')') && count(')') > count('(');
        let end = address.ends_with(['.', ',', ':', ';', '!', '?', '\'', ']', '*', '_']) || odd;
        if !end {
            return address;
        }
        address = &address[..address.len() - 1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(links: &Links, address: &str) -> Option<String> {
        let style = links.style(Style::new(), address);
        let number = number_of(style.underline_color.unwrap_or_default());
        links.address(number).map(|address| address.to_string())
    }

    #[test]
    fn an_address_comes_back_as_it_went_and_hostile_ones_lead_nowhere() {
        let links = Links::default();
        let table = [
            (
                "https://example.com/a?b=c#d",
                Some("https://example.com/a?b=c#d"),
            ),
            ("HTTP://example.com", Some("HTTP://example.com")),
            ("https://a/b;c", Some("https://a/b%3Bc")),
            ("file:///etc/passwd", None),
            ("javascript:alert(1)", None),
            ("https://a/\u{1b}\\\u{1b}]52;c;eA==\u{7}", None),
            ("https://a/\u{7}", None),
            ("https://a b", None),
            ("https://аpple.com", None),
            ("", None),
        ];
        for (address, leads) in table {
            assert_eq!(lead(&links, address).as_deref(), leads, "{address:?}");
        }
        let long = format!("https://a/{}", "x".repeat(LONGEST));
        assert_eq!(lead(&links, &long), None);
    }

    #[test]
    fn the_same_address_has_one_number_and_the_oldest_are_forgotten() {
        let links = Links::default();
        let first = links.style(Style::new(), "https://a/first");
        assert_eq!(links.style(Style::new(), "https://a/first"), first);
        for number in 0..MOST {
            links.style(Style::new(), &format!("https://a/{number}"));
        }
        let number = number_of(first.underline_color.unwrap());
        assert_eq!(links.address(number), None);
        assert_eq!(lead(&links, "https://a/7").as_deref(), Some("https://a/7"));
        assert_eq!(links.lock().numbers.len(), MOST);
        assert_eq!(links.address(0), None);
    }

    /// What leads somewhere in a text of an agent: the words and where to.
    fn drawn(text: &str) -> Vec<(String, String)> {
        use crate::tui::colours::Colours;
        use crate::tui::theme::{Depth, Theme};
        use crate::tui::view::block::{self, Sheet};
        use crate::tui::view::ink::Ink;

        let (links, colours) = (Links::default(), Colours::default());
        let theme = Theme::built_in("dark", Depth::Sixteen);
        let lines = |ink: Ink| {
            let mut lines = Vec::new();
            let sheet = Sheet {
                columns: 40,
                theme: &theme,
                ink: &ink,
            };
            block::draw(text, true, sheet, &mut lines);
            let spans = lines.into_iter().flat_map(|line| line.spans);
            spans
                .filter_map(|span| {
                    let number = number_of(span.style.underline_color?);
                    let address = links.address(number)?.to_string();
                    Some((span.content.into_owned(), address))
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(Ink::new(&colours)), [], "only where it is wished for");
        lines(Ink::new(&colours).with_links(Some(&links)))
    }

    #[test]
    fn words_of_an_agent_lead_where_they_say_and_nowhere_else() {
        let pair = |words: &str, address: &str| (words.to_owned(), address.to_owned());
        let (a, evil) = ("https://a.example/b", "https://evil.example/");
        assert_eq!(
            drawn("see [the page](https://a.example/b)."),
            [pair("the page", a), pair(a, a)]
        );
        assert_eq!(drawn("<https://a.example/b>"), [pair(a, a)]);
        assert_eq!(drawn("see https://a.example/b, and go"), [pair(a, a)]);
        // Words that say one address and lead to another: only what is told truly leads.
        assert_eq!(
            drawn("[https://a.example/b](https://evil.example/)"),
            [pair(evil, evil)]
        );
        assert_eq!(
            drawn("[x](file:///etc/passwd) [y](javascript:alert(1))"),
            []
        );
        assert_eq!(drawn("[x](https://a/&#27;]52;c;eA==&#7;)"), []);
        assert_eq!(drawn("`https://a.example/b` in code"), []);
        // One that goes over two lines is one.
        let long = "https://a.example/a/very/long/way/to/the/page/that/is/meant";
        let parts = drawn(long);
        let words: String = parts.iter().map(|(words, _)| words.as_str()).collect();
        assert_eq!(words, long);
        assert!(parts.len() > 1 && parts.iter().all(|(_, address)| address == long));
    }

    #[test]
    fn addresses_are_found_in_a_text_without_what_ends_the_sentence() {
        let found = |text: &'static str| -> Vec<&str> {
            let whole: String = parts(text).iter().map(|(part, _)| *part).collect();
            assert_eq!(whole, text);
            parts(text)
                .iter()
                .filter_map(|(_, address)| *address)
                .collect()
        };
        assert_eq!(
            found("see https://a.b/c, and (http://d)."),
            ["https://a.b/c", "http://d"]
        );
        assert_eq!(
            found("https://en.org/wiki/A_(b)"),
            ["https://en.org/wiki/A_(b)"]
        );
        assert_eq!(found("https://a/漢字"), ["https://a/"]);
        assert_eq!(found("nothing: http:/x, https"), [""; 0]);
        assert_eq!(found("the scheme is https://"), [""; 0]);
    }
}

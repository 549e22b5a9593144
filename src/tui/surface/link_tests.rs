//! Where words lead: a terminal that reads the bytes has every link where it was drawn, and none is left open.

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::text::Span;
use unicode_width::UnicodeWidthChar;
use vte::{Params, Parser, Perform};

use super::tests::{COLUMNS, Picture, ROWS, draw_as, pictures, small, style};
use super::*;

/// What a terminal knows of links: where each cell leads.
struct Screen {
    cells: Vec<Vec<Option<String>>>,
    at: (usize, usize),
    region: (usize, usize),
    link: Option<String>,
    opened: usize,
    closed: usize,
}

impl Screen {
    fn new() -> Self {
        let row = vec![None; usize::from(COLUMNS)];
        Self {
            cells: vec![row; usize::from(ROWS)],
            at: (0, 0),
            region: (0, usize::from(ROWS)),
            link: None,
            opened: 0,
            closed: 0,
        }
    }
}

impl Perform for Screen {
    fn print(&mut self, char: char) {
        let (column, row) = self.at;
        let wide = char.width().unwrap_or(0);
        for column in column..column + wide {
            if let Some(cell) = self.cells[row].get_mut(column) {
                cell.clone_from(&self.link);
            }
        }
        self.at.0 += wide;
    }

    fn osc_dispatch(&mut self, params: &[&[u8]], _: bool) {
        let [b"8", id, address] = params else {
            panic!("{params:?}");
        };
        if address.is_empty() {
            assert!(id.is_empty() && self.link.is_some(), "closes what is open");
            self.closed += 1;
            self.link = None;
        } else {
            assert!(
                id.starts_with(b"id=") && self.link.is_none(),
                "one at a time"
            );
            self.opened += 1;
            self.link = Some(String::from_utf8_lossy(address).into_owned());
        }
    }

    fn csi_dispatch(&mut self, params: &Params, between: &[u8], _: bool, action: char) {
        let number = |at: usize, missing: u16| {
            let found = params.iter().nth(at).and_then(|part| part.first());
            usize::from(found.copied().filter(|one| *one > 0).unwrap_or(missing))
        };
        match (between, action) {
            (b"", 'H') => self.at = (number(1, 1) - 1, number(0, 1) - 1),
            (b"", 'K') => {
                assert_eq!(self.link, None, "what is erased leads nowhere");
                self.cells[self.at.1][self.at.0..].fill(None);
            }
            (b"", 'J') => self.cells.iter_mut().for_each(|row| row.fill(None)),
            (b"", 'r') => self.region = (number(0, 1) - 1, number(1, ROWS)),
            (b"", 'S' | 'T') => {
                assert_eq!(self.link, None, "new rows lead nowhere");
                let rows = &mut self.cells[self.region.0..self.region.1];
                let by = number(0, 1).min(rows.len());
                let new = if action == 'S' {
                    rows.rotate_left(by);
                    rows.len() - by..rows.len()
                } else {
                    rows.rotate_right(by);
                    0..by
                };
                rows[new].iter_mut().for_each(|row| row.fill(None));
            }
            (b"" | b"?", 'm' | 'h' | 'l') => (),
            other => panic!("{other:?}"),
        }
    }
}

const ADDRESSES: [&str; 3] = [
    "https://a.example/",
    "https://b.example/?c",
    "http://c.example",
];

fn leads(number: u8) -> Option<&'static str> {
    ADDRESSES.get(usize::from(number).checked_sub(2)?).copied()
}

fn agree(pictures: &[Picture]) -> Result<usize, TestCaseError> {
    let links = Links::default();
    let surface = Surface::new(Vec::new(), small).leading(Some(links.clone()));
    let mut terminal = Terminal::new(surface).unwrap();
    let (mut screen, mut parser) = (Screen::new(), Parser::new());
    let linked = |number| match leads(number) {
        Some(address) => links.style(style(number % 2), address),
        None => style(number),
    };
    for picture in pictures {
        let shown = draw_as(&mut terminal, picture, &linked);
        let bytes = std::mem::take(&mut terminal.backend_mut().out);
        parser.advance(&mut screen, &bytes);
        prop_assert_eq!(screen.opened, screen.closed, "closed in the same picture");
        prop_assert_eq!(&screen.link, &None);
        for y in 0..ROWS {
            let mut covered = 0;
            for x in 0..COLUMNS {
                let cell = &shown[(x, y)];
                if covered > 0 {
                    covered -= 1;
                    continue;
                }
                covered = cell.symbol().width().saturating_sub(1);
                let wanted = links.address(number_of(cell.underline_color));
                let have = &screen.cells[usize::from(y)][usize::from(x)];
                prop_assert_eq!(have.as_deref(), wanted.as_deref(), "at {},{}", x, y);
            }
        }
    }
    Ok(screen.opened)
}

proptest! {
    #[test]
    fn every_cell_leads_where_it_was_drawn_to(pictures in pictures()) {
        agree(&pictures)?;
    }
}

#[test]
fn the_same_words_that_lead_elsewhere_are_written_again() {
    let links = Links::default();
    let surface = Surface::new(Vec::new(), small).leading(Some(links.clone()));
    let mut terminal = Terminal::new(surface).unwrap();
    let mut written = |address: &str| {
        let style = links.style(style(0), address);
        terminal
            .draw(|frame| {
                let here = Span::styled("here", style);
                frame.buffer_mut().set_span(0, 0, &here, 9);
            })
            .unwrap();
        String::from_utf8(std::mem::take(&mut terminal.backend_mut().out)).unwrap()
    };
    let first = written("https://a/");
    assert!(
        first.contains("\x1b]8;id=1;https://a/\x1b\\here\x1b]8;;\x1b\\"),
        "{first:?}"
    );
    assert_eq!(written("https://a/"), "");
    let other = written("https://b/");
    assert!(
        other.contains("\x1b]8;id=2;https://b/\x1b\\here\x1b]8;;\x1b\\"),
        "{other:?}"
    );
    // Without a way to lead anywhere nothing of it is written.
    assert!(!written("file:///etc/passwd").contains("]8;id"));
}

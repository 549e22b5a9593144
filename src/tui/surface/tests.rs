//! Whatever is drawn, a terminal that reads the bytes shows the same; and how few they are.

use std::num::NonZeroU16;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use vt100::Parser;

use super::*;

pub(super) const COLUMNS: u16 = 24;
pub(super) const ROWS: u16 = 10;

fn non_zero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

pub(super) fn small() -> io::Result<Size> {
    Ok(Size::new(COLUMNS, ROWS))
}

fn large() -> io::Result<Size> {
    Ok(Size::new(80, 40))
}

/// A picture: lines of styled words, from this line of a long text on, and perhaps a cursor.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    lines: Vec<Vec<(String, u8)>>,
    cursor: Option<(u16, u16)>,
}

pub(super) fn style(number: u8) -> Style {
    match number % 6 {
        0 => Style::new(),
        1 => Style::new().fg(Color::Red),
        2 => Style::new()
            .fg(Color::Indexed(200))
            .add_modifier(Modifier::BOLD),
        3 => Style::new().bg(Color::Blue),
        4 => Style::new().add_modifier(Modifier::REVERSED | Modifier::UNDERLINED),
        _ => Style::new().fg(Color::Rgb(1, 2, 3)).bg(Color::DarkGray),
    }
}

fn draw(terminal: &mut Terminal<Surface<Vec<u8>>>, picture: &Picture) -> Buffer {
    draw_as(terminal, picture, &style)
}

pub(super) fn draw_as(
    terminal: &mut Terminal<Surface<Vec<u8>>>,
    picture: &Picture,
    style: &dyn Fn(u8) -> Style,
) -> Buffer {
    let mut shown = Buffer::default();
    terminal
        .draw(|frame| {
            let area = frame.area();
            for (line, y) in picture.lines.iter().zip(0..area.height) {
                let spans = line
                    .iter()
                    .map(|(text, number)| Span::styled(text.as_str(), style(*number)));
                let line = Line::from(spans.collect::<Vec<_>>());
                frame.buffer_mut().set_line(0, y, &line, area.width);
            }
            if let Some(cursor) = picture.cursor {
                frame.set_cursor_position(cursor);
            }
            shown = frame.buffer_mut().clone();
        })
        .unwrap();
    shown
}

fn of(colour: Color) -> vt100::Color {
    match colour {
        Color::Reset => vt100::Color::Default,
        Color::Rgb(red, green, blue) => vt100::Color::Rgb(red, green, blue),
        Color::Indexed(number) => vt100::Color::Idx(number),
        Color::Black => vt100::Color::Idx(0),
        Color::Red => vt100::Color::Idx(1),
        Color::Green => vt100::Color::Idx(2),
        Color::Yellow => vt100::Color::Idx(3),
        Color::Blue => vt100::Color::Idx(4),
        Color::Magenta => vt100::Color::Idx(5),
        Color::Cyan => vt100::Color::Idx(6),
        Color::Gray => vt100::Color::Idx(7),
        Color::DarkGray => vt100::Color::Idx(8),
        Color::LightRed => vt100::Color::Idx(9),
        Color::LightGreen => vt100::Color::Idx(10),
        Color::LightYellow => vt100::Color::Idx(11),
        Color::LightBlue => vt100::Color::Idx(12),
        Color::LightMagenta => vt100::Color::Idx(13),
        Color::LightCyan => vt100::Color::Idx(14),
        Color::White => vt100::Color::Idx(15),
    }
}

/// What a terminal shows is what was drawn: characters, colours, attributes.
pub(super) fn agrees(screen: &vt100::Screen, buffer: &Buffer) -> Result<(), TestCaseError> {
    for y in 0..buffer.area.height {
        let mut covered = 0;
        for x in 0..buffer.area.width {
            if covered > 0 {
                covered -= 1;
                continue;
            }
            let want = &buffer[(x, y)];
            let have = screen.cell(y, x).unwrap();
            let text = if have.has_contents() {
                have.contents()
            } else {
                " "
            };
            prop_assert_eq!(text, want.symbol(), "at {},{}", x, y);
            let colours = (have.fgcolor(), have.bgcolor());
            prop_assert_eq!(colours, (of(want.fg), of(want.bg)), "at {},{}", x, y);
            let attributes = (have.bold(), have.inverse(), have.underline());
            let is = |modifier| want.modifier.contains(modifier);
            prop_assert_eq!(
                attributes,
                (
                    is(Modifier::BOLD),
                    is(Modifier::REVERSED),
                    is(Modifier::UNDERLINED)
                ),
                "at {},{}",
                x,
                y
            );
            covered = want.symbol().width().saturating_sub(1);
        }
    }
    Ok(())
}

fn lines() -> impl Strategy<Value = Vec<Vec<(String, u8)>>> {
    let word = prop_oneof![
        4 => "[a-z]{1,8} ",
        1 => Just("漢字 ".to_owned()),
        1 => Just("──┬──".to_owned()),
        1 => Just("é🦀x ".to_owned()),
        1 => Just("      ".to_owned()),
    ];
    let line = proptest::collection::vec((word, 0u8..6), 0..5);
    proptest::collection::vec(line, 16..24)
}

/// The same text, looked at from one line or another, with a line changed now and then.
pub(super) fn pictures() -> impl Strategy<Value = Vec<Picture>> {
    let look = (
        0usize..12,
        any::<bool>(),
        0usize..16,
        proptest::option::of((0..COLUMNS, 0..ROWS)),
    );
    (lines(), lines(), proptest::collection::vec(look, 1..8)).prop_map(|(one, other, looks)| {
        let picture = |(top, keeps_head, changed, cursor): (usize, bool, usize, _)| {
            let mut lines: Vec<_> = one.iter().skip(top).cloned().collect();
            lines.resize(usize::from(ROWS), Vec::new());
            if keeps_head {
                lines[0] = other[0].clone();
                lines[9] = other[1].clone();
            }
            if let Some(line) = lines.get_mut(changed) {
                *line = other[changed].clone();
            }
            Picture { lines, cursor }
        };
        looks.into_iter().map(picture).collect()
    })
}

proptest! {
    #[test]
    fn a_terminal_shows_what_was_drawn(pictures in pictures()) {
        let mut terminal = Terminal::new(Surface::new(Vec::new(), small)).unwrap();
        let mut parser = Parser::new(non_zero(ROWS), non_zero(COLUMNS), 0);
        for picture in &pictures {
            let shown = draw(&mut terminal, picture);
            parser.process(&std::mem::take(&mut terminal.backend_mut().out));
            agrees(parser.screen(), &shown)?;
            prop_assert_eq!(parser.screen().hide_cursor(), picture.cursor.is_none());
            if let Some((x, y)) = picture.cursor {
                prop_assert_eq!(parser.screen().cursor_position(), (y, x));
            }
        }
    }
}

/// A page of text between a head and a foot, `top` lines on.
fn page(top: usize) -> Picture {
    let text = |line: usize| {
        format!(
            "{line} the tide comes in at {} and goes at {}",
            line * 7,
            line * 11
        )
    };
    let mut lines = vec![vec![("a head".to_owned(), 1)]];
    lines.extend((0..38).map(|line| vec![(text(top + line), 0)]));
    lines.push(vec![("a foot".to_owned(), 1)]);
    Picture {
        lines,
        cursor: Some((3, 39)),
    }
}

fn written(terminal: &mut Terminal<Surface<Vec<u8>>>, picture: &Picture) -> usize {
    draw(terminal, picture);
    std::mem::take(&mut terminal.backend_mut().out).len()
}

#[test]
fn a_page_that_moves_by_a_line_costs_that_line() {
    let mut terminal = Terminal::new(Surface::new(Vec::new(), large)).unwrap();
    let whole = written(&mut terminal, &page(0));
    assert!(whole > 1500, "{whole}");
    for (top, most) in [(1, 90), (2, 90), (5, 200), (4, 90)] {
        let count = written(&mut terminal, &page(top));
        assert!(count <= most, "{count} bytes for {top}");
    }
    assert_eq!(written(&mut terminal, &page(4)), 0);
}

#[test]
fn a_word_at_the_end_of_a_line_costs_little_more_than_itself() {
    let mut terminal = Terminal::new(Surface::new(Vec::new(), large)).unwrap();
    let mut picture = page(0);
    picture.lines[20].truncate(0);
    written(&mut terminal, &picture);
    picture.lines[20].push(("word".to_owned(), 0));
    let count = written(&mut terminal, &picture);
    // There, the word, and back to the draft.
    assert!(count <= 20, "{count}");
}

#[test]
fn after_clearing_everything_is_written_again() {
    let mut terminal = Terminal::new(Surface::new(Vec::new(), large)).unwrap();
    let whole = written(&mut terminal, &page(0));
    let area = Rect::from((Position::ORIGIN, large().unwrap()));
    terminal.resize(area).unwrap();
    assert!(written(&mut terminal, &page(0)) >= whole);
}

#[test]
fn what_stood_under_the_second_half_of_a_wide_character_is_gone() {
    let line = |text: &str, number| Picture {
        lines: vec![vec![(text.to_owned(), number)]],
        cursor: None,
    };
    let mut terminal = Terminal::new(Surface::new(Vec::new(), small)).unwrap();
    let mut parser = Parser::new(non_zero(ROWS), non_zero(COLUMNS), 0);
    let spaces = |count: usize| " ".repeat(count);
    for picture in [
        line(&format!("{}漢", spaces(22)), 0),
        line(&format!("{}漢", spaces(21)), 1),
    ] {
        let shown = draw(&mut terminal, &picture);
        parser.process(&std::mem::take(&mut terminal.backend_mut().out));
        agrees(parser.screen(), &shown).unwrap();
    }
}

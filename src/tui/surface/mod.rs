//! The terminal as ratatui's backend, with as few bytes as will do: it knows what stands there, how it looks and where
//! the cursor is.
//!
//! A shell around pure parts. Uses no sequence but SGR, CUP, EL, ED, SU, SD, DECSTBM and DECTCEM, and
//! mode 2026 where the terminal has said that it knows it, and OSC 8 where words may lead somewhere. What is opened in a
//! picture is closed in it. Over a slow line or in
//! a multiplexer every byte is paid for: rows that moved are moved by the terminal itself (`shift`), and nothing is said
//! twice.

mod pen;
mod shift;

use std::io::{self, Write};

use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Rect, Size};
use ratatui::text::Line;
use unicode_width::UnicodeWidthStr;

use crate::tui::links::{Links, number_of};
use crate::tui::surface::pen::Pen;
use crate::tui::surface::shift::{Shift, line};

/// Cells between two changed ones that are written again rather than stepped over: a step costs as much.
const STEP: usize = 5;

/// What is at least as long, in bytes, may be seen half written.
const TORN: usize = 256;
/// Around what is to be seen at once.
const BEGINS: &[u8; 8] = b"\x1b[?2026h";
const ENDS: &[u8; 8] = b"\x1b[?2026l";

pub(super) struct Surface<W> {
    out: W,
    /// How large it is, in columns and rows.
    size: fn() -> io::Result<Size>,
    /// What stands there.
    front: Buffer,
    pen: Pen,
    /// Where the cursor is; `None` when nobody knows.
    cursor: Option<Position>,
    /// Whether it is seen; `None` when nobody knows.
    seen: Option<bool>,
    /// Whether the terminal shows at once what stands between two marks.
    marks: fn() -> bool,
    /// Where words lead; `None`: nowhere.
    links: Option<Links>,
    /// Where what is written next leads; 0: nowhere.
    link: u32,
    /// What is to be written at the next flush.
    ready: Vec<u8>,
}

impl<W: Write> Surface<W> {
    /// `size` asks how large the terminal is.
    pub(super) fn new(out: W, size: fn() -> io::Result<Size>) -> Self {
        Self {
            out,
            size,
            front: Buffer::default(),
            pen: Pen::default(),
            cursor: None,
            seen: None,
            marks: || false,
            links: None,
            link: 0,
            ready: Vec::new(),
        }
    }

    /// `marks` says whether pictures may be marked (mode 2026); asked before each.
    pub(super) fn marked(self, marks: fn() -> bool) -> Self {
        Self { marks, ..self }
    }

    /// Words lead somewhere.
    pub(super) fn leading(self, links: Option<Links>) -> Self {
        Self { links, ..self }
    }

    /// What is written from here on leads there; what nobody knows any more, nowhere.
    fn lead(&mut self, link: u32) {
        if self.link == link {
            return;
        }
        if self.link != 0 {
            self.say("\x1b]8;;\x1b\\");
            self.link = 0;
        }
        let address = self.links.as_ref().and_then(|links| links.address(link));
        if let Some(address) = address {
            self.say(&format!("\x1b]8;id={link};{address}\x1b\\"));
            self.link = link;
        }
    }

    fn say(&mut self, text: &str) {
        self.ready.extend_from_slice(text.as_bytes());
    }

    fn go(&mut self, to: Position) {
        if self.cursor == Some(to) {
            return;
        }
        match to.x {
            0 => self.say(&format!("\x1b[{}H", to.y + 1)),
            x => self.say(&format!("\x1b[{};{}H", to.y + 1, x + 1)),
        }
        self.cursor = Some(to);
    }

    /// The picture as it is to be: what stands there, with these cells changed.
    fn next<'a>(&self, content: impl Iterator<Item = (u16, u16, &'a Cell)>) -> Buffer {
        let mut next = self.front.clone();
        for (x, y, cell) in content {
            let at = Position { x, y };
            let Some(place) = next.cell_mut(at) else {
                continue;
            };
            let before = place.symbol().width();
            place.clone_from(cell);
            // What a wide character covered is seen again when it goes; ratatui says so only when it is no blank.
            cover(&mut next, at, before, &Cell::EMPTY);
            cover(&mut next, at, cell.symbol().width(), &hidden());
        }
        next
    }

    fn shift(&mut self, shift: &Shift) {
        // New rows come in the present colours.
        self.lead(0);
        self.pen.becomes(Pen::default(), &mut self.ready);
        let (top, bottom) = (shift.region.start + 1, shift.region.end);
        let (by, way) = (
            shift.by.unsigned_abs(),
            if shift.by > 0 { 'S' } else { 'T' },
        );
        self.say(&format!("\x1b[{top};{bottom}r\x1b[{by}{way}\x1b[r"));
        // Setting a region moves the cursor.
        self.cursor = None;
        shift::apply(&mut self.front, shift);
    }

    /// Writes what differs in one row.
    fn row(&mut self, next: &Buffer, row: usize) {
        let new = line(next, row);
        let old = line(&self.front, row).to_vec();
        let end = new.iter().rposition(|cell| *cell != Cell::EMPTY);
        let end = end.map_or(0, |last| last + 1);
        let mut column = 0;
        while column < new.len() {
            if new[column] == old[column] || is_hidden(&new[column]) {
                column += 1;
                continue;
            }
            // Nothing but blanks from here on, and more than one of them is new.
            if column >= end && differing(&new[column..], &old[column..]) > 3 {
                self.lead(0);
                self.pen.becomes(Pen::default(), &mut self.ready);
                self.go(place(column, row));
                self.say("\x1b[K");
                return;
            }
            self.approach(new, column, row);
            self.cell(&new[column], column, row);
            column += 1;
        }
    }

    /// Goes to a cell; a short way by writing again what stands between.
    fn approach(&mut self, line: &[Cell], column: usize, row: usize) {
        let to = place(column, row);
        let from = self.cursor.filter(|at| at.y == to.y && at.x < to.x);
        if let Some(from) = from {
            let between = &line[usize::from(from.x)..column];
            let pen = self.pen;
            let link = self.link;
            let plain = |cell: &Cell| {
                Pen::of(cell) == pen
                    && number_of(cell.underline_color) == link
                    && cell.symbol().len() == 1
            };
            if between.len() <= STEP && between.iter().all(plain) {
                for (cell, column) in between.iter().zip(usize::from(from.x)..) {
                    self.cell(cell, column, row);
                }
                return;
            }
        }
        self.go(to);
    }

    /// The cursor is there.
    fn cell(&mut self, cell: &Cell, column: usize, row: usize) {
        self.lead(number_of(cell.underline_color));
        self.pen.becomes(Pen::of(cell), &mut self.ready);
        self.say(cell.symbol());
        // Where it is behind a wide or joined character terminals disagree, and at the end of a row too.
        let plain = cell.symbol().chars().count() == 1 && cell.symbol().width() == 1;
        let last = column + 1 >= usize::from(self.front.area.width);
        self.cursor = (plain && !last).then(|| place(column + 1, row));
    }
}

/// A line with what makes it look so, for a terminal that is no screen of ours.
pub(super) fn written(line: &Line<'_>) -> String {
    let (mut pen, mut out) = (Pen::default(), Vec::new());
    for span in &line.spans {
        let mut cell = Cell::EMPTY;
        cell.set_style(line.style.patch(span.style));
        pen.becomes(Pen::of(&cell), &mut out);
        out.extend_from_slice(span.content.as_bytes());
    }
    pen.becomes(Pen::default(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Puts a cell in the columns that a character of this width covers beside its first.
fn cover(picture: &mut Buffer, at: Position, width: usize, with: &Cell) {
    for under in 1..width {
        let x =
            at.x.saturating_add(u16::try_from(under).unwrap_or(u16::MAX));
        let at = Position { x, ..at };
        if let Some(place) = picture.cell_mut(at) {
            // What is covered may have covered others itself.
            let covered = place.symbol().width();
            place.clone_from(with);
            cover(picture, at, covered, &Cell::EMPTY);
        }
    }
}

fn place(column: usize, row: usize) -> Position {
    Position {
        x: u16::try_from(column).unwrap_or(u16::MAX),
        y: u16::try_from(row).unwrap_or(u16::MAX),
    }
}

/// Stands in the columns that a wide character covers beside its first.
fn hidden() -> Cell {
    let mut cell = Cell::EMPTY;
    cell.set_symbol("");
    cell
}

fn is_hidden(cell: &Cell) -> bool {
    cell.symbol().is_empty()
}

fn differing(new: &[Cell], old: &[Cell]) -> usize {
    new.iter().zip(old).filter(|(new, old)| new != old).count()
}

impl<W: Write> Backend for Surface<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut content = content.peekable();
        if content.peek().is_none() {
            return Ok(());
        }
        if self.front.area.is_empty() {
            self.clear()?;
        }
        let next = self.next(content);
        if let Some(shift) = shift::find(&self.front, &next) {
            self.shift(&shift);
        }
        for row in 0..usize::from(next.area.height) {
            self.row(&next, row);
        }
        // Whatever ends the program finds plain letters, which lead nowhere.
        self.lead(0);
        self.pen.becomes(Pen::default(), &mut self.ready);
        self.front = next;
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        if self.seen != Some(false) {
            self.say("\x1b[?25l");
            self.seen = Some(false);
        }
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        if self.seen != Some(true) {
            self.say("\x1b[?25h");
            self.seen = Some(true);
        }
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(self.cursor.unwrap_or_default())
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.go(position.into());
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    /// Of all of it only: no part of ours clears less. Nothing is taken for known afterwards.
    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        let size = (self.size)()?;
        self.front = Buffer::empty(Rect::from((Position::ORIGIN, size)));
        self.pen = Pen::default();
        (self.cursor, self.seen) = (None, None);
        self.say("\x1b[m\x1b[r\x1b[2J");
        self.flush()
    }

    fn size(&self) -> io::Result<Size> {
        (self.size)()
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize {
            columns_rows: (self.size)()?,
            pixels: Size::default(),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.ready.is_empty() {
            return Ok(());
        }
        if self.ready.len() >= TORN && (self.marks)() {
            self.ready.splice(0..0, *BEGINS);
            self.ready.extend_from_slice(ENDS);
        }
        let written = self.out.write_all(&self.ready);
        self.ready.clear();
        written.and_then(|()| self.out.flush())
    }
}

#[cfg(test)]
mod link_tests;
#[cfg(test)]
mod recording_tests;
#[cfg(test)]
mod tests;

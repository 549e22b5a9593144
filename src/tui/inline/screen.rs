//! Where it is printed: lines, and below them the live one, rewritten in its place.
//!
//! Writes carriage returns, the end of a line erased, colours and text; nothing that moves over what was printed.

use std::io::Write;
use std::time::Instant;

use anyhow::Context;
use ratatui::layout::Size;

use crate::tui::effect::Effect;
use crate::tui::event::Event;
use crate::tui::inline::page::Page;
use crate::tui::run::Face;
use crate::tui::state::State;
use crate::tui::surface::written;
use crate::tui::view::glyphs::in_ascii;
use crate::tui::view::inline::{self, Live};
use crate::tui::view::paint::Paint;

/// To the start of the line, and nothing behind it.
const AFRESH: &str = "\r\x1b[K";

/// The run below what stands in the terminal.
pub struct Inline<W> {
    out: W,
    size: fn() -> std::io::Result<Size>,
    page: Page,
    /// What stands in the live line.
    live: Live,
}

impl<W: Write> Inline<W> {
    /// `size` says how large the terminal is now.
    pub fn new(out: W, size: fn() -> std::io::Result<Size>) -> Self {
        Self {
            out,
            size,
            page: Page::default(),
            live: Live::default(),
        }
    }
}

impl<W: Write> Face for Inline<W> {
    fn step(&mut self, state: &mut State, event: Event) -> Vec<Effect> {
        self.page.step(state, event)
    }

    fn draw(&mut self, state: &State, paint: &mut Paint) -> anyhow::Result<()> {
        paint.suit(&state.citizen);
        let ascii = paint.ascii || state.citizen.ascii();
        let plain = |text: String| if ascii { in_ascii(&text) } else { text };
        let lines = self.page.turn(state, paint);
        let live = inline::live(state, paint, usize::from(state.size.0));
        if lines.is_empty() && live == self.live {
            return Ok(());
        }
        let mut text = AFRESH.to_owned();
        for line in &lines {
            text.push_str(&plain(written(line)));
            text.push_str("\r\n");
        }
        text.push_str(&plain(written(&live.before)));
        if live.behind.width() > 0 {
            // The cursor goes where the next letter will stand.
            text.push_str(&plain(written(&live.behind)));
            text.push('\r');
            text.push_str(&plain(written(&live.before)));
        }
        self.live = live;
        let done = self.out.write_all(text.as_bytes());
        done.and_then(|()| self.out.flush())
            .context("cannot write to the terminal")
    }

    fn soon(&self) -> Option<Instant> {
        self.page.due()
    }

    fn forget(&mut self) -> anyhow::Result<Size> {
        self.live = Live::default();
        (self.size)().context("the size of the terminal is unknown")
    }
}

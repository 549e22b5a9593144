//! The line of tabs: `1 ? fix auth  2 ◐ port importer  3 ✓ docs`.
//!
//! Pure. Stands over everything while two or more runs are open. Where there is little room titles are cut, then those
//! of the others go, then the others themselves; never one that wants you.

use ratatui::text::{Line, Span};

use crate::tui::state::{State, Tier};
use crate::tui::tabs::{Sign, name};
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{fit, width};

/// No title is longer than this, in columns.
const LONG: usize = 24;
/// A title that would be shorter says nothing, or little.
const SHORT: usize = 3;
const LITTLE: usize = 6;
/// The one on the screen is known by so much of its title, and well known by so much.
const KNOWN: usize = 8;
const WELL: usize = 12;

struct Tab {
    number: usize,
    sign: Sign,
    name: String,
    /// Columns of the name.
    wide: usize,
    front: bool,
}

/// How much there is room for.
#[derive(Clone, Copy)]
struct Room {
    /// Columns of the title on the screen, and of each other.
    front: usize,
    others: usize,
    /// No space that is not needed.
    tight: bool,
}

impl Room {
    fn title(self, tab: &Tab) -> usize {
        if tab.front { self.front } else { self.others }
    }
}

impl Tab {
    fn new(number: usize, sign: Sign, name: String, front: bool) -> Self {
        Self {
            number,
            sign,
            wide: width(&name),
            name,
            front,
        }
    }
}

/// `None` where there is nothing to choose between.
pub(crate) fn is_shown(state: &State) -> bool {
    state.tabs.list.len() >= 2 && state.tier() != Tier::Tiny
}

pub(crate) fn line(state: &State, paint: &Paint, columns: usize) -> Option<Line<'static>> {
    if !is_shown(state) {
        return None;
    }
    let mut tabs = tabs(state);
    let room = fitting(&mut tabs, columns.saturating_sub(1));
    let mut spans = vec![Span::raw(" ")];
    let last = tabs.len().saturating_sub(1);
    for (index, tab) in tabs.iter().enumerate() {
        let text = words(tab, room);
        let role = match (tab.front, tab.sign) {
            (true, _) => Role::Selection,
            (false, sign) => role(sign),
        };
        spans.push(paint.span(role, text));
        if index < last {
            spans.push(Span::raw(if room.tight { " " } else { "  " }));
        }
    }
    Some(Line::from(spans))
}

fn tabs(state: &State) -> Vec<Tab> {
    let front = state.tabs.front();
    let list = state.tabs.list.iter().enumerate();
    list.filter_map(|(index, tab)| match tab {
        Some(tab) => Some(Tab::new(index + 1, tab.sign, tab.name.clone(), false)),
        None if front == Some(index) => {
            Some(Tab::new(index + 1, Sign::of(state), name(state), true))
        }
        None => None,
    })
    .collect()
}

/// The most that fits; takes away what does not.
fn fitting(tabs: &mut Vec<Tab>, columns: usize) -> Room {
    let loose = |front, others| Room {
        front,
        others,
        tight: false,
    };
    let all = (LITTLE..=LONG).rev().map(|others| loose(LONG, others));
    let less = (SHORT..=LONG).rev().map(|others| loose(WELL, others));
    let one = (WELL..=LONG).rev().map(|front| loose(front, 0));
    let mut rooms = all.chain(less).chain(one);
    if let Some(room) = rooms.find(|room| total(tabs, *room) <= columns) {
        return room;
    }
    let tight = |front| Room {
        front,
        others: 0,
        tight: true,
    };
    loop {
        let titles = (KNOWN..=LONG).rev();
        if let Some(room) = titles.map(tight).find(|room| total(tabs, *room) <= columns) {
            return room;
        }
        // The farthest from the one on the screen goes first.
        let here = tabs.iter().position(|tab| tab.front).unwrap_or(0);
        let calm = tabs.iter().enumerate();
        let calm = calm.filter(|(_, tab)| !tab.front && !tab.sign.wants_you());
        match calm.max_by_key(|(index, _)| index.abs_diff(here)) {
            Some((index, _)) => drop(tabs.remove(index)),
            None => break,
        }
    }
    // All that is left wants somebody: its own title stands in the line below too.
    let titles = (0..KNOWN).rev().map(tight);
    let fits = titles.clone().find(|room| total(tabs, *room) <= columns);
    fits.unwrap_or(tight(0))
}

/// Columns, at most.
fn total(tabs: &[Tab], room: Room) -> usize {
    let (gap, signs) = if room.tight { (1, 2) } else { (2, 3) };
    let titles = tabs.iter().map(|tab| {
        let title = tab.wide.min(room.title(tab));
        title + usize::from(title > 0)
    });
    titles.sum::<usize>() + signs * tabs.len() + gap * tabs.len().saturating_sub(1)
}

fn words(tab: &Tab, room: Room) -> String {
    let (number, sign) = (tab.number, glyph(tab.sign));
    let title = match room.title(tab) {
        0 => String::new(),
        title => format!(" {}", fit(&tab.name, title)),
    };
    match room.tight {
        true => format!("{number}{sign}{title}"),
        false => format!("{number} {sign}{title}"),
    }
}

/// As the status line and the picker show it.
fn glyph(sign: Sign) -> &'static str {
    match sign {
        Sign::Asks => "?",
        Sign::Failed => "✕",
        Sign::Conflict => "!",
        Sign::Ended | Sign::Completed => "✓",
        Sign::Works => "◐",
        Sign::Reconnects => "↻",
        Sign::Starts => "◌",
        Sign::Stopped => "■",
        Sign::Idle => "○",
    }
}

fn role(sign: Sign) -> Role {
    match sign {
        Sign::Asks | Sign::Conflict => Role::Warning,
        Sign::Failed => Role::Error,
        Sign::Ended => Role::Success,
        Sign::Works | Sign::Reconnects | Sign::Starts => Role::Accent,
        Sign::Completed | Sign::Stopped | Sign::Idle => Role::Dim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_somebody_is_never_dropped_and_the_one_on_the_screen_is_known() {
        for columns in [29, 39, 79, 119] {
            for front in 0..9 {
                for asks in (0..1_u32 << 9).step_by(7) {
                    let sign = |index| match (asks >> index) & 1 {
                        1 => Sign::Asks,
                        _ => Sign::Works,
                    };
                    let mut tabs: Vec<Tab> = (0..9)
                        .map(|index| {
                            let name = format!("a title that is long {index}");
                            Tab::new(index + 1, sign(index), name, index == front)
                        })
                        .collect();
                    let room = fitting(&mut tabs, columns);
                    assert!(total(&tabs, room) <= columns, "{columns} {front} {asks:b}");
                    for tab in &tabs {
                        let most = room.title(tab) + 3 + usize::from(room.title(tab) > 0);
                        assert!(width(&words(tab, room)) <= most);
                    }
                    let asking = tabs.iter().filter(|tab| tab.sign == Sign::Asks).count();
                    assert_eq!(asking, asks.count_ones() as usize);
                    let title = tabs.iter().any(|tab| tab.front) && room.front >= KNOWN;
                    assert!(title || asking >= 7, "{columns} {front} {asks:b}");
                }
            }
        }
    }
}

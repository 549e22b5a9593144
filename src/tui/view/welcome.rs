//! The screen before there is a run: what this is, and how far the start of the run is.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::tui::action::Action;
use crate::tui::keymap::Context;
use crate::tui::state::{Launching, Scene, State};
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::rows::{Rows, print, remark, rule};
use crate::tui::view::text::{Break, clean, clean_line, fit_end, wrap};
use crate::tui::view::{attachment, composer, menu, status};

/// The composer of a new run, and how far its start is.
pub(crate) fn draw(
    state: &State,
    paint: &Paint,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let columns = usize::from(area.width);
    let mut rows = Rows { left: area };
    status::line(state, paint, columns).render(rows.bottom(1), buffer);
    rule(paint, rows.bottom(1), buffer);
    let draft = rows.bottom(composer::height(state, area.width));
    let cursor = composer::draw(state, paint, draft, buffer);
    let over = rows.bottom(menu::height(state));
    menu::draw(state, paint, over, buffer);
    if let Some(line) = attachment::line(state, paint, columns) {
        line.render(rows.bottom(1), buffer);
    }
    let lower = rows.bottom(1);
    rule(paint, lower, buffer);
    remark(state, paint, lower, buffer);
    let lines = welcome(state, paint, columns);
    print(&lines, rows.left, buffer);
    let waits = matches!(
        state.scene,
        Scene::Composer(Launching::Running { .. }) | Scene::Opening(_)
    );
    cursor.filter(|_| !waits)
}

/// What stands over the draft, wrapped.
struct Text<'a> {
    paint: &'a Paint,
    columns: usize,
    lines: Vec<Line<'static>>,
}

impl Text<'_> {
    fn say(&mut self, role: Role, text: impl Into<String>) {
        self.say_at(" ", role, text);
    }

    fn say_at(&mut self, indent: &'static str, role: Role, text: impl Into<String>) {
        let indent = [Span::raw(indent)];
        let text = [self.paint.span(role, text)];
        self.lines
            .extend(wrap(&text, &indent, &indent, self.columns, Break::Words));
    }

    fn blank(&mut self) {
        self.lines.push(Line::default());
    }
}

fn welcome(state: &State, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let mut text = Text {
        paint,
        columns,
        lines: Vec::new(),
    };
    match &state.scene {
        Scene::Opening(at) => {
            text.blank();
            text.say(Role::Dim, format!("◌ opening run {}", at.run.short()));
        }
        Scene::Composer(Launching::Running {
            prompt,
            step,
            since,
        }) => {
            text.say(Role::User, "you");
            for line in clean(prompt).trim_end().split('\n') {
                text.say_at("   ", Role::Text, line);
            }
            text.blank();
            let seconds = since.map_or(0, |since| {
                state.now.saturating_duration_since(since).as_secs()
            });
            let time = match seconds {
                0 => String::new(),
                some => format!("  {some}s"),
            };
            text.say(Role::Accent, format!("◐ {}{time}", clean_line(step)));
        }
        Scene::Composer(launching) => greet(state, launching, &mut text),
        Scene::Picker(_) | Scene::Run(_) => (),
    }
    text.lines
}

fn greet(state: &State, launching: &Launching, text: &mut Text) {
    let room = text.columns.saturating_sub(2);
    text.say(Role::Heading, "Ashore");
    let directory = fit_end(&clean_line(&state.welcome.directory), room);
    text.say(Role::Dim, directory);
    text.blank();
    for line in &state.welcome.lines {
        text.say(Role::Text, clean_line(line));
    }
    if !state.welcome.lines.is_empty() {
        text.blank();
    }
    text.say(
        Role::Dim,
        "Write what shall be done. The first prompt starts a run in a copy of this directory; what the agent changes lands here.",
    );
    if let Launching::Failed(why) = launching {
        let submit = state.keymap.key_of(Context::Edit, Action::Submit);
        text.blank();
        text.say(Role::Error, format!("✕ {}", clean_line(why)));
        text.say(
            Role::Dim,
            format!("Nothing is lost: the prompt is below. {submit} tries again."),
        );
    }
}

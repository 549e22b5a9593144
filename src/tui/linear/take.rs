//! What a line that was typed means: an answer, a choice, an action by its name, or words for the agent.
//!
//! Pure. A name stands for the action that a key stands for on the screen.

use crossterm::event::{KeyCode, KeyModifiers};

use crate::config::keys::nearest_of;
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::event::Event;
use crate::tui::keymap::{Key, action_name};
use crate::tui::linear::tell::Teller;
use crate::tui::linear::{cell, list, standing};
use crate::tui::on::{draft, find, first, history, mention, place};
use crate::tui::palette::{self, What};
use crate::tui::state::{Focus, Pane, Popup, Scene, State};
use crate::tui::update::{act, leave, page, update};

/// Cells that a page is.
const PAGE: usize = 10;

/// What a line leads to: orders, and what is said at once.
#[derive(Debug, Default)]
pub struct Taken {
    pub effects: Vec<Effect>,
    pub lines: Vec<String>,
    /// The cells that `lines` are, for who has another way to show them.
    pub cells: Vec<usize>,
}

impl Taken {
    fn say(line: impl Into<String>) -> Self {
        Self {
            lines: vec![line.into()],
            ..Self::default()
        }
    }

    pub(crate) fn lines(lines: Vec<String>) -> Self {
        Self {
            lines,
            ..Self::default()
        }
    }
}

impl From<Vec<Effect>> for Taken {
    fn from(effects: Vec<Effect>) -> Self {
        Self {
            effects,
            ..Self::default()
        }
    }
}

/// A typed line without its end. Nothing that was typed goes by without a word.
pub fn take(state: &mut State, teller: &mut Teller, line: &str) -> Taken {
    // Whoever writes lines never browses.
    state.focus = Focus::Edit;
    let mut taken = meant(state, teller, line);
    settle(state, &mut taken);
    taken.lines.extend(teller.tell(state));
    if taken.lines.is_empty() && taken.effects.is_empty() && !line.trim().is_empty() {
        taken.lines.push("nothing has changed".to_owned());
    }
    taken
}

/// A line that begins with the name of an action.
pub(crate) fn by_name(state: &mut State, teller: &mut Teller, line: &str) -> Taken {
    let command = line.trim().trim_start_matches('/');
    let (name, rest) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    named(state, teller, name, rest.trim(), line)
}

/// A key of the terminal that is not a line: Ctrl+C.
pub fn interrupt(state: &mut State, teller: &mut Teller) -> Taken {
    let running = state
        .writing
        .here
        .as_ref()
        .is_some_and(|ran| ran.ended.is_none());
    state.popup = running.then_some(Popup::Here { back: 0 });
    let mut taken = Taken::from(act(state, Action::Interrupt));
    settle(state, &mut taken);
    taken.lines.extend(teller.tell(state));
    taken
}

fn meant(state: &mut State, teller: &mut Teller, line: &str) -> Taken {
    let words = line.trim_end();
    if let Some(command) = words.strip_prefix('/') {
        let (name, rest) = command
            .split_once(char::is_whitespace)
            .unwrap_or((command, ""));
        return named(state, teller, name, rest.trim(), words);
    }
    if state.popup.is_some() {
        return choose(state, words.trim());
    }
    if state.find.writing {
        return look_for(state, words.trim());
    }
    if state.writing.search.is_some() {
        return of_history(state, words.trim());
    }
    if let Some(at) = number(words).filter(|_| has_paths(state)) {
        state.slash = at.saturating_sub(1);
        return act(state, Action::Complete).into();
    }
    if matches!(state.scene, Scene::Picker(_)) {
        return match number(words) {
            Some(_) => open(state, words),
            None if words.is_empty() => Taken::default(),
            None => Taken::say("a number opens a run, /new_run begins a new one"),
        };
    }
    match answer(words.trim()).filter(|_| state.asking().is_some() && state.ask.writing.is_none()) {
        Some(action) => reply(state, action),
        None => write(state, words),
    }
}

fn number(words: &str) -> Option<usize> {
    words.trim().parse().ok()
}

fn has_paths(state: &State) -> bool {
    let mention = state.writing.mention.as_ref();
    mention.is_some_and(|mention| !mention.found.is_empty())
}

/// The keys that answer a question, as a line of their own.
fn answer(words: &str) -> Option<Action> {
    match words {
        "y" => Some(Action::AllowOnce),
        "a" => Some(Action::AllowAlways),
        "n" => Some(Action::Reject),
        "w" => Some(Action::RejectWhy),
        "d" => Some(Action::Details),
        number => Some(Action::Pick(number.parse().ok()?)),
    }
}

/// A question that has only just come is not answered by what was typed before it.
fn reply(state: &mut State, action: Action) -> Taken {
    if action == Action::Details {
        return details(state);
    }
    state.question.called = true;
    if !state.answers_are_awake() {
        return Taken::say("the question came while you wrote: answer again");
    }
    act(state, action).into()
}

pub(crate) fn details(state: &mut State) -> Taken {
    let told = state.asking().map(|open| list::details(state, open));
    match told {
        Some(lines) if lines.is_empty() => Taken::say("the agent gave no details"),
        Some(lines) => Taken::lines(lines),
        None => Taken::say("the agent asks nothing"),
    }
}

/// A line while something is to be chosen.
fn choose(state: &mut State, words: &str) -> Taken {
    if words.is_empty() {
        let effects = act(state, Action::Escape);
        state.popup = None;
        return effects.into();
    }
    match state.popup.clone() {
        Some(Popup::Confirm(_)) => match words {
            "y" | "yes" => act(state, Action::Yes).into(),
            "n" | "no" => act(state, Action::Escape).into(),
            _ => Taken::say("yes or no"),
        },
        Some(Popup::Choose { .. }) => match number(words).and_then(|at| at.checked_sub(1)) {
            Some(row) => {
                state.popup = Some(Popup::Choose { row });
                act(state, Action::Yes).into()
            }
            None => Taken::say("a number chooses, an empty line leaves it as it is"),
        },
        Some(Popup::Places { .. }) => match number(words).and_then(|at| at.checked_sub(1)) {
            Some(row) => {
                state.popup = None;
                place::go(state, row).into()
            }
            None => Taken::say("a number chooses, an empty line leaves it"),
        },
        Some(Popup::Review(_)) if first::deaf_until(state).is_some() => {
            Taken::say("this came while you wrote: answer again")
        }
        Some(Popup::Copy { .. } | Popup::Review(_)) => {
            let mut keys = words.chars();
            let letter = keys.next().filter(|_| keys.next().is_none());
            let key = letter.map(|char| Key::normal(KeyCode::Char(char), KeyModifiers::NONE));
            let effects = key.map(|key| update(state, Event::Key(key)));
            match effects {
                Some(effects) if state.popup.is_none() => effects.into(),
                Some(effects) if matches!(state.popup, Some(Popup::Review(_))) => effects.into(),
                _ => Taken::say("a letter of the list copies, an empty line does not"),
            }
        }
        Some(Popup::Palette(open)) => {
            let rows = palette::rows(state, &open.words);
            let row = number(words).and_then(|at| rows.into_iter().nth(at.checked_sub(1)?));
            match row.map(|row| row.what) {
                Some(What::Act(action)) => {
                    state.popup = None;
                    act(state, action).into()
                }
                Some(What::Write(command)) => {
                    state.popup = None;
                    Taken::say(format!("write it as a line: {}", command.trim()))
                }
                None => Taken::say("a number chooses, an empty line closes the list"),
            }
        }
        Some(Popup::Help { .. } | Popup::Asked { .. } | Popup::Here { .. }) | None => {
            state.popup = None;
            Taken::default()
        }
    }
}

/// Words to be looked for in what was said.
fn look_for(state: &mut State, words: &str) -> Taken {
    if words.is_empty() {
        state.find.writing = false;
        find::close(state);
        return Taken::say("nothing is looked for");
    }
    let mut effects = update(state, Event::Paste(words.to_owned()));
    // A long transcript is searched piece by piece; whoever waits for a line waits for all of it.
    let cells = state
        .session()
        .map_or(0, |session| session.transcript.cells.len());
    while state.find.is_behind(cells) {
        find::look(state);
    }
    effects.extend(press(state, KeyCode::Enter));
    effects.into()
}

fn press(state: &mut State, code: KeyCode) -> Vec<Effect> {
    update(state, Event::Key(Key::normal(code, KeyModifiers::NONE)))
}

fn of_history(state: &mut State, words: &str) -> Taken {
    if words.is_empty() {
        state.writing.search = None;
        return Taken::say("the draft is as it was");
    }
    let Some(search) = &mut state.writing.search else {
        return Taken::default();
    };
    if let Some(at) = number(words)
        .and_then(|at| at.checked_sub(1))
        .filter(|at| *at < search.found.len())
    {
        search.chosen = at;
        history::take(state);
        return Taken::default();
    }
    search.needle.clear();
    history::paste(state, words);
    Taken::default()
}

fn open(state: &mut State, words: &str) -> Taken {
    let Scene::Picker(picker) = &mut state.scene else {
        return Taken::say("the list of runs is not open: /runs opens it");
    };
    if !words.is_empty() {
        let at = number(words).and_then(|at| at.checked_sub(1));
        match at.filter(|at| *at < picker.shown().len()) {
            Some(at) => picker.selected = at,
            None => return Taken::say("there is no run of this number"),
        }
    }
    act(state, Action::Open).into()
}

/// Words for the agent, or a command on this machine.
fn write(state: &mut State, words: &str) -> Taken {
    if matches!(state.scene, Scene::Picker(_)) {
        return Taken::say("choose a run first, or /new_run");
    }
    let mut effects = Vec::new();
    if !words.is_empty() {
        effects.extend(set_aside(state));
        let fits = state.composer.insert(words);
        draft::written(state, fits);
    }
    // The whole line is there: nothing is to be completed.
    state.slash_hidden = true;
    state.writing.mention = None;
    effects.extend(act(state, Action::Submit));
    effects.into()
}

/// What stands in the draft and does not go on makes room; it can be had again from the history.
fn set_aside(state: &mut State) -> Option<Effect> {
    let goes_on = state.composer.text().ends_with(char::is_whitespace);
    if state.composer.is_empty() || goes_on {
        return None;
    }
    let words = state.composer.take();
    let is_kept = state.changing.is_some() || state.ask.writing.is_some();
    (!is_kept).then_some(Effect::SaveHistory(words))
}

/// `/name rest`; `line` is all of it.
fn named(state: &mut State, teller: &mut Teller, name: &str, rest: &str, line: &str) -> Taken {
    let ours = draft::action_of(&format!("/{name}")).or_else(|| also(name));
    let commands = state.session().map(|session| session.commands.as_slice());
    let mut commands = commands.unwrap_or_default().iter();
    let theirs = commands.any(|one| one.name.trim_start_matches('/') == name);
    match ours {
        Some(action) if rest.is_empty() || takes_words(action) || !theirs => {
            perform(state, teller, action, rest)
        }
        _ if theirs => {
            state.popup = None;
            write(state, line)
        }
        _ => match draft::named(state, &format!("/{name}")) {
            Some(action) => perform(state, teller, action, rest),
            None => match misspelt(state, name) {
                Some(sentence) => Taken::say(sentence),
                // The agent may know it, as on the screen.
                None => {
                    state.popup = None;
                    write(state, line)
                }
            },
        },
    }
}

/// Names that people look for.
pub(super) fn also(name: &str) -> Option<Action> {
    match name {
        "keys" => Some(Action::Help),
        "status" => Some(Action::Redraw),
        "cancel" => Some(Action::Escape),
        _ => None,
    }
}

/// A name that is nearly one of ours.
fn misspelt(state: &State, name: &str) -> Option<String> {
    let names = state.keymap.bindings.iter();
    let near = nearest_of(name, names.map(|one| action_name(one.action)))?;
    Some(format!(
        "there is no /{name}; did you mean /{near}? A space before the / sends the line as it is"
    ))
}

/// What may stand behind the name of this action.
fn takes_words(action: Action) -> bool {
    matches!(
        action,
        Action::Find
            | Action::SearchHistory
            | Action::Palette
            | Action::Filter
            | Action::Open
            | Action::Fold
            | Action::Copy
            | Action::Complete
            | Action::Attach
            | Action::PutBack
            | Action::Review
            | Action::Steer
            | Action::Submit
            | Action::Newline
            | Action::StepUp
            | Action::StepDown
    )
}

pub(crate) fn perform(state: &mut State, teller: &mut Teller, action: Action, rest: &str) -> Taken {
    if !rest.is_empty() && !takes_words(action) {
        return Taken::say(format!("/{} takes nothing behind it", action_name(action)));
    }
    if action.is_of_page() && page(state).is_some() {
        return act(state, action).into();
    }
    // A name is another wish than what a list waits for; to say yes or to go back is about the list.
    if !matches!(action, Action::Yes | Action::Escape | Action::Interrupt) {
        let asks = matches!(state.popup, Some(Popup::Confirm(_)));
        if asks {
            return Taken::say("yes or no first");
        }
        state.popup = None;
    }
    match action {
        Action::Help => Taken::lines(list::help(state)),
        Action::Redraw => Taken::lines(status(state, teller)),
        Action::Leader => Taken::say("here every action has a name: /help lists them"),
        Action::SwapFocus => {
            Taken::say("lines are always for writing; /top and /step_up read back")
        }
        Action::Mouse => Taken::say("there is no mouse here"),
        Action::Raw => Taken::say("what is said is always told as it was said"),
        Action::Leave => leave(state, 0).into(),
        Action::ExpandAll => {
            state.folds.all = !state.folds.all;
            Taken::say(match state.folds.all {
                true => "thoughts and what tools say are read in full from now on",
                false => "thoughts and what tools say are told in one line again",
            })
        }
        Action::Palette => {
            state.popup = Some(Popup::Palette(palette::Palette {
                words: rest.to_owned(),
                chosen: 0,
            }));
            Taken::default()
        }
        Action::Details => details(state),
        Action::Question => {
            teller.forget("question");
            act(state, action).into()
        }
        Action::Chat | Action::Tools | Action::Files | Action::Plan => pane(state, action),
        _ if is_move(state, action) => go(state, teller, action, number(rest).unwrap_or(1)),
        Action::Fold => fold(state, rest),
        _ => with_words(state, action, rest),
    }
}

/// Actions that are given something to act on.
fn with_words(state: &mut State, action: Action, rest: &str) -> Taken {
    match action {
        Action::Find => {
            let mut taken = Taken::from(act(state, action));
            if !rest.is_empty() {
                taken.effects.extend(look_for(state, rest).effects);
            }
            taken
        }
        Action::SearchHistory => {
            let effects = act(state, action);
            if !rest.is_empty() {
                history::paste(state, rest);
            }
            effects.into()
        }
        Action::Filter => {
            let Scene::Picker(picker) = &mut state.scene else {
                return Taken::say("the list of runs is not open: /runs opens it");
            };
            picker.filter = rest.to_owned();
            picker.selected = 0;
            Taken::default()
        }
        Action::Open => open(state, rest),
        Action::Copy if !rest.is_empty() => {
            let effects = act(state, action);
            let mut taken = choose(state, rest);
            state.popup = None;
            taken.effects.splice(0..0, effects);
            taken
        }
        Action::Complete if !rest.is_empty() => {
            let mut effects: Vec<Effect> = set_aside(state).into_iter().collect();
            let fits = state
                .composer
                .insert(&format!("@{}", rest.trim_start_matches('@')));
            draft::written(state, fits);
            effects.extend(mention::look(state));
            effects.into()
        }
        Action::Attach if !rest.is_empty() => write(state, &format!("/attach {rest}")),
        Action::PutBack | Action::Review => on_file(state, action, rest),
        Action::Steer | Action::Submit | Action::Newline if !rest.is_empty() => {
            let mut effects: Vec<Effect> = set_aside(state).into_iter().collect();
            let fits = state.composer.insert(rest);
            draft::written(state, fits);
            state.slash_hidden = true;
            effects.extend(act(state, action));
            effects.into()
        }
        _ => act(state, action).into(),
    }
}

fn on_file(state: &mut State, action: Action, rest: &str) -> Taken {
    let files = state.session().map_or(0, |session| session.files.len());
    let row = number(rest).and_then(|at| at.checked_sub(1));
    match row.filter(|row| *row < files) {
        Some(row) => {
            (state.pane, state.row) = (Pane::Files, row);
            act(state, action).into()
        }
        None => Taken::say("say the number of a file as the list of files has it"),
    }
}

/// How everything stands.
fn status(state: &State, teller: &mut Teller) -> Vec<String> {
    match state.attached() {
        Some(attached) => {
            teller.forget("question");
            standing::whole(state, attached)
        }
        None => {
            teller.forget("scene");
            Vec::new()
        }
    }
}

fn pane(state: &mut State, action: Action) -> Taken {
    let (pane, lines) = match action {
        Action::Tools => (Pane::Tools, list::tools(state)),
        Action::Files => (Pane::Files, list::files(state)),
        Action::Plan => (Pane::Plan, list::plan(state)),
        _ => (Pane::Chat, vec!["chat: /step_up reads back".to_owned()]),
    };
    (state.pane, state.row) = (pane, 0);
    Taken::lines(lines)
}

pub(super) fn is_move(state: &State, action: Action) -> bool {
    action.scrolls() && matches!(state.scene, Scene::Run(_)) && matches!(state.pane, Pane::Chat)
}

/// Reads the transcript from another place on: one cell, or a page of them.
fn go(state: &mut State, teller: &mut Teller, action: Action, steps: usize) -> Taken {
    let cells = state
        .session()
        .map_or(0, |session| session.transcript.cells.len());
    if cells == 0 {
        return Taken::say("nothing has been said yet");
    }
    let here = state.selected.map_or(cells, |item| item.saturating_sub(1));
    let last = cells - 1;
    let (from, to) = match action {
        Action::StepUp => (here.saturating_sub(steps), here.saturating_sub(steps)),
        Action::StepDown => (here.saturating_add(steps), here.saturating_add(steps)),
        Action::HalfUp => (here.saturating_sub(PAGE / 2), here.saturating_sub(1)),
        Action::PageUp => (here.saturating_sub(PAGE), here.saturating_sub(1)),
        Action::HalfDown => (here + 1, here + PAGE / 2),
        Action::PageDown => (here + 1, here + PAGE),
        Action::Top => (0, 0),
        _ => (last, last),
    };
    let (from, to) = (from.min(last), to.min(last));
    let upward = matches!(action, Action::HalfUp | Action::PageUp);
    let reached = if upward { from } else { to };
    state.selected = Some(reached + 1);
    teller.has_read(reached);
    let mut taken = Taken::default();
    for index in from..=to {
        taken.lines.push(format!("{} of {cells}", index + 1));
        taken.cells.push(index);
        taken.lines.extend(read(state, index));
    }
    taken
}

fn read(state: &State, index: usize) -> Vec<String> {
    let cell = state
        .session()
        .and_then(|session| session.transcript.cells.get(index));
    cell.map_or_else(Vec::new, |cell| cell::full(&cell, index + 1, &state.zone))
}

/// Reads one cell in full: the one of this number, the one that was gone to, or the newest that can be unfolded.
fn fold(state: &mut State, rest: &str) -> Taken {
    let cells = state
        .session()
        .map_or(0, |session| session.transcript.cells.len());
    let named = number(rest).and_then(|item| item.checked_sub(1));
    if !rest.is_empty() && named.is_none_or(|index| index >= cells) {
        return Taken::say(format!("say a number from 1 to {cells}"));
    }
    let selected = state.selected.and_then(|item| item.checked_sub(1));
    let index = named.or(selected).or_else(|| {
        crate::tui::on::browse::newest_foldable(state).and_then(|item| item.checked_sub(1))
    });
    match index {
        Some(index) => Taken {
            cells: vec![index],
            ..Taken::lines(read(state, index))
        },
        None => Taken::say("there is nothing to unfold"),
    }
}

/// What is a page on the screen has been read; the transcript is the place to be again.
fn settle(state: &mut State, taken: &mut Taken) {
    match state.popup {
        Some(Popup::Help { .. }) => {
            taken.lines.extend(list::help(state));
            state.popup = None;
        }
        Some(Popup::Asked { .. }) => {
            taken.lines.extend(details(state).lines);
            state.popup = None;
        }
        Some(Popup::Here { .. }) => state.popup = None,
        Some(
            Popup::Confirm(_)
            | Popup::Choose { .. }
            | Popup::Palette(_)
            | Popup::Copy { .. }
            | Popup::Places { .. }
            | Popup::Review(_),
        )
        | None => (),
    }
    state.question.details = false;
    state.leader = None;
    state.focus = Focus::Edit;
}

//! The draft: keys that edit it, and what happens when it is sent.
//!
//! Pure.

use crate::attach;
use crate::protocol::ids::{CommandId, RunId};
use crate::tui::action::Action;
use crate::tui::effect::{Effect, Plan};
use crate::tui::menu::{self, Choice};
use crate::tui::on::{attachment, browse, here, history, link, mention, question, queue, writing};
use crate::tui::state::{Launching, Popup, Scene, Scroll, State};
use crate::tui::update::{act as perform, leave, toast};

/// Does this action belong to the draft?
pub(crate) fn is_edit(action: Action) -> bool {
    matches!(
        action,
        Action::Submit
            | Action::Newline
            | Action::Left
            | Action::Right
            | Action::WordLeft
            | Action::WordRight
            | Action::LineStart
            | Action::LineEnd
            | Action::Up
            | Action::Down
            | Action::HistoryOlder
            | Action::HistoryNewer
            | Action::DeleteBack
            | Action::DeleteForward
            | Action::KillWordBack
            | Action::KillWordForward
            | Action::KillToEnd
            | Action::KillToStart
            | Action::Yank
            | Action::Undo
            | Action::Complete
            | Action::SwapFocus
    )
}

pub(crate) fn act(state: &mut State, action: Action) -> Vec<Effect> {
    if is_busy_starting(state) {
        return Vec::new();
    }
    let menu = menu::choices(state);
    match action {
        Action::DeleteBack if attachment::is_next(state) => return attachment::drop_last(state),
        Action::Submit if state.composer.continues() => (),
        Action::Submit if !menu.is_empty() && !is_whole(state, &menu) => {
            return complete(state, &menu);
        }
        Action::Submit => return submit(state),
        Action::SwapFocus | Action::Complete if !menu.is_empty() => return complete(state, &menu),
        Action::SwapFocus => {
            browse::swap(state);
            return Vec::new();
        }
        Action::Up | Action::Down if writing::step(state, action == Action::Down) => {
            return Vec::new();
        }
        Action::Up if !menu.is_empty() => {
            state.slash = state.slash.min(menu.len() - 1).saturating_sub(1);
            return Vec::new();
        }
        Action::Down if !menu.is_empty() => {
            state.slash = (state.slash + 1).min(menu.len() - 1);
            return Vec::new();
        }
        _ => edit(state, action),
    }
    changed(state);
    Vec::new()
}

fn edit(state: &mut State, action: Action) {
    let composer = &mut state.composer;
    match action {
        Action::Newline => {
            composer.insert("\n");
        }
        Action::Left => composer.left(),
        Action::Right => composer.right(),
        Action::WordLeft => composer.word_left(),
        Action::WordRight => composer.word_right(),
        Action::LineStart => composer.line_start(),
        Action::LineEnd => composer.line_end(),
        Action::Up if composer.up() => (),
        Action::Up => composer.older(),
        Action::Down if composer.down() => (),
        Action::Down => composer.newer(),
        Action::HistoryOlder => composer.older(),
        Action::HistoryNewer => composer.newer(),
        Action::DeleteBack => composer.delete_back(),
        Action::DeleteForward => composer.delete_forward(),
        Action::KillWordBack => composer.kill_word_back(),
        Action::KillWordForward => composer.kill_word_forward(),
        Action::KillToEnd => composer.kill_to_end(),
        Action::KillToStart => composer.kill_to_start(),
        Action::Yank => composer.yank(),
        Action::Undo => composer.undo(),
        _ => (),
    }
}

pub(crate) fn typed(state: &mut State, char: char) {
    if is_busy_starting(state) {
        return;
    }
    state.question.typed = Some(state.now);
    state.question.called = false;
    begin_anew(state);
    let fits = state.composer.insert(char.encode_utf8(&mut [0; 4]));
    written(state, fits);
}

/// Line ends of every kind become ours; nothing in a paste is a key.
pub(crate) fn paste(state: &mut State, text: &str) -> Vec<Effect> {
    let listens = matches!(state.scene, Scene::Run(_) | Scene::Composer(_));
    if state.popup.is_none() && listens && history::paste(state, text) {
        return Vec::new();
    }
    if state.popup.is_none() && listens && !is_busy_starting(state) {
        state.focus = crate::tui::state::Focus::Edit;
        state.question.typed = Some(state.now);
        begin_anew(state);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let fits = state.composer.paste(&text);
        written(state, fits);
    }
    Vec::new()
}

/// What is written into an empty draft is written after the question was seen.
fn begin_anew(state: &mut State) {
    state.question.over &= !state.composer.is_empty();
}

pub(crate) fn written(state: &mut State, fits: bool) {
    if fits {
        changed(state);
    } else {
        toast(state, "the draft is full: 1 MiB is the most a prompt takes");
    }
}

pub(crate) fn changed(state: &mut State) {
    state.unsaved = true;
    state.slash = 0;
    state.slash_hidden = false;
}

/// The draft to disk, if it changed since.
pub(crate) fn save(state: &mut State) -> Vec<Effect> {
    if !std::mem::take(&mut state.unsaved) {
        return Vec::new();
    }
    vec![Effect::SaveDraft {
        of: place(state),
        text: kept(state),
    }]
}

/// What comes back when this screen ends now: also the words of an answer, or of a message that is being changed,
/// before the draft that waits for them.
fn kept(state: &State) -> String {
    let words = state.composer.text();
    match (&state.changing, &state.ask.writing) {
        // As it waits it is safe in the journal.
        (Some(changing), _) if words == changing.was => changing.kept.clone(),
        (Some(changing), _) => joined(words, &changing.kept),
        (None, Some(writing)) => joined(&writing.words(words), &writing.kept),
        (None, None) => words.to_owned(),
    }
}

/// Words, and the draft that waited for them.
pub(crate) fn joined(words: &str, waiting: &str) -> String {
    match (words.trim(), waiting) {
        ("", _) => waiting.to_owned(),
        (_, "") => words.to_owned(),
        (_, _) => format!("{words}\n{waiting}"),
    }
}

/// Takes the kept draft away.
pub(crate) fn forget(state: &State) -> Effect {
    Effect::SaveDraft {
        of: place(state),
        text: String::new(),
    }
}

/// Whose draft it is: the run's, or that of the next new run.
fn place(state: &State) -> Option<RunId> {
    state.attached().map(|attached| attached.at.run.clone())
}

pub(crate) fn is_busy_starting(state: &State) -> bool {
    matches!(
        state.scene,
        Scene::Composer(Launching::Running { .. }) | Scene::Opening(_)
    )
}

/// A command is already written out.
fn is_whole(state: &State, menu: &[Choice]) -> bool {
    let text = state.composer.text();
    let listed = || menu.iter().any(|one| text[1..] == one.name);
    state.writing.mention.is_none() && (listed() || named(state, text).is_some())
}

fn complete(state: &mut State, menu: &[Choice]) -> Vec<Effect> {
    if state.writing.mention.is_some() {
        return mention::take(state);
    }
    let name = &menu[state.slash.min(menu.len() - 1)].name;
    state.composer.set(format!("/{name} "));
    state.unsaved = true;
    Vec::new()
}

fn submit(state: &mut State) -> Vec<Effect> {
    if state.ask.writing.is_some() {
        return writing::submit(state);
    }
    if state.changing.is_some() {
        return queue::submit(state);
    }
    if let Some(command) = here::command(state.composer.text()) {
        let command = command.to_owned();
        return here::submit(state, &command);
    }
    let text = state.composer.text().trim().to_owned();
    if text.is_empty() {
        return Vec::new();
    }
    if let Some(path) = attachment::path(&text) {
        return attachment::submit(state, path);
    }
    if let Some(effects) = ours(state, &text) {
        return effects;
    }
    match &state.scene {
        Scene::Composer(_) => launch(state, false),
        Scene::Run(attached) if attached.read_only => {
            toast(
                state,
                "this view is read-only: attach without --read-only to write",
            );
            Vec::new()
        }
        Scene::Run(_) => send(state).0,
        Scene::Picker(_) | Scene::Opening(_) => Vec::new(),
    }
}

/// The draft goes to the run as a message; which one it is.
pub(crate) fn send(state: &mut State) -> (Vec<Effect>, Option<CommandId>) {
    let text = taken(state);
    state.scroll = Scroll::Follow;
    let had = state.writing.attachments.len();
    let message = attachment::message(state, &text);
    let command = message.id.clone();
    let mut effects = link::step(state, attach::event::Event::Say(message));
    effects.push(Effect::SaveHistory(text));
    effects.push(forget(state));
    effects.extend(attachment::keep(state, had));
    (effects, command)
}

/// The draft is a command of ours or for this machine, not words for the agent.
pub(crate) fn is_ours(state: &State) -> bool {
    let text = state.composer.text();
    here::command(text).is_some()
        || action_of(text.trim()).is_some()
        || named(state, text.trim()).is_some()
        || attachment::path(text.trim()).is_some()
}

/// Takes the draft; what is left on disk is the caller's business.
pub(crate) fn taken(state: &mut State) -> String {
    state.unsaved = false;
    state.slash = 0;
    // An empty draft is for writing.
    if let Some(vim) = &mut state.vim {
        vim.write();
    }
    state.composer.take()
}

/// Orders the run. The draft stays on disk until the prompt has been accepted.
pub(crate) fn launch(state: &mut State, accept_size: bool) -> Vec<Effect> {
    let mut effects = save(state);
    let prompt = taken(state);
    state.scene = Scene::Composer(Launching::Running {
        prompt: prompt.clone(),
        step: "starting".to_owned(),
        since: Some(state.now),
    });
    effects.push(Effect::SaveHistory(prompt.clone()));
    effects.push(Effect::Launch(Plan {
        prompt,
        accept_size,
    }));
    effects
}

pub(crate) fn action_of(text: &str) -> Option<Action> {
    match text.strip_prefix('/')?.trim_end() {
        "find" => Some(Action::Find),
        "away" => Some(Action::Away),
        "attach" => Some(Action::Attach),
        "conflict" => Some(Action::Conflict),
        "copy" => Some(Action::Copy),
        "raw" => Some(Action::Raw),
        "palette" => Some(Action::Palette),
        "runs" => Some(Action::Runs),
        "close" => Some(Action::CloseTab),
        "stop" => Some(Action::Stop),
        "help" => Some(Action::Help),
        "detach" | "quit" => Some(Action::Leave),
        _ => None,
    }
}

/// What the draft means when it is the name of something that a key does, `/half_up`, and no command of the agent.
pub(crate) fn named(state: &State, text: &str) -> Option<Action> {
    let name = text.strip_prefix('/')?.trim_end();
    let theirs = state.session().map(|session| session.commands.as_slice());
    let mut theirs = theirs.unwrap_or_default().iter();
    if theirs.any(|command| command.name.trim_start_matches('/') == name) {
        return None;
    }
    match name {
        "mode" => Some(Action::Choose),
        _ => state.keymap.named(name),
    }
}

/// The commands that are ours; all others are the agent's.
fn ours(state: &mut State, text: &str) -> Option<Vec<Effect>> {
    let action = action_of(text).or_else(|| named(state, text))?;
    if question::is_answer(action) && state.question.over {
        let key = queue::leader(state, Action::Question);
        let why = format!("the question is newer than what you wrote: {key}, then its keys");
        toast(state, why);
        return Some(Vec::new());
    }
    taken(state);
    let mut effects = vec![forget(state)];
    effects.extend(match action {
        Action::Leave => leave(state, 0),
        _ => perform(state, action),
    });
    Some(effects)
}

/// A command that wants a word behind it; a draft that is there stays.
pub(crate) fn begin(state: &mut State, command: &str) {
    if state.composer.is_empty() {
        state.composer.set(command.to_owned());
        state.focus = crate::tui::state::Focus::Edit;
    } else {
        toast(state, format!("{command}PATH is written on an empty draft"));
    }
}

/// Puts a prompt back that did not go out.
pub(crate) fn give_back(state: &mut State, prompt: String) {
    let text = match state.composer.text() {
        "" => prompt,
        newer => format!("{prompt}\n{newer}"),
    };
    state.composer.set(text);
    state.unsaved = true;
}

/// A box that asks lies over everything.
pub(crate) fn ask(state: &mut State, confirm: crate::tui::state::Confirm) {
    state.popup = Some(Popup::Confirm(confirm));
}

/// What was being written to the run that was opened; nothing that is being written now gives way to it.
pub(crate) fn found(state: &mut State, text: String) -> Vec<Effect> {
    if state.composer.is_empty() && !text.is_empty() {
        state.composer.set(text);
    }
    Vec::new()
}

//! Which key means what, per context, as one table that the help is made from.
//!
//! The config may give an action other keys or none (`[keys.edit]`, `send = []`); what clashes then is refused with
//! both names. Pure. No key does anything that is not in the table, except that printable ones write into the draft, or are
//! vim's where those are wished for.

use std::collections::BTreeMap;
use std::fmt;

use crossterm::event::{KeyCode, KeyModifiers};

use crate::config::keys::nearest_of;
use crate::tui::action::Action;

/// A key with its modifiers, in one form: a shifted letter is the capital letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub code: KeyCode,
    pub modifiers: KeyModifiers,
}

/// Where a key is pressed. A key not found in its own context is looked up in `Everywhere`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    Everywhere,
    /// Typing into the draft.
    Edit,
    Browse,
    /// The agent asks and the answer keys are awake.
    Question,
    /// After the leader key.
    Leader,
    Picker,
    Popup,
    /// A file, change by change. These pages hear the keys of a box, too.
    Review,
    /// What an undo would do.
    Undo,
    Conflict,
    FirstLook,
    /// What can be copied.
    Copy,
}

impl Context {
    /// In the order of the help.
    pub const ALL: [(Context, &'static str); 12] = [
        (Self::Edit, "Writing"),
        (Self::Everywhere, "Everywhere"),
        (Self::Browse, "Browsing"),
        (Self::Question, "When the agent asks"),
        (Self::Leader, "After"),
        (Self::Picker, "Choosing a run"),
        (Self::Popup, "In a box like this"),
        (Self::Review, "Reviewing a file"),
        (Self::Undo, "Before an undo"),
        (Self::Conflict, "Deciding a conflict"),
        (Self::FirstLook, "At the first look into a directory"),
        (Self::Copy, "Choosing what to copy"),
    ];

    /// As the config names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Everywhere => "everywhere",
            Self::Edit => "edit",
            Self::Browse => "browse",
            Self::Question => "question",
            Self::Leader => "leader",
            Self::Picker => "picker",
            Self::Popup => "popup",
            Self::Review => "review",
            Self::Undo => "undo",
            Self::Conflict => "conflict",
            Self::FirstLook => "first_look",
            Self::Copy => "copy",
        }
    }

    /// A page that its own keys decide.
    pub fn is_page(self) -> bool {
        matches!(
            self,
            Self::Review | Self::Undo | Self::Conflict | Self::FirstLook | Self::Copy
        )
    }

    /// Printable keys write here, and mean nothing else.
    fn writes(self) -> bool {
        matches!(self, Self::Everywhere | Self::Edit)
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub context: Context,
    pub action: Action,
    pub keys: Vec<Key>,
    /// What it does, for the help.
    pub label: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keymap {
    pub bindings: Vec<Binding>,
    /// Actions are written, not pressed: hints say `/name`.
    pub by_name: bool,
}

/// A text that names no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no key; a key is written like `ctrl+j`, `alt+enter`, `f1` or `g`")]
pub struct BadKey(String);

/// A wish of the config that cannot be had. `path` is the key of the config file, `what` a whole sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct BadBinding {
    pub path: String,
    pub what: String,
}

/// Context and action as written in the config, and the keys to have.
pub type Wishes = BTreeMap<(String, String), Vec<String>>;

/// Context, action, keys, label.
type Row = (Context, Action, &'static [&'static str], &'static str);

#[rustfmt::skip]
const DEFAULTS: &[Row] = {
    use Action as A;
    use Context::{
        Browse, Conflict, Copy, Edit, Everywhere, FirstLook, Leader, Picker, Popup, Question, Review, Undo,
    };
    &[
        (Edit, A::Submit, &["enter"], "send; while the agent works: queue"),
        (Edit, A::Newline, &["ctrl+j", "alt+enter", "shift+enter"], "new line; also \\ and Enter"),
        (Edit, A::SwapFocus, &["tab"], "browse, when the draft is empty"),
        (Edit, A::Complete, &[], "complete a / command: Tab"),
        (Edit, A::Up, &["up"], "up, or an older prompt"),
        (Edit, A::Down, &["down"], "down, or a newer prompt"),
        (Edit, A::HistoryOlder, &["ctrl+p"], "older prompt"),
        (Edit, A::HistoryNewer, &["ctrl+n"], "newer prompt"),
        (Edit, A::SearchHistory, &["ctrl+r"], "search the history; again: an older one"),
        (Edit, A::Attach, &[], "a file with the message: /attach PATH"),
        (Edit, A::Editor, &["ctrl+g"], "the draft in your own editor"),
        (Edit, A::TakeBack, &["alt+up"], "change what waits; again: the one before"),
        (Edit, A::QueueNewer, &["alt+down"], "the one behind, then your draft"),
        (Edit, A::LineStart, &["ctrl+a", "home"], "start of the line"),
        (Edit, A::LineEnd, &["ctrl+e", "end"], "end of the line"),
        (Edit, A::Left, &["left", "ctrl+b"], "left"),
        (Edit, A::Right, &["right", "ctrl+f"], "right"),
        (Edit, A::WordLeft, &["alt+b", "ctrl+left", "alt+left"], "word left"),
        (Edit, A::WordRight, &["alt+f", "ctrl+right", "alt+right"], "word right"),
        (Edit, A::DeleteBack, &["backspace", "ctrl+h"], "delete back"),
        (Edit, A::DeleteForward, &["delete", "ctrl+d"], "delete forward"),
        (Edit, A::KillWordBack, &["ctrl+w", "alt+backspace"], "cut the word before"),
        (Edit, A::KillWordForward, &["alt+d"], "cut the word behind"),
        (Edit, A::KillToEnd, &["ctrl+k"], "cut to the end of the line"),
        (Edit, A::KillToStart, &["ctrl+u"], "cut to the start of the line"),
        (Edit, A::Yank, &["ctrl+y"], "put back what was cut"),
        (Edit, A::Undo, &["ctrl+_", "ctrl+/", "ctrl+7"], "undo"),
        (Everywhere, A::Escape, &["esc"], "close, set aside, cancel the turn, browse"),
        (Everywhere, A::Leave, &["ctrl+d"], "leave, with an empty draft; the run goes on"),
        (Everywhere, A::Interrupt, &["ctrl+c"], "put the draft away; twice: leave"),
        (Everywhere, A::Help, &["f1"], "these keys; also ? on an empty draft"),
        (Everywhere, A::Palette, &["f2"], "all that can be done, by name"),
        (Everywhere, A::PageUp, &["pageup"], "page up"),
        (Everywhere, A::PageDown, &["pagedown"], "page down"),
        (Everywhere, A::ExpandAll, &["ctrl+o"], "unfold everything, or fold it again"),
        (Everywhere, A::Plan, &["ctrl+t"], "plan, tools and files"),
        (Everywhere, A::NextMode, &["shift+tab"], "the agent's next mode"),
        (Everywhere, A::Raw, &["alt+r"], "raw text, to be selected by hand; and back"),
        (Everywhere, A::Redraw, &["ctrl+l"], "draw again"),
        (Everywhere, A::Suspend, &["ctrl+z"], "suspend"),
        (Everywhere, A::Leader, &["ctrl+x"], "more keys"),
        (Browse, A::SwapFocus, &["tab", "i"], "write"),
        (Browse, A::StepUp, &["up", "k"], "up"),
        (Browse, A::StepDown, &["down", "j"], "down"),
        (Browse, A::HalfUp, &["ctrl+u"], "half a page up"),
        (Browse, A::HalfDown, &["ctrl+d"], "half a page down"),
        (Browse, A::Top, &["g", "home"], "to the start"),
        (Browse, A::Bottom, &["G", "end"], "to the end, and follow"),
        (Browse, A::Fold, &["space", "enter"], "unfold or fold this one"),
        (Browse, A::MoreAround, &["+"], "more lines around what changed"),
        (Browse, A::LessAround, &["-"], "fewer lines around what changed"),
        (Browse, A::Find, &["/"], "search what was said; a regex, if it is one"),
        (Browse, A::FindNext, &["n"], "the next match"),
        (Browse, A::FindBefore, &["N"], "the match before"),
        (Browse, A::TurnBefore, &["{"], "the turn before"),
        (Browse, A::TurnNext, &["}"], "the next turn"),
        (Browse, A::Error, &["E"], "up to an error; again: the one before"),
        (Browse, A::Diff, &["D"], "up to a diff"),
        (Browse, A::File, &["F"], "to where a file was written"),
        (Browse, A::Asked, &["Q"], "the question, or one that was answered"),
        (Browse, A::Away, &["u"], "to what came while you were away"),
        (Browse, A::Copy, &["y"], "copy: answer, code, diff, command, path"),
        (Browse, A::Chat, &["c"], "chat"),
        (Browse, A::Tools, &["t"], "tools"),
        (Browse, A::Files, &["f"], "files"),
        (Browse, A::Plan, &["p"], "plan"),
        (Browse, A::PaneLeft, &["left", "h"], "pane to the left"),
        (Browse, A::PaneRight, &["right", "l"], "pane to the right"),
        (Browse, A::PutBack, &["z"], "undo a file, its turn or the run; asks first"),
        (Browse, A::Review, &["v"], "on a file: what changed; y keeps, z takes back"),
        (Browse, A::Save, &["s"], "save an image or another file to disk"),
        (Browse, A::OpenAt, &["e"], "the file in $EDITOR, at its line"),
        (Browse, A::Follow, &["A"], "follow what the agent touches, until you move"),
        (Browse, A::Conflict, &["x"], "the versions of a conflict, to decide it"),
        (Browse, A::Direction, &["m"], "mirror both ways, down, up, off"),
        (Browse, A::TabBefore, &["["], "the tab before"),
        (Browse, A::TabNext, &["]"], "the next tab"),
        (Browse, A::Palette, &[":"], "all that can be done"),
        (Browse, A::Retry, &["r"], "connect now"),
        (Browse, A::Help, &["?"], "these keys"),
        (Browse, A::Leave, &["q"], "leave; the run goes on"),
        (Question, A::Pick(1), &["1"], "pick the first; 2 to 9 the others"),
        (Question, A::Pick(2), &["2"], ""),
        (Question, A::Pick(3), &["3"], ""),
        (Question, A::Pick(4), &["4"], ""),
        (Question, A::Pick(5), &["5"], ""),
        (Question, A::Pick(6), &["6"], ""),
        (Question, A::Pick(7), &["7"], ""),
        (Question, A::Pick(8), &["8"], ""),
        (Question, A::Pick(9), &["9"], ""),
        (Question, A::MoreAnswers, &["0"], "the next nine answers, where there are more"),
        (Question, A::AllowOnce, &["y"], "allow once"),
        (Question, A::AllowAlways, &["a"], "allow always"),
        (Question, A::Reject, &["n"], "reject"),
        (Question, A::RejectWhy, &["w"], "reject and say why"),
        (Question, A::Details, &["d"], "what exactly it asks for; again: the whole screen"),
        (Leader, A::Palette, &["p"], "all that can be done"),
        (Leader, A::Question, &["a"], "bring the question back"),
        (Leader, A::RejectWhy, &["w"], "reject it and say why"),
        (Leader, A::Choose, &["k"], "mode, model, options"),
        (Leader, A::Files, &["f"], "files"),
        (Leader, A::Tools, &["t"], "tools"),
        (Leader, A::Chat, &["c"], "chat"),
        (Leader, A::Retry, &["r"], "connect now"),
        (Leader, A::Runs, &["l"], "list the runs"),
        (Leader, A::Tab(1), &["1"], "to the first tab; 2 to 9 the others"),
        (Leader, A::Tab(2), &["2"], ""),
        (Leader, A::Tab(3), &["3"], ""),
        (Leader, A::Tab(4), &["4"], ""),
        (Leader, A::Tab(5), &["5"], ""),
        (Leader, A::Tab(6), &["6"], ""),
        (Leader, A::Tab(7), &["7"], ""),
        (Leader, A::Tab(8), &["8"], ""),
        (Leader, A::Tab(9), &["9"], ""),
        (Leader, A::CloseTab, &["d"], "close this tab; the run goes on"),
        (Leader, A::CopyAnswer, &["y"], "copy the last answer"),
        (Leader, A::Steer, &["enter"], "send it now: the turn ends for it"),
        (Leader, A::QueueEarlier, &["up"], "what waits: earlier"),
        (Leader, A::QueueLater, &["down"], "later"),
        (Leader, A::QueueRemove, &["backspace"], "remove it"),
        (Leader, A::Mouse, &["m"], "the mouse wheel, on or off"),
        (Leader, A::Editor, &["ctrl+e"], "the draft in your own editor"),
        (Leader, A::Stop, &["s"], "stop the run"),
        (Leader, A::Help, &["?"], "these keys"),
        (Picker, A::StepUp, &["up", "k"], "up"),
        (Picker, A::StepDown, &["down", "j"], "down"),
        (Picker, A::HalfUp, &["ctrl+u"], "half a page up"),
        (Picker, A::HalfDown, &["ctrl+d"], "half a page down"),
        (Picker, A::Top, &["g", "home"], "to the first"),
        (Picker, A::Bottom, &["G", "end"], "to the last"),
        (Picker, A::Open, &["enter"], "attach"),
        (Picker, A::NewRun, &["n"], "new run"),
        (Picker, A::Filter, &["/"], "filter"),
        (Picker, A::Retry, &["r"], "list again"),
        (Picker, A::Palette, &[":"], "all that can be done"),
        (Picker, A::Help, &["?"], "these keys"),
        (Picker, A::Leave, &["q"], "leave"),
        (Popup, A::StepUp, &["up", "k"], "up"),
        (Popup, A::StepDown, &["down", "j"], "down"),
        (Popup, A::Top, &["g", "home"], "to the start"),
        (Popup, A::Bottom, &["G", "end"], "to the end"),
        (Popup, A::Yes, &["y", "enter"], "yes"),
        (Popup, A::Escape, &["n", "q", "?"], "no, close"),
        (Review, A::KeepChange, &["y"], "keep this change, and go on"),
        (Review, A::TakeChangeBack, &["z"], "take this change back"),
        (Review, A::ChangeNext, &["]"], "the next change"),
        (Review, A::ChangeBefore, &["["], "the change before"),
        (Undo, A::UndoNow, &["y"], "do the undo that is shown"),
        (Undo, A::UndoFile, &["f"], "look at an undo of this file alone"),
        (Undo, A::UndoTurn, &["t"], "look at an undo of its turn"),
        (Undo, A::UndoRun, &["r"], "look at an undo of the whole run"),
        (Conflict, A::KeepMine, &["1"], "keep yours"),
        (Conflict, A::TakeTheirs, &["2"], "take theirs"),
        (Conflict, A::KeepBoth, &["3"], "keep both"),
        (Conflict, A::Merge, &["4"], "merge, where both changed other lines"),
        (Conflict, A::EditBoth, &["e"], "edit both in your editor"),
        (Conflict, A::MergeTool, &["t"], "edit both in your merge tool"),
        (Conflict, A::CompareOthers, &["b"], "compare two other versions"),
        (FirstLook, A::MirrorHere, &["enter", "y"], "mirror here"),
        (FirstLook, A::IntoWorktree, &["w"], "mirror into a new git worktree"),
        (FirstLook, A::AsPatch, &["p"], "write nothing here: a patch instead"),
        (FirstLook, A::TranscriptOnly, &["n"], "write nothing here: the transcript only"),
        (Copy, A::PieceAnswer, &["a"], "copy the answer"),
        (Copy, A::PieceMessage, &["m"], "copy this message or call"),
        (Copy, A::PieceCode, &["b"], "copy its only block of code"),
        (Copy, A::PieceBlock(1), &["1"], "copy its first block of code; 2 to 9 the others"),
        (Copy, A::PieceBlock(2), &["2"], ""),
        (Copy, A::PieceBlock(3), &["3"], ""),
        (Copy, A::PieceBlock(4), &["4"], ""),
        (Copy, A::PieceBlock(5), &["5"], ""),
        (Copy, A::PieceBlock(6), &["6"], ""),
        (Copy, A::PieceBlock(7), &["7"], ""),
        (Copy, A::PieceBlock(8), &["8"], ""),
        (Copy, A::PieceBlock(9), &["9"], ""),
        (Copy, A::PieceDiff, &["d"], "copy the diff"),
        (Copy, A::PieceCommand, &["c"], "copy the command"),
        (Copy, A::PiecePath, &["p"], "copy the path"),
        (Copy, A::PieceRun, &["l"], "copy the way to this run"),
        (Copy, A::PieceAll, &["t"], "copy everything that was said"),
    ]
};

impl Default for Keymap {
    fn default() -> Self {
        let key = |text: &&str| text.parse().expect("a test reads every default key");
        Self {
            by_name: false,
            bindings: DEFAULTS
                .iter()
                .map(|(context, action, keys, label)| Binding {
                    context: *context,
                    action: *action,
                    keys: keys.iter().map(key).collect(),
                    label,
                })
                .collect(),
        }
    }
}

impl Binding {
    /// As the config names it: `edit.history_older`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.context.name(), action_name(self.action))
    }
}

/// The action's name in the config: that of the enum in small letters, `HistoryOlder` as `history_older`.
pub(crate) fn action_name(action: Action) -> String {
    let mut name = String::new();
    for char in format!("{action:?}").chars() {
        match char {
            'A'..='Z' if !name.is_empty() => {
                name.push('_');
                name.push(char.to_ascii_lowercase());
            }
            'A'..='Z' => name.push(char.to_ascii_lowercase()),
            '(' => name.push('_'),
            ')' => (),
            _ => name.push(char),
        }
    }
    name
}

impl Keymap {
    /// The built-in table with the keys of the config in place of its own.
    pub fn with(wishes: &Wishes) -> Result<Self, BadBinding> {
        let mut map = Self::default();
        let mut set = Vec::new();
        for ((context, action), keys) in wishes {
            let path = format!("{context}.{action}");
            let bad = |what| BadBinding {
                path: format!("keys.{path}"),
                what,
            };
            let Some(index) = map.bindings.iter().position(|one| one.name() == path) else {
                return Err(bad(map.unknown(&path)));
            };
            let keys: Result<Vec<Key>, BadKey> = keys.iter().map(|key| key.parse()).collect();
            let keys = keys.map_err(|error| bad(error.to_string()))?;
            let binding = &mut map.bindings[index];
            let writes = |key: &&Key| binding.context.writes() && key.written().is_some();
            if let Some(key) = keys.iter().find(writes) {
                return Err(bad(format!(
                    "`{key}` is for writing there; take a key with ctrl or alt, or a function key"
                )));
            }
            binding.keys = keys;
            set.push(index);
        }
        match set.iter().find_map(|index| map.clash(*index, &set)) {
            Some(clash) => Err(clash),
            None => Ok(map),
        }
    }

    /// One sentence for every key that was wished for everywhere and does something else somewhere: it is not heard
    /// there. Of our own keys that is known.
    pub fn shadowed(&self, wishes: &Wishes) -> Vec<String> {
        let wished = |one: &&Binding| {
            let path = (one.context.name().to_owned(), action_name(one.action));
            one.context == Context::Everywhere && wishes.contains_key(&path)
        };
        let ours = Self::default();
        let is_ours = |mine: &Binding, key: &Key| {
            let same = |one: &&Binding| one.context == mine.context && one.action == mine.action;
            let known = ours.bindings.iter().find(same);
            known.is_some_and(|known| known.keys.contains(key))
        };
        let mut told = Vec::new();
        for mine in self.bindings.iter().filter(wished) {
            // After the leader key every key is another.
            let others = self.bindings.iter().filter(|one| {
                !matches!(one.context, Context::Everywhere | Context::Leader)
                    && one.action != mine.action
            });
            for other in others {
                let both = other.keys.iter().find(|key| mine.keys.contains(key));
                let both = both.filter(|key| !is_ours(mine, key));
                told.extend(both.map(|key| {
                    format!(
                        "`{}` of `keys.{}` is not heard where `keys.{}` has it",
                        key.word(),
                        mine.name(),
                        other.name()
                    )
                }));
            }
        }
        told
    }

    fn unknown(&self, path: &str) -> String {
        let names = self
            .bindings
            .iter()
            .map(|one| format!("keys.{}", one.name()));
        let path = format!("keys.{path}");
        let hint = nearest_of(&path, names)
            .map_or_else(String::new, |near| format!(". Did you mean `{near}`?"));
        format!("there is no action `{path}`{hint}")
    }

    /// Another action of the same context that has one of its keys.
    fn clash(&self, index: usize, set: &[usize]) -> Option<BadBinding> {
        let mine = &self.bindings[index];
        let (other, theirs) = self.bindings.iter().enumerate().find(|(other, theirs)| {
            *other != index
                && theirs.context == mine.context
                && theirs.keys.iter().any(|key| mine.keys.contains(key))
        })?;
        let key = theirs.keys.iter().find(|key| mine.keys.contains(key))?;
        let whose = if set.contains(&other) {
            ""
        } else {
            " (built in)"
        };
        Some(BadBinding {
            path: format!("keys.{}", mine.name()),
            what: format!(
                "`{key}` is already used by `keys.{name}`{whose}. Unbind one: {action} = []",
                name = theirs.name(),
                action = action_name(theirs.action)
            ),
        })
    }

    /// The action of this name, `next_mode` or `everywhere.next_mode`.
    pub fn named(&self, name: &str) -> Option<Action> {
        let name = name.replace('-', "_");
        let is_meant = |one: &&Binding| action_name(one.action) == name || one.name() == name;
        self.bindings.iter().find(is_meant).map(|one| one.action)
    }

    /// What the key means here; `None` also when it means nothing anywhere.
    pub fn lookup(&self, context: Context, key: Key) -> Option<Action> {
        let find = |wanted: Context| {
            self.bindings
                .iter()
                .find(|binding| binding.context == wanted && binding.keys.contains(&key))
                .map(|binding| binding.action)
        };
        match context {
            Context::Leader => find(Context::Leader),
            Context::Everywhere
            | Context::Edit
            | Context::Browse
            | Context::Question
            | Context::Picker
            | Context::Popup => find(context).or_else(|| find(Context::Everywhere)),
            Context::Review
            | Context::Undo
            | Context::Conflict
            | Context::FirstLook
            | Context::Copy => find(context)
                .or_else(|| find(Context::Popup))
                .or_else(|| find(Context::Everywhere)),
        }
    }

    /// A way on a page, `z take this one back`; `None` when no key leads there. Who writes lines is told the letter.
    pub(crate) fn way(&self, context: Context, action: Action, words: &str) -> Option<String> {
        let key = self.letter(context, action)?;
        Some(format!("{key} {words}"))
    }

    /// The key of a page's action, also where actions are written by name: there it is one that can be written.
    pub(crate) fn letter(&self, context: Context, action: Action) -> Option<String> {
        let is_meant = |one: &&Binding| one.context == context && one.action == action;
        let keys = &self.bindings.iter().find(is_meant)?.keys;
        let written = keys.iter().find(|key| key.written().is_some());
        let key = written.filter(|_| self.by_name).or(keys.first())?;
        Some(key.to_string())
    }

    /// The first key of an action, as shown in hints.
    pub fn key_of(&self, context: Context, action: Action) -> String {
        if self.by_name {
            return format!("/{}", action_name(action));
        }
        self.bindings
            .iter()
            .find(|binding| binding.context == context && binding.action == action)
            .and_then(|binding| binding.keys.first())
            .map_or_else(String::new, Key::to_string)
    }
}

impl Key {
    /// In the one form that keys are compared in.
    pub(crate) fn normal(code: KeyCode, modifiers: KeyModifiers) -> Self {
        let known = KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT;
        let mut modifiers = modifiers & known;
        let mut code = code;
        match code {
            KeyCode::BackTab => {
                code = KeyCode::Tab;
                modifiers |= KeyModifiers::SHIFT;
            }
            KeyCode::Char(char) if modifiers.contains(KeyModifiers::CONTROL) => {
                code = KeyCode::Char(char.to_ascii_lowercase());
                modifiers -= KeyModifiers::SHIFT;
            }
            KeyCode::Char(char) if modifiers.contains(KeyModifiers::SHIFT) => {
                code = KeyCode::Char(char.to_ascii_uppercase());
                modifiers -= KeyModifiers::SHIFT;
            }
            _ => (),
        }
        Self { code, modifiers }
    }

    /// As the config has it: `ctrl+j`.
    pub fn word(&self) -> String {
        let mut word = String::new();
        for (modifier, name) in [
            (KeyModifiers::CONTROL, "ctrl+"),
            (KeyModifiers::ALT, "alt+"),
            (KeyModifiers::SHIFT, "shift+"),
        ] {
            if self.modifiers.contains(modifier) {
                word.push_str(name);
            }
        }
        match self.code {
            KeyCode::Char(' ') => word.push_str("space"),
            KeyCode::Char(char) => word.push(char),
            KeyCode::F(number) => word.push_str(&format!("f{number}")),
            code => word.push_str(&format!("{code:?}").to_lowercase()),
        }
        word
    }

    /// The character it writes, if it writes one.
    pub fn written(&self) -> Option<char> {
        match self.code {
            KeyCode::Char(char) if self.modifiers.is_empty() => Some(char),
            _ => None,
        }
    }
}

impl std::str::FromStr for Key {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let bad = || BadKey(text.to_owned());
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = text;
        while let Some((word, behind)) = rest
            .split_once('+')
            .filter(|(_, behind)| !behind.is_empty())
        {
            modifiers |= match word {
                "ctrl" => KeyModifiers::CONTROL,
                "alt" => KeyModifiers::ALT,
                "shift" => KeyModifiers::SHIFT,
                _ => return Err(bad()),
            };
            rest = behind;
        }
        let code = match rest {
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "tab" => KeyCode::Tab,
            "space" => KeyCode::Char(' '),
            "backspace" => KeyCode::Backspace,
            "delete" => KeyCode::Delete,
            "up" => KeyCode::Up,
            "down" => KeyCode::Down,
            "left" => KeyCode::Left,
            "right" => KeyCode::Right,
            "home" => KeyCode::Home,
            "end" => KeyCode::End,
            "pageup" => KeyCode::PageUp,
            "pagedown" => KeyCode::PageDown,
            _ => {
                let mut chars = rest.chars();
                match (chars.next(), chars.next(), rest.strip_prefix('f')) {
                    (Some(char), None, _) => KeyCode::Char(char),
                    (_, _, Some(number)) => KeyCode::F(number.parse().map_err(|_| bad())?),
                    _ => return Err(bad()),
                }
            }
        };
        Ok(Self::normal(code, modifiers))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, name) in [
            (KeyModifiers::CONTROL, "Ctrl+"),
            (KeyModifiers::ALT, "Alt+"),
            (KeyModifiers::SHIFT, "Shift+"),
        ] {
            if self.modifiers.contains(modifier) {
                f.write_str(name)?;
            }
        }
        let ctrl = self.modifiers.contains(KeyModifiers::CONTROL);
        match self.code {
            KeyCode::Char(' ') => f.write_str("Space"),
            KeyCode::Char(char) if ctrl => write!(f, "{}", char.to_ascii_uppercase()),
            KeyCode::Char(char) => write!(f, "{char}"),
            KeyCode::Up => f.write_str("↑"),
            KeyCode::Down => f.write_str("↓"),
            KeyCode::Left => f.write_str("←"),
            KeyCode::Right => f.write_str("→"),
            KeyCode::PageUp => f.write_str("PgUp"),
            KeyCode::PageDown => f.write_str("PgDn"),
            KeyCode::Delete => f.write_str("Del"),
            code => write!(f, "{code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        text.parse().unwrap()
    }

    #[test]
    fn no_key_means_two_things_in_one_context() {
        let map = Keymap::default();
        for (context, _) in Context::ALL {
            let mut seen: Vec<Key> = Vec::new();
            for binding in map
                .bindings
                .iter()
                .filter(|binding| binding.context == context)
            {
                for key in &binding.keys {
                    assert!(!seen.contains(key), "{key} twice in {context:?}");
                    seen.push(*key);
                }
            }
        }
    }

    fn wish(path: &str, keys: &[&str]) -> ((String, String), Vec<String>) {
        let (context, action) = path.split_once('.').unwrap();
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        ((context.to_owned(), action.to_owned()), keys)
    }

    #[test]
    fn the_config_gives_other_keys_or_none() {
        let wishes = [
            wish("edit.submit", &["ctrl+s"]),
            wish("browse.put_back", &[]),
            wish("browse.retry", &["z"]),
        ];
        let map = Keymap::with(&wishes.into()).unwrap();
        let table = [
            (Context::Edit, "ctrl+s", Some(Action::Submit)),
            (Context::Edit, "enter", None),
            (Context::Browse, "z", Some(Action::Retry)),
            (Context::Browse, "r", None),
        ];
        for (context, text, action) in table {
            assert_eq!(map.lookup(context, key(text)), action, "{context:?} {text}");
        }
        assert_eq!(map.key_of(Context::Edit, Action::Submit), "Ctrl+S");
    }

    #[test]
    fn what_cannot_be_bound_is_a_sentence() {
        let table = [
            (
                vec![wish("edit.sumbit", &["ctrl+s"])],
                "there is no action `keys.edit.sumbit`. Did you mean `keys.edit.submit`?",
            ),
            (
                vec![wish("editor.submit", &[])],
                "there is no action `keys.editor.submit`. Did you mean `keys.edit.submit`?",
            ),
            (
                vec![wish("browse.top", &["hyper+g"])],
                "`hyper+g` names no key; a key is written like `ctrl+j`, `alt+enter`, `f1` or `g`",
            ),
            (
                vec![wish("edit.submit", &["x"])],
                "`x` is for writing there; take a key with ctrl or alt, or a function key",
            ),
            (
                vec![wish("browse.put_back", &["r"])],
                "`r` is already used by `keys.browse.retry` (built in). Unbind one: retry = []",
            ),
            (
                vec![
                    wish("browse.put_back", &["w"]),
                    wish("browse.retry", &["w"]),
                ],
                "`w` is already used by `keys.browse.retry`. Unbind one: retry = []",
            ),
        ];
        for (wishes, sentence) in table {
            let wishes = wishes.into_iter().collect();
            assert_eq!(Keymap::with(&wishes).unwrap_err().to_string(), sentence);
        }
    }

    #[test]
    fn pages_have_keys_of_their_own_above_those_of_a_box() {
        let map = Keymap::default();
        let table = [
            (Context::Review, "y", Some(Action::KeepChange)),
            (Context::Review, "n", Some(Action::Escape)),
            (Context::Undo, "enter", Some(Action::Yes)),
            (Context::Conflict, "pageup", Some(Action::PageUp)),
            (Context::FirstLook, "n", Some(Action::TranscriptOnly)),
            (Context::Copy, "t", Some(Action::PieceAll)),
            (Context::Popup, "t", None),
        ];
        for (context, text, action) in table {
            assert_eq!(map.lookup(context, key(text)), action, "{context:?} {text}");
        }
        for binding in &map.bindings {
            let of_page = binding.context.is_page();
            assert_eq!(binding.action.is_of_page(), of_page, "{}", binding.name());
        }
        let wishes = [wish("conflict.keep_mine", &["2"])];
        assert_eq!(
            Keymap::with(&wishes.into()).unwrap_err().to_string(),
            "`2` is already used by `keys.conflict.take_theirs` (built in). Unbind one: take_theirs = []",
        );
    }

    #[test]
    fn a_wish_for_everywhere_that_is_not_heard_somewhere_is_told() {
        let table: [(&str, &[&str], &[&str]); 5] = [
            ("everywhere.redraw", &["f5"], &[]),
            (
                "everywhere.redraw",
                &["ctrl+w"],
                &[
                    "`ctrl+w` of `keys.everywhere.redraw` is not heard where `keys.edit.kill_word_back` has it",
                ],
            ),
            (
                "everywhere.expand_all",
                &["ctrl+e"],
                &[
                    "`ctrl+e` of `keys.everywhere.expand_all` is not heard where `keys.edit.line_end` has it",
                ],
            ),
            ("edit.submit", &["ctrl+s"], &[]),
            // Our own table has such keys on purpose.
            ("everywhere.leave", &["ctrl+d"], &[]),
        ];
        for (path, keys, told) in table {
            let wishes: Wishes = [wish(path, keys)].into();
            let map = Keymap::with(&wishes).unwrap();
            assert_eq!(map.shadowed(&wishes), told, "{path}");
        }
    }

    #[test]
    fn every_key_is_read_back_from_its_word() {
        for binding in Keymap::default().bindings {
            for bound in binding.keys {
                assert_eq!(bound.word().parse(), Ok(bound), "{}", bound.word());
            }
        }
    }

    #[test]
    fn every_action_has_one_name_in_the_config() {
        let names: Vec<String> = Keymap::default()
            .bindings
            .iter()
            .map(Binding::name)
            .collect();
        let mut once = names.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), names.len());
        for name in [
            "edit.history_older",
            "question.pick_1",
            "leader.copy_answer",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn a_context_comes_before_everywhere() {
        let map = Keymap::default();
        let table = [
            (Context::Edit, "ctrl+d", Some(Action::DeleteForward)),
            (Context::Browse, "ctrl+d", Some(Action::HalfDown)),
            (Context::Question, "ctrl+d", Some(Action::Leave)),
            (Context::Edit, "q", None),
            (Context::Browse, "q", Some(Action::Leave)),
            (Context::Browse, "G", Some(Action::Bottom)),
            (Context::Leader, "esc", None),
            (Context::Question, "3", Some(Action::Pick(3))),
        ];
        for (context, text, action) in table {
            assert_eq!(map.lookup(context, key(text)), action, "{context:?} {text}");
        }
    }

    #[test]
    fn a_key_from_the_terminal_takes_the_form_of_the_table() {
        let table = [
            (KeyCode::Char('g'), KeyModifiers::SHIFT, "G"),
            (KeyCode::Char('G'), KeyModifiers::SHIFT, "G"),
            (
                KeyCode::Char('J'),
                KeyModifiers::CONTROL | KeyModifiers::SHIFT,
                "ctrl+j",
            ),
            (KeyCode::BackTab, KeyModifiers::NONE, "shift+tab"),
            (KeyCode::F(1), KeyModifiers::NONE, "f1"),
            (KeyCode::Char('+'), KeyModifiers::NONE, "+"),
        ];
        for (code, modifiers, text) in table {
            assert_eq!(Key::normal(code, modifiers), key(text));
        }
        assert!("hyper+x".parse::<Key>().is_err());
        assert!("".parse::<Key>().is_err());
    }
}

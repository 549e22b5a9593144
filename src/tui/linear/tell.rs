//! What has become otherwise, told once.
//!
//! Pure: compares the state with what has been told of it.

use std::collections::BTreeMap;

use crate::attach::state::{Attached, Link};
use crate::protocol::ids::{RunId, Seq};
use crate::session::cells::Kind;
use crate::session::state::{FileEntry, Turn};
use crate::session::transcript::Body;
use crate::tui::linear::cell::{begun, brief, full, lines, prefixed};
use crate::tui::linear::{list, standing};
use crate::tui::state::{Launching, Pane, Popup, Scene, State, Toast};
use crate::tui::view::head;
use crate::tui::view::text::{clean, clean_line};

/// What has been told.
#[derive(Debug, Default)]
pub struct Teller {
    out: Vec<String>,
    /// The mark of what was last told about each thing.
    told: BTreeMap<&'static str, String>,
    toasts: Vec<Toast>,
    run: Option<RunId>,
    cells: Cells,
    /// Up to this line of the journal files have been told.
    files: Seq,
    /// Which command on this machine, and how many of its lines.
    here: (u64, usize),
}

/// How far the transcript has been told.
#[derive(Debug, Default)]
struct Cells {
    began: bool,
    /// The first cell that has not been looked at.
    next: usize,
    /// Those before it that have not ended, with the text of theirs that has been told.
    open: BTreeMap<usize, String>,
    /// Whose text was the last line of all.
    speaking: Option<usize>,
}

impl Teller {
    /// What is to be said now.
    pub fn tell(&mut self, state: &State) -> Vec<String> {
        self.scene(state);
        match &state.scene {
            Scene::Run(attached) => self.run(state, attached),
            Scene::Picker(_) | Scene::Composer(_) | Scene::Opening(_) => self.run = None,
        }
        self.local(state);
        self.toasts(state);
        self.lists(state);
        self.lines_once("history", list::history(state));
        self.lines_once("paths", list::paths(state));
        self.lines_once("attached", list::attached(state));
        self.draft(state);
        std::mem::take(&mut self.out)
    }

    /// The same without the transcript, the question and the draft, for a face that shows those itself.
    pub(crate) fn beside(&mut self, state: &State) -> Vec<String> {
        match &state.scene {
            Scene::Run(attached) => {
                self.scene(state);
                if self.stands(state, attached) {
                    self.cells.began = true;
                    self.files(attached);
                }
                let wanted = state.ask.writing.as_ref().map(list::wanted);
                self.lines_once("wanted", wanted.unwrap_or_default());
                if state.find.is_open() && !state.find.writing {
                    self.look(state);
                }
            }
            Scene::Composer(launching) => {
                if !matches!(launching, Launching::Running { .. }) {
                    self.scene(state);
                }
                self.run = None;
            }
            Scene::Picker(_) | Scene::Opening(_) => self.run = None,
        }
        self.local(state);
        self.toasts(state);
        if !matches!(state.popup, Some(Popup::Palette(_))) {
            self.lists(state);
        }
        let mut told = std::mem::take(&mut self.out);
        told.retain(|line| line != list::CHOOSE);
        told
    }

    /// This is told again although it has not changed.
    pub(crate) fn forget(&mut self, about: &'static str) {
        self.told.remove(about);
    }

    /// This cell has been read: going to it is no news.
    pub(crate) fn has_read(&mut self, index: usize) {
        self.told.insert("selected", format!("{:?}", Some(index)));
    }

    fn once(&mut self, about: &'static str, mark: String, lines: impl IntoIterator<Item = String>) {
        if self.told.get(about) == Some(&mark) {
            return;
        }
        self.told.insert(about, mark);
        for line in lines {
            self.say(line);
        }
    }

    /// What is told when there is something to tell, and again when that comes back.
    fn lines_once(&mut self, about: &'static str, lines: Vec<String>) {
        self.once(about, lines.concat(), lines);
    }

    fn scene(&mut self, state: &State) {
        let lines = match &state.scene {
            Scene::Picker(picker) => list::runs(state, picker),
            Scene::Composer(Launching::No) => welcome(state),
            Scene::Composer(Launching::Running { step, .. }) => {
                vec![format!("starting: {}", clean_line(step))]
            }
            Scene::Composer(Launching::Failed(why)) => {
                vec![format!("not started: {}", clean_line(why))]
            }
            Scene::Opening(at) => vec![format!("opening run {}", at.run.short())],
            Scene::Run(attached) => {
                let reads = if attached.read_only {
                    ", read-only"
                } else {
                    ""
                };
                let name = head::name(attached);
                let run = attached.at.run.short();
                // Its name may change; that it is another run is told.
                let line = format!("run {run}: {name}{reads}");
                self.once("scene", format!("run {run}"), [line]);
                return;
            }
        };
        self.lines_once("scene", lines);
    }

    fn run(&mut self, state: &State, attached: &Attached) {
        if self.stands(state, attached) {
            self.begin(attached);
            self.transcript(state, attached);
            self.files(attached);
            self.asked(state);
        }
    }

    /// How things stand. False while what was said before is still being read.
    fn stands(&mut self, state: &State, attached: &Attached) -> bool {
        if self.run.as_ref() != Some(&attached.at.run) {
            let scene = self.told.remove("scene");
            self.told.clear();
            self.told.extend(scene.map(|scene| ("scene", scene)));
            self.cells = Cells::default();
            self.run = Some(attached.at.run.clone());
        }
        for (about, mark, lines) in standing::all(state, attached) {
            self.once(about, mark, lines);
        }
        if !self.cells.began && matches!(attached.link, Link::CatchingUp { .. }) {
            return false;
        }
        let away = state.away.mark.as_ref();
        let away = away.map(|mark| format!("{}; /away goes there", mark.words));
        self.lines_once("away", away.into_iter().collect());
        if !self.cells.began {
            self.know_files(attached);
        }
        true
    }

    /// Of what was said before only the last turn is told.
    fn begin(&mut self, attached: &Attached) {
        if self.cells.began {
            return;
        }
        let cells = &attached.session.transcript.cells;
        let from = cells.labels().rposition(|label| label.kind == Kind::User);
        let from = from.unwrap_or(0);
        if from > 0 {
            let words = format!("earlier messages and calls: {from}; /top goes to the first");
            self.out.push(words);
        }
        self.cells.began = true;
        self.cells.next = from;
    }

    /// Files of before are no news.
    fn know_files(&mut self, attached: &Attached) {
        let files = attached.session.files.iter();
        self.files = files.map(|file| file.seq).max().unwrap_or_default();
    }

    fn transcript(&mut self, state: &State, attached: &Attached) {
        let cells = &attached.session.transcript.cells;
        if cells.len() < self.cells.next {
            // Another journal than the one that was read.
            self.cells.next = cells.len();
            self.cells.open.clear();
        }
        let waiting: Vec<usize> = self.cells.open.keys().copied().collect();
        let new = self.cells.next..cells.len();
        for index in waiting.into_iter().chain(new) {
            self.cell(state, attached, index);
        }
        self.cells.next = cells.len();
    }

    /// Tells what there is to tell of a cell; it stays open until it has ended.
    fn cell(&mut self, state: &State, attached: &Attached, index: usize) {
        let session = &attached.session;
        let Some(cell) = session.transcript.cells.get(index) else {
            return;
        };
        let working = matches!(session.turn, Turn::Working { .. });
        let told = self.cells.open.remove(&index);
        match &cell.body {
            Body::Agent { text, open } => {
                return self.speak(index, text, told.unwrap_or_default(), !(*open && working));
            }
            Body::Thought { open, ended, .. } if *open && ended.is_none() && working => {
                self.cells.open.insert(index, String::new());
                return;
            }
            Body::Tool(tool) if !tool.is_over() => {
                if told.is_none() {
                    self.say(begun(tool));
                }
                if working && !tool.abandoned {
                    self.cells.open.insert(index, String::new());
                }
                return;
            }
            _ => (),
        }
        let lines = if state.folds.all {
            full(&cell, index + 1, &state.zone)
        } else {
            brief(&cell, index + 1, &state.zone)
        };
        for line in lines {
            self.say(line);
        }
    }

    fn say(&mut self, line: String) {
        self.cells.speaking = None;
        self.out.push(line);
    }

    /// The agent's words line by line: a line is told when it is whole.
    fn speak(&mut self, index: usize, text: &str, told: String, over: bool) {
        let mut told = told;
        let mut prefix = if self.cells.speaking == Some(index) {
            ""
        } else {
            "agent: "
        };
        if !text.starts_with(told.as_str()) {
            told.clear();
            prefix = "agent, corrected: ";
        }
        let new = &text[told.len()..];
        let whole = if over {
            new.len()
        } else {
            new.rfind('\n').map_or(0, |at| at + 1)
        };
        for line in lines(&new[..whole]) {
            self.out.push(format!("{prefix}{line}"));
            self.cells.speaking = Some(index);
            prefix = "";
        }
        if !over {
            told.push_str(&new[..whole]);
            self.cells.open.insert(index, told);
        }
    }

    /// A file is received when it has been decided here; before that it is only known.
    fn files(&mut self, attached: &Attached) {
        let mirrors = attached.mirrored && attached.mirror.direction.is_down();
        let until = if mirrors {
            attached.mirror.settled
        } else {
            attached.session.last
        };
        let files = attached.session.files.iter();
        let mut new: Vec<&FileEntry> = files
            .filter(|file| file.seq > self.files && file.seq <= until)
            .collect();
        new.sort_by_key(|file| file.seq);
        for file in new {
            self.files = file.seq;
            let path = clean_line(&file.path);
            let turn = file
                .turn
                .map_or_else(String::new, |turn| format!(" (turn {turn})"));
            let in_conflict = attached
                .mirror
                .conflicts
                .iter()
                .any(|one| one.path == file.path);
            let held = attached.mirror.held.iter();
            let held = held.filter(|_| mirrors).find(|one| one.path == file.path);
            if let Some(held) = held.filter(|_| file.failed.is_none() && !file.by_user) {
                let why = clean_line(&held.reason);
                self.say(format!("file not put here yet: {path}{turn}: {why}"));
                continue;
            }
            self.say(match (&file.failed, file.by_user) {
                (Some(why), _) => format!("file failed: {path}: {}", clean_line(why)),
                (None, true) => format!("file taken by the agent's side: {path}"),
                (None, false) if in_conflict => format!("file in conflict: {path}{turn}"),
                (None, false) if mirrors => format!("file received: {path}{turn}"),
                (None, false) => format!("file changed there: {path}{turn}"),
            });
        }
    }

    fn asked(&mut self, state: &State) {
        let wanted = state.ask.writing.as_ref().map(list::wanted);
        let writes = wanted.is_some();
        self.lines_once("wanted", wanted.unwrap_or_default());
        match state.asking().filter(|_| !writes) {
            Some(open) => {
                let mark = open.request.clone();
                self.once("question", mark, list::question(state, open));
            }
            None => self.once("question", String::new(), []),
        }
        let is_open = state.find.pattern.is_some();
        if is_open {
            self.look(state);
        } else {
            let writes = state.find.writing;
            let lines = writes.then(|| "look for>".to_owned());
            self.once("find", writes.to_string(), lines);
        }
        self.selected(state, is_open);
    }

    /// The match that was gone to.
    fn look(&mut self, state: &State) {
        let at = state.find.here.map(|here| (here.cell, here.nth));
        let mark = format!("{at:?} {}", state.find.words);
        self.once("find", mark, found(state));
    }

    /// The cell that was gone to is read; one that holds a match has been told by that.
    fn selected(&mut self, state: &State, finds: bool) {
        let session = state.session();
        let index = state.selected.and_then(|item| item.checked_sub(1));
        let cell = session.zip(index);
        let cell = cell.and_then(|(session, index)| session.transcript.cells.get(index));
        let lines = match (cell, index) {
            (Some(cell), Some(index)) if !finds => full(&cell, index + 1, &state.zone),
            _ => Vec::new(),
        };
        self.once("selected", format!("{index:?}"), lines);
        if state.pane != Pane::Chat {
            self.row(state);
        }
    }

    fn row(&mut self, state: &State) {
        let list = match state.pane {
            Pane::Chat => return,
            Pane::Tools => list::tools(state),
            Pane::Files => list::files(state),
            Pane::Plan => return,
        };
        let line = list.get(state.row + 1).cloned();
        let mark = format!("{:?} {}", state.pane, state.row);
        // Where it begins has been read with the list.
        let was_there = self.told.get("row").is_some_and(|told| {
            told.split_once(' ').map(|(pane, _)| pane) == Some(&format!("{:?}", state.pane))
        });
        self.once("row", mark, line.filter(|_| was_there));
    }

    /// What a command on this machine prints.
    fn local(&mut self, state: &State) {
        let Some(ran) = &state.writing.here else {
            return;
        };
        if self.here.0 != ran.number {
            self.here = (ran.number, 0);
            self.out
                .push(format!("LOCAL $ {}", clean_line(&ran.command)));
        }
        // The last line has only begun.
        let whole = match ran.ended {
            Some(_) => ran.cut + ran.lines.len(),
            None => (ran.cut + ran.lines.len()).saturating_sub(1),
        };
        let from = self.here.1.max(ran.cut);
        let new = ran
            .lines
            .iter()
            .skip(from - ran.cut)
            .take(whole.saturating_sub(from));
        for line in new.filter(|line| !line.trim().is_empty()) {
            self.out.push(format!("local: {}", clean(line).trim_end()));
        }
        self.here.1 = whole.max(self.here.1);
    }

    fn toasts(&mut self, state: &State) {
        let new = state
            .toasts
            .iter()
            .filter(|toast| !self.toasts.contains(toast));
        let new: Vec<String> = new
            .map(|toast| format!("note: {}", clean_line(&toast.text)))
            .collect();
        new.into_iter().for_each(|line| self.say(line));
        self.toasts.clone_from(&state.toasts);
    }

    /// What waits for a number, a letter, a yes.
    fn lists(&mut self, state: &State) {
        let lines = match &state.popup {
            Some(Popup::Confirm(confirm)) => list::confirm(confirm),
            Some(Popup::Choose { .. }) => list::choices(state),
            Some(Popup::Palette(palette)) => {
                let mut lines = list::palette(state, &palette.words);
                lines.push(list::CHOOSE.to_owned());
                lines
            }
            Some(Popup::Copy { .. }) => list::copies(state),
            Some(Popup::Places { .. }) => list::places(state),
            Some(Popup::Review(page)) => crate::tui::view::review::said(state, page),
            Some(Popup::Help { .. } | Popup::Asked { .. } | Popup::Here { .. }) | None => {
                Vec::new()
            }
        };
        self.lines_once("list", lines);
    }

    fn draft(&mut self, state: &State) {
        let text = state.composer.text();
        let lines = match text {
            "" => Vec::new(),
            _ if state.ask.writing.is_some() => Vec::new(),
            text if text.ends_with('\n') => vec!["(goes on)".to_owned()],
            text => {
                let mut lines = prefixed("draft: ", text);
                let how = if text.ends_with(char::is_whitespace) {
                    "the next line goes on with it, an empty one sends it"
                } else {
                    "an empty line sends it, another line takes its place"
                };
                lines.push(format!("({how})"));
                lines
            }
        };
        self.once("draft", text.to_owned(), lines);
    }
}

fn welcome(state: &State) -> Vec<String> {
    let welcome = &state.welcome;
    let mut told = vec![format!(
        "a new run in {}, endpoint {}",
        clean_line(&welcome.directory),
        clean_line(&welcome.endpoint)
    )];
    told.extend(welcome.lines.iter().map(|line| clean_line(line)));
    told.push("what shall be done? Write it and Enter; /help says what else there is".to_owned());
    told
}

/// The match that is looked at, with its line.
fn found(state: &State) -> Vec<String> {
    let find = &state.find;
    let words = clean_line(&find.words);
    let (Some(here), Some(pattern)) = (find.here, &find.pattern) else {
        return vec![format!("`{words}` is nowhere in what was said")];
    };
    let session = state.session();
    let cell = session.and_then(|session| session.transcript.cells.get(here.cell));
    let text = cell.map_or_else(String::new, |cell| crate::tui::source::of(&cell.body));
    let mut seen = 0;
    let line = text.lines().find(|line| {
        seen += pattern.shown(line).count();
        seen > here.nth
    });
    let number = find.number().unwrap_or(0);
    let line = clean_line(line.unwrap_or("").trim());
    vec![format!(
        "{number} of {} for `{words}`, in {}: {line} (/fold {} reads all of it)",
        find.count(),
        here.cell + 1,
        here.cell + 1
    )]
}

//! Several runs at once: one on the screen, the others behind it, all of them followed.
//!
//! Pure. What happens to a run behind the screen is done to it as if it were there, and then it is put back.

use crate::attach::state::Attached;
use crate::protocol::ids::RunRef;
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::event::Event;
use crate::tui::on::{away, draft, picker, queue};
use crate::tui::replay;
use crate::tui::state::{Launching, Picker, Scene, State};
use crate::tui::tabs::{MOST, Sign, Tab, at};
use crate::tui::update::{reset, step, toast};
use crate::tui::view::text::fit;

/// Where an event belongs.
pub(crate) enum Routed {
    /// To what is on the screen.
    Here(Event),
    /// It has been dealt with.
    Behind(Vec<Effect>),
}

pub(crate) fn is_about(action: Action) -> bool {
    matches!(
        action,
        Action::Tab(_) | Action::TabBefore | Action::TabNext | Action::CloseTab
    )
}

pub(crate) fn act(state: &mut State, action: Action) -> Vec<Effect> {
    let count = state.tabs.list.len();
    let front = state.tabs.front();
    let wanted = match action {
        Action::Tab(number) => usize::from(number).checked_sub(1),
        Action::TabBefore => front.map(|front| (front + count - 1) % count),
        Action::TabNext => front.map(|front| (front + 1) % count),
        _ => return close(state),
    };
    match wanted {
        Some(index) if index >= count => {
            let words = match count {
                0 => "no run is open".to_owned(),
                1 => "one run is open".to_owned(),
                _ => format!("{count} runs are open"),
            };
            toast(state, format!("there is no tab {}: {words}", index + 1));
            Vec::new()
        }
        Some(index) if Some(index) != front => raise(state, index),
        Some(_) if count == 1 => {
            let key = queue::leader(state, Action::Runs);
            toast(
                state,
                format!("one run is open: {key} opens others beside it"),
            );
            Vec::new()
        }
        Some(_) | None => Vec::new(),
    }
}

/// Who the event happened to.
pub(crate) fn route(state: &mut State, event: Event) -> Routed {
    let (index, event) = match event {
        Event::Of(run, event) => {
            let here = at(&state.scene) == Some(&run);
            match (here, state.tabs.of_run(&run)) {
                (true, _) => (None, *event),
                (false, Some(index)) => (Some(index), *event),
                // A late word of a run that was closed.
                (false, None) => return Routed::Behind(Vec::new()),
            }
        }
        Event::Opened(attached) => {
            let here = at(&state.scene) == Some(&attached.at);
            let index = state.tabs.of_run(&attached.at).filter(|_| !here);
            (index, Event::Opened(attached))
        }
        Event::Looked(look) => {
            let here = at(&state.scene) == Some(&look.at);
            let index = state.tabs.of_run(&look.at).filter(|_| !here);
            (index, Event::Looked(look))
        }
        Event::Launch(progress) => {
            let starts =
                |scene: &Scene| matches!(scene, Scene::Composer(Launching::Running { .. }));
            let behind = state.tabs.others().find(|(_, tab)| starts(&tab.scene));
            let index = behind.map(|(index, _)| index);
            (index, Event::Launch(progress))
        }
        // Of the next new run.
        event @ (Event::FileRead(_) | Event::AttachedFound(_)) => {
            let is_new = |scene: &Scene| matches!(scene, Scene::Composer(_));
            let behind = state.tabs.others().find(|(_, tab)| is_new(&tab.scene));
            match (&state.scene, behind.map(|(index, _)| index)) {
                (Scene::Composer(_), _) | (Scene::Picker(_), None) => (None, event),
                (_, Some(index)) => (Some(index), event),
                (_, None) => return Routed::Behind(Vec::new()),
            }
        }
        other => (None, other),
    };
    match index {
        Some(index) => Routed::Behind(behind(state, index, event)),
        None => Routed::Here(event),
    }
}

/// The picture changes only when the tab looks otherwise in its line, or has something to say.
fn behind(state: &mut State, index: usize, event: Event) -> Vec<Effect> {
    let Some(mut tab) = state.tabs.list[index].take() else {
        return Vec::new();
    };
    if let Event::OpenFailed(why) = event {
        state.tabs.list.remove(index);
        toast(state, why);
        return Vec::new();
    }
    let changed = state.changed;
    let toasts = std::mem::take(&mut state.toasts);
    let (name, sign) = (tab.name.clone(), tab.sign);
    state.tabs.behind = Some(index);
    tab.exchange(state);
    let worked = state.citizen.worked;
    let mut effects = step(state, event);
    effects.extend(draft::save(state));
    match (worked, state.citizen.worked) {
        (true, false) => tab.ended = true,
        (_, true) => tab.ended = false,
        (false, false) => (),
    }
    tab.describe(state);
    let asks = state.asking().map(|open| open.title.clone());
    tab.exchange(state);
    state.tabs.behind = None;
    let said = std::mem::replace(&mut state.toasts, toasts);
    state.changed = changed || tab.sign != sign || tab.name != name;
    let called = called(index, &tab.name);
    let asks = asks.filter(|_| tab.sign == Sign::Asks && sign != Sign::Asks);
    state.tabs.list[index] = Some(tab);
    for toast_there in said {
        toast(state, format!("{called}: {}", toast_there.text));
    }
    if let Some(asked) = asks {
        let key = key_of(state, index);
        toast(state, format!("{called} asks: {asked} · {key} goes there"));
    }
    effects
}

/// How it is called in a sentence.
fn called(index: usize, name: &str) -> String {
    format!("{} {}", index + 1, fit(name, 24))
}

fn key_of(state: &State, index: usize) -> String {
    let number = u8::try_from(index + 1).unwrap_or(u8::MAX);
    queue::leader(state, Action::Tab(number))
}

/// What is on the screen goes behind it, and an empty picker stands there. What is not worth a tab is gone.
pub(crate) fn park(state: &mut State) -> Vec<Effect> {
    if matches!(state.scene, Scene::Picker(_)) {
        return Vec::new();
    }
    let mut effects = draft::save(state);
    effects.extend(away::keep(state));
    away::focus_lost(state);
    let front = state.tabs.front().unwrap_or_else(|| {
        state.tabs.list.push(None);
        state.tabs.list.len() - 1
    });
    let mut tab = Box::new(Tab::picker());
    tab.describe(state);
    let is_worth = is_worth(state);
    tab.exchange(state);
    state.tabs.last = front;
    state.changed = true;
    if is_worth {
        state.tabs.list[front] = Some(tab);
    } else {
        state.tabs.list.remove(front);
        effects.extend(tab.at().cloned().map(Effect::CloseRun));
    }
    effects
}

/// An empty draft for nobody is none, and what is played from a file ends when nobody looks.
fn is_worth(state: &State) -> bool {
    match &state.scene {
        Scene::Composer(Launching::No) => {
            !state.composer.is_empty() || !state.writing.attachments.is_empty()
        }
        Scene::Run(attached) => !replay::is_one(&attached.at),
        Scene::Composer(_) | Scene::Opening(_) | Scene::Picker(_) => true,
    }
}

/// Brings a tab to the screen.
pub(crate) fn raise(state: &mut State, index: usize) -> Vec<Effect> {
    let (front, count) = (state.tabs.front(), state.tabs.list.len());
    let effects = park(state);
    // The one that was parked may have gone.
    let gone = state.tabs.list.len() < count && front.is_some_and(|front| front < index);
    let index = if gone { index - 1 } else { index };
    let Some(mut tab) = state.tabs.list.get_mut(index).and_then(Option::take) else {
        return effects;
    };
    let called = called(index, &tab.name);
    state.toasts.retain(|one| !one.text.starts_with(&called));
    tab.exchange(state);
    look(state);
    effects
}

/// Somebody looks at it now. What was pressed to come here answers no question.
fn look(state: &mut State) {
    let now = state.now;
    if let Some((_, since)) = &mut state.question.shown {
        *since = now;
    }
    state.question.called = false;
    state.leader = None;
    state.changed = true;
    away::focus_gained(state);
}

/// The tab that was looked at before the picker.
pub(crate) fn back(state: &mut State) -> Vec<Effect> {
    match state.tabs.list.len().checked_sub(1) {
        Some(last) => raise(state, state.tabs.last.min(last)),
        None => Vec::new(),
    }
}

/// From the picker: this run, in the tab that it has or in one of its own.
pub(crate) fn open(state: &mut State, run: RunRef) -> Vec<Effect> {
    if let Some(index) = state.tabs.of_run(&run) {
        return raise(state, index);
    }
    if !begin(state, Scene::Opening(run.clone())) {
        return Vec::new();
    }
    vec![Effect::OpenRun(run)]
}

/// From the picker: the composer of a new run.
pub(crate) fn new_run(state: &mut State) -> Vec<Effect> {
    let is_new = |tab: &Tab| matches!(tab.scene, Scene::Composer(_));
    let known = state.tabs.others().find(|(_, tab)| is_new(tab));
    if let Some(index) = known.map(|(index, _)| index) {
        return raise(state, index);
    }
    if begin(state, Scene::Composer(Launching::No)) {
        let draft = std::mem::take(&mut state.tabs.draft);
        state.composer.set(draft);
        state.writing.attachments = std::mem::take(&mut state.tabs.attached);
    }
    Vec::new()
}

fn begin(state: &mut State, scene: Scene) -> bool {
    if state.tabs.list.len() >= MOST {
        let key = queue::leader(state, Action::CloseTab);
        toast(
            state,
            format!(
                "{MOST} runs are open, and no more can be: {key} closes a tab; its run goes on"
            ),
        );
        return false;
    }
    reset(state);
    state.scene = scene;
    state.tabs.list.push(None);
    true
}

/// The tab goes; the run goes on.
fn close(state: &mut State) -> Vec<Effect> {
    let said = match &state.scene {
        Scene::Picker(_) => "no tab is on the screen".to_owned(),
        Scene::Composer(Launching::Running { .. }) => {
            "the run is being started: its tab can be closed once it is there".to_owned()
        }
        Scene::Composer(_) => "the tab is closed".to_owned(),
        Scene::Opening(at) => format!("run {} is not opened", at.run.short()),
        Scene::Run(attached) => closed(attached),
    };
    let busy = matches!(state.scene, Scene::Composer(Launching::Running { .. }));
    if busy || matches!(state.scene, Scene::Picker(_)) {
        toast(state, said);
        return Vec::new();
    }
    let mut effects = draft::save(state);
    effects.extend(away::keep(state));
    if matches!(state.scene, Scene::Composer(_)) {
        state.tabs.draft = state.composer.text().to_owned();
        state.tabs.attached = std::mem::take(&mut state.writing.attachments);
    }
    let (front, run) = drop_front(state);
    effects.extend(run.map(Effect::CloseRun));
    effects.extend(match state.tabs.list.len().checked_sub(1) {
        Some(last) => raise(state, front.min(last)),
        None => picker::show(state),
    });
    toast(state, said);
    effects
}

fn closed(attached: &Attached) -> String {
    let status = attached.session.status.as_ref();
    let over = status.is_some_and(|status| status.is_terminal());
    let rest = if over { "" } else { "; it goes on" };
    format!("the tab of run {} is closed{rest}", attached.at.run.short())
}

/// The tab on the screen goes, and an empty picker stands there: its place, and its run.
fn drop_front(state: &mut State) -> (usize, Option<RunRef>) {
    let front = state.tabs.front();
    if let Some(front) = front {
        state.tabs.list.remove(front);
    }
    let mut gone = Tab::picker();
    gone.exchange(state);
    state.changed = true;
    (front.unwrap_or(0), gone.at().cloned())
}

/// The run that was asked for is not to be had: the picker, where it was asked for.
pub(crate) fn open_failed(state: &mut State, why: &str) -> Vec<Effect> {
    if !matches!(state.scene, Scene::Opening(_)) {
        return Vec::new();
    }
    drop_front(state);
    toast(state, why);
    state.scene = Scene::Picker(Picker::default());
    vec![Effect::ListRuns]
}

/// The directory of a run that was just opened is another tab's: what to do about it.
pub(crate) fn tell_holder(state: &mut State) {
    let reason = state.attached().and_then(|one| one.mirror.reason.clone());
    let Some(reason) = reason else {
        return;
    };
    let holds = |tab: &Tab| {
        let run = tab.at().map(|at| at.run.short());
        run.is_some_and(|run| reason.contains(&format!("run {run} ")))
    };
    let holder = state.tabs.others().find(|(_, tab)| holds(tab));
    let Some(index) = holder.map(|(index, _)| index) else {
        return;
    };
    let key = queue::leader(state, Action::CloseTab);
    let words = format!(
        "tab {} mirrors into this directory: close it ({key}) and this one, and open this run again",
        index + 1
    );
    toast(state, words);
}

/// The words of leaving: all that were open.
pub(crate) fn goodbye(state: &State) -> Option<String> {
    let runs = state.tabs.others().filter_map(|(_, tab)| match &tab.scene {
        Scene::Run(attached) => Some(&**attached),
        Scene::Picker(_) | Scene::Composer(_) | Scene::Opening(_) => None,
    });
    let runs: Vec<&Attached> = state.attached().into_iter().chain(runs).collect();
    let over = |one: &&Attached| {
        let status = one.session.status.as_ref();
        status.is_some_and(|status| status.is_terminal())
    };
    let names = |runs: &[&Attached]| {
        let names: Vec<&str> = runs.iter().map(|one| one.at.run.short()).collect();
        names.join(", ")
    };
    let (ended, going): (Vec<&Attached>, Vec<&Attached>) = runs.into_iter().partition(over);
    Some(match (&going[..], &ended[..]) {
        ([], []) => return None,
        ([], [one]) => {
            let run = one.at.run.short();
            format!("Left. The run is over. Look at it again with: ashore attach {run}")
        }
        ([one], _) => {
            let run = one.at.run.short();
            format!("Detached. The run goes on. Come back with: ashore attach {run}")
        }
        ([], ended) => format!(
            "Left. The runs are over ({}). Look at one again with: ashore attach RUN",
            names(ended)
        ),
        (going, _) => format!(
            "Detached. The runs go on ({}). Come back with: ashore attach RUN",
            names(going)
        ),
    })
}

/// The numbers of the tabs that wait for an answer behind the screen.
pub(crate) fn asking(state: &State) -> Vec<usize> {
    let asks = state
        .tabs
        .others()
        .filter(|(_, tab)| tab.sign == Sign::Asks);
    asks.map(|(index, _)| index + 1).collect()
}

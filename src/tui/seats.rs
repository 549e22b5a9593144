//! The open runs, each with the hands that follow it and keep its mirror.
//!
//! A shell. Dropping a seat ends every task of its run; the run goes on.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use crate::attach::effect::Effect;
use crate::attach::perform::Performer;
use crate::protocol::ids::RunRef;

/// Where the task that opens a run leaves its hands, before the screen hears of it.
#[derive(Clone, Default)]
pub(super) struct Place(Arc<Mutex<Option<(RunRef, Performer)>>>);

impl Place {
    pub(super) fn take(&self, at: RunRef, performer: Performer) {
        *self.lock() = Some((at, performer));
    }

    fn is_of(&self, at: &RunRef) -> bool {
        self.lock().as_ref().is_some_and(|(run, _)| run == at)
    }

    /// A panic while the lock was held has ended its task; what it left is whole.
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(RunRef, Performer)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One run, from the moment it is to be opened.
#[derive(Default)]
struct Seat {
    place: Place,
    /// Opens the run, and then passes on its events.
    tasks: JoinSet<()>,
}

/// As many as the screen has tabs.
#[derive(Default)]
pub(super) struct Seats {
    open: HashMap<RunRef, Seat>,
    /// That of a run which does not exist yet; at most one.
    launching: Option<Seat>,
    /// Says to endpoints that we have left a run.
    farewells: JoinSet<()>,
}

impl Seats {
    /// A seat for this run; an earlier one ends.
    pub(super) fn begin<F>(&mut self, at: RunRef, opening: impl FnOnce(Place) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.close(&at);
        self.open.insert(at, seated(opening));
    }

    /// A seat for a run that is to be made; an earlier start ends.
    pub(super) fn launch<F>(&mut self, opening: impl FnOnce(Place) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.settle();
        self.launching = Some(seated(opening));
    }

    /// What is ordered of a run that is not here is not done.
    pub(super) fn perform(&mut self, at: &RunRef, effect: Effect) {
        if !self.open.contains_key(at) {
            self.settle();
        }
        let Some(seat) = self.open.get(at) else {
            return;
        };
        if let Some((_, performer)) = seat.place.lock().as_mut() {
            performer.perform(effect);
        }
    }

    /// A start that has become a run gets the seat of that run.
    fn settle(&mut self) {
        let Some(seat) = self.launching.take() else {
            return;
        };
        let at = seat.place.lock().as_ref().map(|(at, _)| at.clone());
        match at {
            Some(at) => drop(self.open.insert(at, seat)),
            None => self.launching = Some(seat),
        }
    }

    /// Leaves a run, and says so.
    pub(super) fn close(&mut self, at: &RunRef) {
        while self.farewells.try_join_next().is_some() {}
        let is_it = |seat: &mut Seat| seat.place.is_of(at);
        let seat = self.open.remove(at);
        let seat = seat.or_else(|| self.launching.take_if(is_it));
        if let Some(seat) = seat {
            self.leave_one(&seat);
        }
    }

    fn leave_one(&mut self, seat: &Seat) {
        let left = seat.place.lock().take();
        if let Some(farewell) = left.as_ref().and_then(|(_, hands)| hands.farewell()) {
            self.farewells.spawn(farewell);
        }
    }

    /// Leaves them all, and says so; takes a moment at most.
    pub(super) async fn leave(&mut self) {
        let seats = std::mem::take(&mut self.open).into_values();
        for seat in seats.chain(self.launching.take()) {
            self.leave_one(&seat);
        }
        while self.farewells.join_next().await.is_some() {}
    }
}

fn seated<F>(opening: impl FnOnce(Place) -> F) -> Seat
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut seat = Seat::default();
    let opening = opening(seat.place.clone());
    seat.tasks.spawn(opening);
    seat
}

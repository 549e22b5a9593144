//! Orders on their way to the mirror: never blocks the screen, and of the changes of a path in one turn the newest wins.
//!
//! Bounded by the number of paths a turn changes: a replay of a thousand edits of one file in a turn is one order.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};

use crate::mirror::worker::Order;
use crate::protocol::path::RelPath;

/// Cheap to clone; all clones are one box.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mailbox {
    waiting: Arc<Mutex<Waiting>>,
    bell: Arc<Notify>,
}

/// Pure: which orders wait, in order.
#[derive(Debug, Default)]
struct Waiting {
    orders: BTreeMap<u64, Order>,
    /// Of each path and turn the newest: an undo of a turn has to know what the one before it left.
    by_path: HashMap<(RelPath, Option<u64>), u64>,
    reached: Option<u64>,
    last: u64,
}

impl Waiting {
    fn push(&mut self, order: Order) {
        self.last += 1;
        let older = match &order {
            Order::Remote { change, .. } => {
                let key = (change.path.clone(), change.turn);
                self.by_path.insert(key, self.last)
            }
            Order::Reached(_) => self.reached.replace(self.last),
            Order::Baseline(_)
            // An answer says of a base what no newer change of the path says.
            | Order::Applied { .. }
            | Order::Refused { .. }
            | Order::Never { .. }
            | Order::Posted(_)
            | Order::NotPosted { .. }
            | Order::Flush(_)
            | Order::Direct(_)
            | Order::Rewound { .. }
            | Order::Seed(_)
            | Order::Pause
            | Order::Resume(_)
            | Order::Preview(_)
            | Order::Undo { .. }
            | Order::Show(_)
            | Order::Weigh(_)
            | Order::Versions(_)
            | Order::Merge { .. }
            | Order::Rewrite { .. }
            | Order::Resolve { .. }
            | Order::Check => None,
        };
        if let Some(older) = older {
            self.orders.remove(&older);
        }
        self.orders.insert(self.last, order);
    }

    fn pop(&mut self) -> Option<Order> {
        let (place, order) = self.orders.pop_first()?;
        if let Order::Remote { change, .. } = &order {
            self.by_path.remove(&(change.path.clone(), change.turn));
        }
        if self.reached == Some(place) {
            self.reached = None;
        }
        Some(order)
    }
}

impl Mailbox {
    pub(crate) fn push(&self, order: Order) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(order);
        self.bell.notify_one();
    }

    /// Carries orders to the worker until it is gone.
    pub(crate) async fn carry(self, worker: mpsc::Sender<Order>) {
        loop {
            let next = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            match next {
                Some(order) => {
                    if worker.send(order).await.is_err() {
                        return;
                    }
                }
                None => self.bell.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::file::{ChangeKind, FileChange};
    use crate::protocol::ids::Seq;

    fn remote(seq: u64, path: &str) -> Order {
        Order::Remote {
            seq: Seq(seq),
            change: FileChange {
                kind: ChangeKind::Deleted,
                path: path.parse().unwrap(),
                now: None,
                before: None,
                storage_path: None,
                turn: None,
                tool_call: None,
            },
        }
    }

    #[test]
    fn the_newest_change_of_a_path_wins_and_the_rest_keeps_its_order() {
        let mut waiting = Waiting::default();
        for order in [
            remote(1, "a"),
            remote(2, "b"),
            Order::Reached(Seq(2)),
            Order::Pause,
            remote(3, "a"),
            Order::Reached(Seq(3)),
        ] {
            waiting.push(order);
        }
        let out: Vec<Order> = std::iter::from_fn(|| waiting.pop()).collect();
        assert_eq!(
            out,
            [
                remote(2, "b"),
                Order::Pause,
                remote(3, "a"),
                Order::Reached(Seq(3))
            ]
        );
    }

    #[test]
    fn what_an_earlier_turn_left_is_told_too() {
        let of = |seq, turn| {
            let mut order = remote(seq, "a");
            if let Order::Remote { change, .. } = &mut order {
                change.turn = Some(turn);
            }
            order
        };
        let mut waiting = Waiting::default();
        for order in [of(1, 1), of(2, 1), of(3, 2), of(4, 2)] {
            waiting.push(order);
        }
        let out: Vec<Order> = std::iter::from_fn(|| waiting.pop()).collect();
        assert_eq!(out, [of(2, 1), of(4, 2)]);
    }

    #[test]
    fn what_has_been_carried_is_no_longer_replaced() {
        let mut waiting = Waiting::default();
        waiting.push(remote(1, "a"));
        assert_eq!(waiting.pop(), Some(remote(1, "a")));
        waiting.push(remote(2, "a"));
        assert_eq!(waiting.pop(), Some(remote(2, "a")));
        assert_eq!(waiting.pop(), None);
    }
}

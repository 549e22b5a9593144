//! Who is attached to which run: in memory only, and only as long as each says so.
//!
//! Ends with the client's word, with its last stream, or with [`LEASE`] without a renewal. The table is pure; the lock
//! around it and the bells are the shell.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::protocol::ids::RunId;
use crate::protocol::presence::Client;

/// A client that has not said so for this long is no longer attached. It is long, since a client's end is seen by the
/// end of its stream: this is for one that has none, or whose stream a proxy holds open.
pub(crate) const LEASE: Duration = Duration::from_secs(300);
/// The most that are told of one run; it bounds the memory.
const MOST: usize = 64;

/// One run's clients.
#[derive(Debug, Default)]
struct Table {
    /// By what each calls itself, else by its name; until when.
    present: BTreeMap<String, (Client, Instant)>,
    /// How many streams each has open.
    streams: HashMap<String, usize>,
}

fn key(client: &Client) -> &str {
    client.client.as_deref().unwrap_or(&client.from)
}

impl Table {
    fn tell(&mut self, client: Client, attached: bool, now: Instant) {
        let key = key(&client).to_owned();
        if !attached {
            self.present.remove(&key);
        } else if self.present.len() < MOST || self.present.contains_key(&key) {
            self.present.insert(key, (client, now + LEASE));
        }
    }

    fn opened(&mut self, key: &str) {
        *self.streams.entry(key.to_owned()).or_default() += 1;
    }

    /// With its last stream it is gone.
    fn closed(&mut self, key: &str) {
        let left = match self.streams.get_mut(key) {
            Some(count) => {
                *count -= 1;
                *count
            }
            None => return,
        };
        if left == 0 {
            self.streams.remove(key);
            self.present.remove(key);
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.present.retain(|_, (_, until)| *until > now);
    }

    fn clients(&self) -> Vec<Client> {
        self.present
            .values()
            .map(|(client, _)| client.clone())
            .collect()
    }

    fn is_empty(&self) -> bool {
        self.present.is_empty() && self.streams.is_empty()
    }
}

struct Run {
    table: Table,
    bell: watch::Sender<Vec<Client>>,
}

impl Run {
    fn ring(&self) {
        let clients = self.table.clients();
        self.bell.send_if_modified(|told| {
            let new = *told != clients;
            *told = clients;
            new
        });
    }
}

/// Of all runs.
#[derive(Default)]
pub(crate) struct Presence {
    runs: Mutex<HashMap<RunId, Run>>,
}

/// One stream's place; its end is the client's, if it was its last.
pub(crate) struct Seat {
    presence: Arc<Presence>,
    run: RunId,
    client: Option<String>,
    /// The present state, and every change of it.
    pub(crate) told: watch::Receiver<Vec<Client>>,
}

impl Presence {
    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes one run's table, tells it, and forgets a run that nobody looks at.
    fn change<T>(&self, run: &RunId, change: impl FnOnce(&mut Run) -> T) -> T {
        let mut runs = self.lock();
        let one = runs.entry(run.clone()).or_insert_with(|| Run {
            table: Table::default(),
            bell: watch::Sender::default(),
        });
        let done = change(one);
        one.ring();
        if one.table.is_empty() && one.bell.receiver_count() == 0 {
            runs.remove(run);
        }
        done
    }

    pub(crate) fn tell(&self, run: &RunId, client: Client, attached: bool, now: Instant) {
        self.change(run, |one| one.table.tell(client, attached, now));
    }

    /// Ends what was not renewed; whoever follows the run asks from time to time.
    pub(crate) fn sweep(&self, run: &RunId, now: Instant) {
        self.change(run, |one| one.table.sweep(now));
    }

    /// How many are attached.
    pub(crate) fn count(&self, run: &RunId, now: Instant) -> usize {
        let runs = self.lock();
        let present = runs.get(run).map(|one| one.table.present.values());
        present.map_or(0, |present| {
            present.filter(|(_, until)| *until > now).count()
        })
    }

    /// A stream is open; `client` is how its client calls itself.
    pub(crate) fn sit(self: &Arc<Self>, run: &RunId, client: Option<String>) -> Seat {
        let told = self.change(run, |one| {
            if let Some(client) = &client {
                one.table.opened(client);
            }
            one.bell.subscribe()
        });
        Seat {
            presence: Arc::clone(self),
            run: run.clone(),
            client,
            told,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let client = self.client.take();
        self.presence.change(&self.run, |one| {
            if let Some(client) = &client {
                one.table.closed(client);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(from: &str, own: Option<&str>) -> Client {
        Client {
            from: from.to_owned(),
            read_only: false,
            client: own.map(str::to_owned),
        }
    }

    fn names(table: &Table) -> Vec<String> {
        table.clients().into_iter().map(|one| one.from).collect()
    }

    #[test]
    fn a_client_is_there_until_it_says_no_leaves_or_is_silent() {
        let now = tokio::time::Instant::now().into_std();
        let mut table = Table::default();
        table.opened("c1");
        table.tell(client("ana@laptop", Some("c1")), true, now);
        table.tell(client("ana@laptop", Some("c2")), true, now);
        table.tell(client("bo@desk", None), true, now);
        assert_eq!(names(&table), ["bo@desk", "ana@laptop", "ana@laptop"]);
        // A new stream stands before the old one is known to be cut.
        table.opened("c1");
        table.closed("c1");
        assert_eq!(names(&table).len(), 3);
        table.closed("c1");
        assert_eq!(names(&table), ["bo@desk", "ana@laptop"]);
        table.tell(client("ana@laptop", Some("c2")), false, now);
        assert_eq!(names(&table), ["bo@desk"]);
        table.tell(client("bo@desk", None), true, now + LEASE / 2);
        table.sweep(now + LEASE);
        assert_eq!(names(&table), ["bo@desk"]);
        table.sweep(now + LEASE * 2);
        assert!(table.is_empty());
        for n in 0..1000 {
            table.tell(client("x", Some(&n.to_string())), true, now);
        }
        assert_eq!(names(&table).len(), MOST);
    }

    #[test]
    fn followers_hear_of_changes_only_and_nothing_is_kept_of_a_run_that_nobody_looks_at() {
        let now = tokio::time::Instant::now().into_std();
        let presence = Arc::new(Presence::default());
        let run: RunId = "r".parse().unwrap();
        let mut seat = presence.sit(&run, None);
        assert!(seat.told.borrow_and_update().is_empty());
        let other = presence.sit(&run, Some("c1".into()));
        presence.tell(&run, client("ana", Some("c1")), true, now);
        assert_eq!(seat.told.borrow_and_update()[0].from, "ana");
        presence.tell(&run, client("ana", Some("c1")), true, now);
        presence.sweep(&run, now);
        assert!(!seat.told.has_changed().unwrap());
        assert_eq!(presence.count(&run, now), 1);
        assert_eq!(presence.count(&run, now + LEASE), 0);
        drop(other);
        assert!(seat.told.borrow_and_update().is_empty());
        drop(seat);
        // The bell of the last one falls with it; the next look clears the table away.
        presence.sweep(&run, now);
        assert!(presence.lock().is_empty());
    }
}

//! After a kill: a write that was done, but not written down as done, is known by what stands there.
//!
//! Otherwise a newer change of the same file would find an edit that nobody made, and call it a conflict.

use crate::mirror::actor::Worker;
use crate::mirror::base::{self, Fact};
use crate::mirror::plan::{folder, same};
use crate::mirror::scan::Local;

impl Worker {
    /// Before anything else is decided. The note of a write comes before its deed and the new base behind it: where
    /// an undecided change has a note and its file is as noted, the deed was done.
    pub(super) async fn take_up(&mut self) -> Result<(), base::Error> {
        let mut facts = Vec::new();
        for (path, after) in self.hand.base.unfinished().await? {
            if same(self.known.base.get(&path).copied(), after) {
                continue;
            }
            let at = path.clone();
            let here = match self.hand.blocking(move |hand| hand.look(&at)).await {
                Local::File(state) => Some(state),
                Local::Directory => Some(folder()),
                Local::Absent => None,
                Local::Ignored(_) | Local::Obstacle(_) => continue,
            };
            if same(here, after) {
                let at = path.clone();
                // The kill may have come before the disk had it.
                let synced = self.hand.blocking(move |hand| hand.disk.sync(&at)).await;
                if synced.is_err() {
                    continue;
                }
                tracing::debug!(%path, "was written before a kill");
                facts.push(Fact::Base(path, after));
            }
        }
        self.hand.base.save(&facts).await?;
        facts.iter().for_each(|fact| self.known.apply(fact));
        Ok(())
    }
}

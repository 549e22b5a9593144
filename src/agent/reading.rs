//! Reads the journal back at a start.

use std::time::Duration;

use tokio::time::sleep;

use crate::agent::link::Way;
use crate::agent::recall::Recall;
use crate::client::error::Error;
use crate::plant::planted;
use crate::protocol::entry::Decoded;
use crate::protocol::ids::Seq;
use crate::protocol::normalize;

const RETRY: Duration = Duration::from_secs(1);

/// The whole journal; `None` when the run is not ours any more. A guess in the place of an answer could take a prompt
/// twice, so it is asked until it answers.
pub(crate) async fn recall(way: &dyn Way) -> Option<Recall> {
    loop {
        match read(way).await {
            Ok(recall) => return Some(recall),
            Err(error) if error.is_passing() => {
                way.look_again().await;
                sleep(RETRY).await;
            }
            Err(error) => {
                tracing::info!(%error, "the journal cannot be read");
                return None;
            }
        }
    }
}

/// All that the answer's head has promised.
async fn read(way: &dyn Way) -> Result<Recall, Error> {
    let mut logs = way.logs(Seq::ZERO).await?;
    let last = logs.last.unwrap_or_default();
    let mut recall = Recall::default();
    let mut read = Seq::ZERO;
    while let Some((seq, line)) = logs.next().await? {
        read = seq;
        match normalize::decode(&line) {
            Decoded::Entry(entry) => recall.read(seq, &entry),
            Decoded::Blank | Decoded::Bad(_) => recall.pass(seq),
        }
    }
    if read < last && !planted!(CutJournalTaken) {
        return Err(Error::Unreachable {
            text: format!("the journal was cut at line {read} of {last}"),
        });
    }
    Ok(recall)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::{StreamExt, stream};
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;
    use crate::client::api::Logs;
    use crate::client::stream::Heard;

    /// Answers one after the other: lines from the first on, or none; the head promises three.
    struct Answers(Mutex<Vec<Option<usize>>>);

    #[async_trait::async_trait]
    impl Way for Answers {
        async fn follow(&self, _: Seq, _: &mpsc::Sender<Heard>) -> Error {
            unreachable!("only the journal is read")
        }

        async fn logs(&self, after: Seq) -> Result<Logs, Error> {
            let Some(count) = self.0.lock().unwrap().remove(0) else {
                let text = "cut".to_owned();
                return Err(Error::Unreachable { text });
            };
            let lines = [
                json!({"type": "client_message", "id": "a", "message": {"id": "a", "method": "_posthog/user_message", "params": {"content": "go"}}}),
                json!({"type": "notification", "notification": {"id": 1, "method": "session/prompt", "params": {"_meta": {"ashore": {"command": "a"}}}}}),
                json!({"type": "notification", "notification": {"id": 1, "result": {}}}),
            ];
            let body: String = lines[..count]
                .iter()
                .map(|line| format!("{line}\n"))
                .collect();
            let body = stream::iter([Ok(body.into())]).boxed();
            Ok(Logs::new(Some(Seq(3)), None, after, body))
        }

        async fn look_again(&self) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_journal_that_ends_too_early_is_asked_for_again() {
        let way = Answers(Mutex::new(vec![Some(1), None, Some(2), Some(3)]));
        let recall = recall(&way).await.unwrap();
        assert_eq!((recall.last(), recall.turns()), (Seq(3), 1));
        assert!(recall.left().is_none());
    }
}

//! Reads the journal back: whole at a start, and a stretch of it for a cancel in doubt.

use std::time::Duration;

use tokio::time::sleep;

use crate::agent::link::Way;
use crate::agent::recall::Recall;
use crate::client::error::Error;
use crate::protocol::entry::Decoded;
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::normalize;

const RETRY: Duration = Duration::from_secs(1);

/// The whole journal; `None` when the run is not ours any more.
pub(crate) async fn recall(way: &dyn Way) -> Option<Recall> {
    patiently(way, Seq::ZERO, Seq(u64::MAX)).await
}

/// Which command's turn the journal had open at a line, as far as the lines behind `after` say it. `None` as above.
pub(crate) async fn open_at(way: &dyn Way, after: Seq, at: Seq) -> Option<Option<CommandId>> {
    Some(patiently(way, after, at).await?.open())
}

/// A guess in the place of an answer could end the wrong turn or take a prompt twice, so it is asked until it answers.
async fn patiently(way: &dyn Way, after: Seq, end: Seq) -> Option<Recall> {
    loop {
        match read(way, after, end).await {
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

/// The lines behind `after` and before `end`, all that the answer's head has promised.
async fn read(way: &dyn Way, after: Seq, end: Seq) -> Result<Recall, Error> {
    let mut logs = way.logs(after).await?;
    let last = logs.last.unwrap_or_default();
    let mut recall = Recall::default();
    let mut read = after;
    while let Some((seq, line)) = logs.next().await? {
        if seq >= end {
            return Ok(recall);
        }
        read = seq;
        match normalize::decode(&line) {
            Decoded::Entry(entry) => recall.read(seq, &entry),
            Decoded::Blank | Decoded::Bad(_) => recall.pass(seq),
        }
    }
    if read < last {
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
        assert_eq!(
            (recall.last(), recall.turns(), recall.open()),
            (Seq(3), 1, None)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancel_in_doubt_is_judged_by_an_answer_and_not_by_its_absence() {
        let way = Answers(Mutex::new(vec![None, Some(1), Some(3)]));
        let open = open_at(&way, Seq::ZERO, Seq(3)).await;
        assert_eq!(open, Some(Some("a".parse().unwrap())));
    }
}

//! The whole of each block that came as a stand-in, put back before the agent sees the prompt (contract 10.1).

use std::path::Path;

use serde_json::Value;
use tokio::time::sleep;

use crate::agent::journal::wait;
use crate::mirror::blobs::{Blobs, Error, Wanted};
use crate::protocol::hash::ContentHash;
use crate::protocol::heavy;

/// In bytes; the most that is read for one block.
const LIMIT: u64 = 64 << 20;

/// Something in the prompt stands for a blob.
pub(crate) fn is_missing(blocks: &[Value]) -> bool {
    blocks.iter().any(|block| heavy::whole_of(block).is_some())
}

/// The blocks as they were written. A cut road only delays; an error is what the user is told.
pub(crate) async fn fetch(
    blobs: &dyn Blobs,
    stage: &Path,
    blocks: Vec<Value>,
) -> Result<Vec<Value>, String> {
    let mut wholes = Vec::with_capacity(blocks.len());
    for block in blocks {
        wholes.push(match heavy::whole_of(&block) {
            Some(hash) => whole(blobs, stage, hash).await?,
            None => block,
        });
    }
    Ok(wholes)
}

async fn whole(blobs: &dyn Blobs, stage: &Path, hash: ContentHash) -> Result<Value, String> {
    let into = stage.join(format!("block-{hash}"));
    let want = Wanted {
        hash,
        size: LIMIT,
        storage_path: None,
    };
    let mut failures = 0;
    while let Err(error) = blobs.get(&want, &into).await {
        let Error::Unreachable(_) = error else {
            return Err(format!("a part of this message cannot be had: {error}"));
        };
        failures += 1;
        tracing::debug!(%error, failures, "a block cannot be fetched yet");
        sleep(wait(failures, rand::random())).await;
    }
    let bytes = tokio::fs::read(&into).await;
    drop(tokio::fs::remove_file(&into).await);
    let bytes = bytes.map_err(|error| format!("a part of this message cannot be read: {error}"))?;
    if ContentHash::of(&bytes) != hash {
        return Err("a part of this message came altered; send it again".to_owned());
    }
    serde_json::from_slice(&bytes)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| "a part of this message is no content block".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::command::{Command, Prompt, What};

    /// Has what it was given; the first question finds no road.
    struct Kept(Vec<heavy::Whole>, std::sync::atomic::AtomicBool);

    #[async_trait::async_trait]
    impl Blobs for Kept {
        async fn get(&self, want: &Wanted, into: &Path) -> Result<(), Error> {
            if !self.1.swap(true, std::sync::atomic::Ordering::Relaxed) {
                return Err(Error::Unreachable("cut".to_owned()));
            }
            let whole = self.0.iter().find(|whole| whole.hash == want.hash);
            let whole = whole.ok_or(Error::Gone(want.hash))?;
            tokio::fs::write(into, &whole.bytes).await.unwrap();
            Ok(())
        }

        async fn put(&self, _: ContentHash, _: u64, _: &Path) -> Result<(), Error> {
            unreachable!("nothing is stored here")
        }

        async fn missing(&self, _: &[ContentHash]) -> Result<Vec<ContentHash>, Error> {
            unreachable!("nothing is asked here")
        }
    }

    fn heavy() -> (Vec<Value>, Vec<Value>, Vec<heavy::Whole>) {
        let blocks = vec![
            json!({"type": "text", "text": "see"}),
            json!({"type": "image", "mimeType": "image/png", "data": "A".repeat(100_000)}),
        ];
        let command = Command::new(What::UserMessage(Prompt {
            text: "see".to_owned(),
            blocks: Some(blocks.clone()),
        }));
        let (light, wholes) = heavy::lighten_command(&command).unwrap();
        let What::UserMessage(light) = light.what else {
            panic!("{light:?}");
        };
        (blocks, light.blocks.unwrap(), wholes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stand_in_is_replaced_by_its_whole_however_late_the_road() {
        let stage = tempfile::tempdir().unwrap();
        let (blocks, light, wholes) = heavy();
        assert!(is_missing(&light) && !is_missing(&blocks));
        let kept = Kept(wholes, false.into());
        assert_eq!(fetch(&kept, stage.path(), light).await, Ok(blocks));
        let left = std::fs::read_dir(stage.path()).unwrap().count();
        assert_eq!(left, 0, "nothing is left in the stage");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_or_no_block_is_said() {
        let stage = tempfile::tempdir().unwrap();
        let (_, light, _) = heavy();
        let gone = fetch(&Kept(Vec::new(), true.into()), stage.path(), light).await;
        assert!(gone.unwrap_err().contains("not there any more"));
        let odd = heavy::Whole {
            hash: ContentHash::of(b"[]"),
            bytes: b"[]".to_vec(),
        };
        let named = vec![json!({"_meta": {"ashore": {"blob": odd.hash}}})];
        let refused = fetch(&Kept(vec![odd], true.into()), stage.path(), named).await;
        assert!(refused.unwrap_err().contains("no content block"));
    }
}

//! Keeps what was said in a session, one ACP update per line, so that `session/load` can say it again.
//!
//! One small file per session below a folder that `main` names. A file that cannot be written costs the memory of
//! the session, never the turn.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use serde_json::Value;
use tokio::fs;
use tokio::io::AsyncWriteExt;

use crate::protocol::ids::RunId;

/// A session's file grows no further.
const MOST_BYTES: u64 = 16 << 20;

/// Where sessions are kept; nowhere when `folder` is absent.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) folder: Option<PathBuf>,
}

impl History {
    /// The same rule as for run ids: letters, digits, `-` and `_`, so the name cannot leave the folder.
    fn file(&self, session: &str) -> Option<PathBuf> {
        let name: RunId = session.parse().ok()?;
        Some(self.folder.as_ref()?.join(format!("{name}.ndjson")))
    }

    pub(crate) async fn append(&self, session: &str, updates: &[Value]) -> io::Result<()> {
        let Some(path) = self.file(session) else {
            return Ok(());
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).await?;
        }
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .await?;
        if file.metadata().await?.len() > MOST_BYTES {
            return Ok(());
        }
        let mut lines = String::new();
        for update in updates {
            lines.push_str(&update.to_string());
            lines.push('\n');
        }
        file.write_all(lines.as_bytes()).await?;
        file.flush().await
    }

    /// `None` when there is no such session. A line cut by a crash is left out.
    pub(crate) async fn load(&self, session: &str) -> io::Result<Option<Vec<Value>>> {
        let Some(path) = self.file(session) else {
            return Ok(None);
        };
        match fs::read(&path).await {
            Ok(bytes) => Ok(Some(
                bytes
                    .split(|byte| *byte == b'\n')
                    .filter_map(|line| serde_json::from_slice(line).ok())
                    .collect(),
            )),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn what_was_appended_is_loaded_and_a_torn_line_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let history = History {
            folder: Some(folder.path().join("kept")),
        };
        assert_eq!(history.load("s1").await.expect("reads"), None);
        history
            .append("s1", &[json!({"a": 1})])
            .await
            .expect("written");
        history
            .append("s1", &[json!({"a": 2})])
            .await
            .expect("written");
        let file = folder.path().join("kept/s1.ndjson");
        let mut bytes = std::fs::read(&file).expect("there");
        bytes.extend_from_slice(b"{\"a\":");
        std::fs::remove_file(&file).expect("removed");
        fs::write(&file, bytes).await.expect("written");
        assert_eq!(
            history.load("s1").await.expect("reads"),
            Some(vec![json!({"a": 1}), json!({"a": 2})])
        );
        assert_eq!(history.load("../../etc/passwd").await.expect("reads"), None);
    }
}

//! `--attach`: files that go with a message, read before anything is made or sent.

use std::path::PathBuf;

use crate::attach::attachment::{self, Attachment, MOST};
use crate::client::api::Api;
use crate::commands::context::Context;
use crate::commands::failure::{Exit, Failure};
use crate::commands::read;
use crate::protocol::ids::RunRef;

pub fn files(context: &Context, paths: &[PathBuf]) -> Result<Vec<Attachment>, Failure> {
    if paths.len() > MOST {
        return Err(Failure::usage(format!(
            "{} files are too many: {MOST} go with one message",
            paths.len()
        )));
    }
    let read = |path: &PathBuf| attachment::read(&context.directory.join(path));
    let files: Result<Vec<_>, String> = paths.iter().map(read).collect();
    files.map_err(Failure::usage)
}

/// An agent that has said what it takes is not sent the rest. One that has not begun is given text in its place.
pub(super) async fn must_be_taken(
    api: &Api,
    at: &RunRef,
    files: &[Attachment],
) -> Result<(), Failure> {
    if files.is_empty() {
        return Ok(());
    }
    let session = read::session(api, at).await?;
    let has_begun = session.turns > 0 || session.agent_version.is_some();
    let mut files = files.iter().filter(|_| has_begun);
    match files.find(|one| !one.is_taken(session.takes)) {
        Some(one) => Err(Failure::new(
            Exit::Other,
            format!(
                "this agent takes no {} with a message: nothing was sent because of {}",
                one.kind.words(),
                one.name
            ),
        )
        .hint("put it into the mirrored directory and name its path in the message")),
        None => Ok(()),
    }
}

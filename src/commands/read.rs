//! Reads a run's whole journal into a session: what `status`, `answer`, `ls` and `wait` look at.
//!
//! One pass, no follow; keeps no lines.

use crate::client::api::Api;
use crate::client::error::Error;
use crate::protocol::ids::{RunRef, Seq};
use crate::protocol::normalize::decode;
use crate::session::reduce::apply;
use crate::session::state::Session;

/// The session as the journal stands now.
pub async fn session(api: &Api, at: &RunRef) -> Result<Session, Error> {
    let mut session = Session::default();
    let mut logs = api.logs(at, Some(Seq::ZERO)).await?;
    while let Some((seq, line)) = logs.next().await? {
        apply(&mut session, seq, &decode(&line));
    }
    Ok(session)
}

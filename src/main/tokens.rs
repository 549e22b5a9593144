//! `ashore serve token create|ls|revoke`: who may speak with an endpoint, also while it runs.
//!
//! Part of `main`, because it joins the endpoint's store and the commands' context. A token is shown once, when it is made.

use std::path::Path;

use ashore::backend::serve::open_store;
use ashore::backend::store::{self, Store};
use ashore::cli::{Format, TokenWhat};
use ashore::commands::context::Context;
use ashore::commands::failure::{Exit, Failure};
use ashore::commands::output;
use serde_json::json;

use crate::serve::{failed, token_file};

/// The longest name.
const NAME: usize = 64;
/// The name of the token that `serve` makes or is given.
const FIRST: &str = "you";

pub(crate) async fn run(
    context: &Context,
    folder: &Path,
    what: &TokenWhat,
    format: Format,
) -> Result<Exit, Failure> {
    let store = open_store(folder).await.map_err(|error| failed(&error))?;
    let done = match what {
        TokenWhat::Create { name } => create(context, &store, name, format).await,
        TokenWhat::Ls => ls(&store, format).await,
        TokenWhat::Revoke { name } => revoke(context, &store, folder, name, format).await,
    };
    store.close().await;
    done
}

/// It stands in the journal behind what its owner says, so it must not be taken for another voice.
fn fitting(name: &str) -> Result<(), Failure> {
    let fits = (1..=NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let taken = ["agent", "client", "endpoint", FIRST].contains(&name);
    if fits && !taken {
        return Ok(());
    }
    Err(Failure::usage(format!("`{name}` cannot be a token's name"))
        .hint("1 to 64 letters, digits, `-`, `.` and `_`; not agent, client, endpoint or you"))
}

async fn create(
    context: &Context,
    store: &Store,
    name: &str,
    format: Format,
) -> Result<Exit, Failure> {
    fitting(name)?;
    let token = store
        .new_named_token(name)
        .await
        .map_err(|error| match error {
            store::Error::NameTaken(_) => Failure::usage(error.to_string()),
            error => failed(&error),
        })?;
    match format {
        Format::Text | Format::Md => {
            output::line(&token)?;
            output::say(
                context.quiet,
                "It is shown only now. Whoever has it sees and steers the runs of this endpoint: export ASHORE_TOKEN=…",
            );
        }
        Format::Json | Format::Ndjson => {
            output::json(&json!({"v": 1, "name": name, "token": token}))?;
        }
    }
    Ok(Exit::Done)
}

async fn ls(store: &Store, format: Format) -> Result<Exit, Failure> {
    let tokens = store.named_tokens().await.map_err(|error| failed(&error))?;
    match format {
        Format::Text | Format::Md => tokens.iter().try_for_each(|token| {
            let end = token.expires_at.as_deref().unwrap_or("does not expire");
            output::line(&format!("{}  made {}  {end}", token.name, token.created_at))
        })?,
        Format::Json => output::json(&json!({"v": 1, "tokens": tokens}))?,
        Format::Ndjson => tokens.iter().try_for_each(output::json)?,
    }
    Ok(Exit::Done)
}

async fn revoke(
    context: &Context,
    store: &Store,
    folder: &Path,
    name: &str,
    format: Format,
) -> Result<Exit, Failure> {
    let found = store
        .revoke_named(name)
        .await
        .map_err(|error| failed(&error))?;
    if !found {
        return Err(
            Failure::usage(format!("there is no valid token named `{name}`"))
                .hint("ashore serve token ls shows them"),
        );
    }
    // Else the next start would let it in again.
    if name == FIRST && token_file(folder).exists() {
        std::fs::remove_file(token_file(folder)).map_err(|error| {
            failed(&format!(
                "cannot remove {}: {error}",
                token_file(folder).display()
            ))
        })?;
    }
    match format {
        Format::Text | Format::Md => {
            output::say(context.quiet, &format!("`{name}` opens nothing any more."))
        }
        Format::Json | Format::Ndjson => output::json(&json!({"v": 1, "revoked": name}))?,
    }
    Ok(Exit::Done)
}

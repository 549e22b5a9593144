//! Whose refusal it was.
//!
//! Once the local endpoint is away, another program may have its port: its answers must neither end a run nor drop
//! anything. So an error that would be final passes until the endpoint of the state file proves that it is the one who
//! was asked.

use std::path::Path;

use reqwest::Url;

use crate::client::error::Error;
use crate::client::local;
use crate::mirror::blobs;

/// What an answer of whoever listens at `asked` means for a call. `state` is the local endpoint's state file; without one
/// the endpoint stands where its user says.
pub async fn believe<T>(
    state: Option<&Path>,
    asked: &Url,
    answer: Result<T, Error>,
) -> Result<T, Error> {
    match answer {
        Err(error) if !error.is_passing() && !is_at(state, asked).await => {
            Err(Error::Unreachable {
                text: stranger(asked),
            })
        }
        Ok(_) | Err(_) => answer,
    }
}

/// The same for a content.
pub async fn believe_of_blob<T>(
    state: Option<&Path>,
    asked: &Url,
    answer: Result<T, blobs::Error>,
) -> Result<T, blobs::Error> {
    use blobs::Error::{Gone, Refused, Unreachable, Wrong};
    match answer {
        Err(Gone(_) | Wrong { .. } | Refused(_)) if !is_at(state, asked).await => {
            Err(Unreachable(stranger(asked)))
        }
        Ok(_) | Err(_) => answer,
    }
}

async fn is_at(state: Option<&Path>, asked: &Url) -> bool {
    match state {
        Some(state) => local::look_at(state).await.as_ref() == Some(asked),
        None => true,
    }
}

fn stranger(asked: &Url) -> String {
    format!("another program answers at {asked}")
}

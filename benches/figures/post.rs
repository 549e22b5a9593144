//! From a client's POST to the event that tells it, through an endpoint that syncs before it tells.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use ashore::client::stream::{Heard, View, follow};
use ashore::protocol::command::Command;
use ashore::protocol::ids::Seq;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::endpoint::Endpoint;
use crate::measure::{Figure, Goal, Unit, median, millis, now, timed};

const POSTS: usize = 300;

pub(crate) fn figures(scale: usize) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temp folder");
    let (posts, syncs) = runtime.block_on(compare(folder.path(), POSTS / scale));
    vec![Figure {
        name: "POST",
        what: "POST to its event at a follower, durable / a bare fdatasync",
        value: posts.as_secs_f64() / syncs.as_secs_f64(),
        unit: Unit::Ratio,
        goal: Goal::None,
        sides: format!("{:.2} ms, {:.2} ms", millis(posts), millis(syncs)),
    }]
}

async fn compare(folder: &Path, count: usize) -> (Duration, Duration) {
    let endpoint = Endpoint::start(&folder.join("store")).await;
    let at = endpoint.new_run().await;
    let (out, mut heard) = mpsc::channel(64);
    let (api, place) = (endpoint.api(), at.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let error = follow(&api, &place, View::Journal, Seq::ZERO, &out).await;
        panic!("the stream ended: {error}");
    });
    while !matches!(heard.recv().await, Some(Heard::Live)) {}
    let api = endpoint.api();
    let mut file = File::create(folder.join("bare")).expect("a file");
    let line = vec![b'x'; 250];
    let (mut posts, mut syncs) = (Vec::new(), Vec::new());
    for number in 0..count {
        let mut command = Command::user_message(format!("message {number}"));
        command.id = Some(ashore::protocol::ids::CommandId::random());
        let began = now();
        let told = async {
            while !matches!(heard.recv().await, Some(Heard::Lines(_))) {}
            began.elapsed()
        };
        let (answer, told) = tokio::join!(api.post(&at, &command), told);
        answer.expect("it is accepted");
        posts.push(told);
        syncs.push(timed(|| {
            file.write_all(&line).expect("it can be written");
            file.sync_data().expect("it can be synced");
        }));
    }
    (median(posts), median(syncs))
}

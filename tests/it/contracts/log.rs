//! What every log must do, whatever it is kept in.

use std::sync::Arc;

use ashore::backend::log::Log;
use ashore::backend::log::file::{FileLog, Fsync};
use ashore::protocol::ids::{RunId, Seq};
use bytes::Bytes;

fn run() -> RunId {
    "7d0c2f9e-3b1a-4c58-9f6e-5a2b8c1d4e70".parse().unwrap()
}

fn numbered(numbers: std::ops::Range<u64>) -> Vec<Bytes> {
    numbers
        .map(|n| Bytes::from(format!("{{\"n\":{n}}}")))
        .collect()
}

async fn numbers_are_given_in_order_without_a_gap(log: &dyn Log) {
    let lines = log.open(&run()).await.unwrap();
    assert_eq!(lines.last(), Seq(0));
    let first = lines.submit(numbered(0..3));
    let second = lines.submit(numbered(3..4));
    let nothing = lines.submit(Vec::new());
    assert_eq!(
        (first.last, second.last, nothing.last),
        (Seq(3), Seq(4), Seq(4))
    );
    nothing.durable.await.unwrap();
    assert_eq!(lines.last(), Seq(4));
    assert_eq!(
        lines.read_after(Seq(0), usize::MAX).await.unwrap(),
        numbered(0..4)
    );
}

async fn a_ticket_that_nobody_waits_for_is_kept_all_the_same(log: &dyn Log) {
    let lines = log.open(&run()).await.unwrap();
    drop(lines.submit(numbered(0..1)));
    lines.submit(Vec::new()).durable.await.unwrap();
    assert_eq!(lines.read_after(Seq(0), 1).await.unwrap(), numbered(0..1));
}

async fn a_read_begins_behind_its_number_and_stops_near_its_size(log: &dyn Log) {
    let lines = log.open(&run()).await.unwrap();
    lines.submit(numbered(0..1000)).durable.await.unwrap();
    let some = lines.read_after(Seq(10), 50).await.unwrap();
    assert!((1..20).contains(&some.len()));
    assert_eq!(some[0], numbered(10..11)[0]);
    assert_eq!(
        lines.read_after(Seq(999), 1).await.unwrap(),
        numbered(999..1000)
    );
    assert!(lines.read_after(Seq(1000), 1).await.unwrap().is_empty());
}

async fn what_was_durable_is_there_after_opening_again(log: &dyn Log) {
    let lines = log.open(&run()).await.unwrap();
    lines.submit(numbered(0..5)).durable.await.unwrap();
    drop(lines);
    let lines = log.open(&run()).await.unwrap();
    assert_eq!(lines.last(), Seq(5));
    assert_eq!(lines.submit(numbered(5..6)).last, Seq(6));
}

async fn a_removed_log_begins_again_at_nothing(log: &dyn Log) {
    log.remove(&run()).await.unwrap();
    let lines = log.open(&run()).await.unwrap();
    lines.submit(numbered(0..5)).durable.await.unwrap();
    drop(lines);
    log.remove(&run()).await.unwrap();
    assert_eq!(log.open(&run()).await.unwrap().last(), Seq(0));
}

#[tokio::test]
async fn a_log_in_files_keeps_the_contract() {
    for fsync in [Fsync::Group, Fsync::Never] {
        let fresh = || {
            let folder = tempfile::tempdir().unwrap();
            let log: Arc<dyn Log> =
                Arc::new(FileLog::new(folder.path().to_owned(), fsync).unwrap());
            (folder, log)
        };
        let (_folder, log) = fresh();
        numbers_are_given_in_order_without_a_gap(&*log).await;
        let (_folder, log) = fresh();
        a_ticket_that_nobody_waits_for_is_kept_all_the_same(&*log).await;
        let (_folder, log) = fresh();
        a_read_begins_behind_its_number_and_stops_near_its_size(&*log).await;
        let (_folder, log) = fresh();
        what_was_durable_is_there_after_opening_again(&*log).await;
        let (_folder, log) = fresh();
        a_removed_log_begins_again_at_nothing(&*log).await;
    }
}

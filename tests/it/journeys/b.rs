//! (b) The user's words → outbox → POST → journal.

use ashore::attach::state::{Attached, Posting};

use crate::journeys::house::House;

#[tokio::test(flavor = "multi_thread")]
async fn words_leave_the_outbox_when_they_stand_in_the_journal_and_stand_there_once() {
    let mut house = House::open().await;
    let (launched, _) = house.launch().await;
    let mut follower = house.follow(&launched.at, "me").await;
    follower.until_live().await;
    // Nobody is there to take them: they wait, and are not lost.
    house.kill().await;
    let id = follower.say("/say 1");
    let first = &follower.attached.outbox[0];
    assert_eq!(first.command.id.as_ref(), Some(&id));
    assert!(!matches!(
        first.state,
        Posting::Accepted | Posting::Refused(_)
    ));
    house.start().await;
    let taken = |attached: &Attached| attached.outbox.is_empty();
    follower.until("the words are accepted", taken).await;
    follower.until_answered(&id).await;
    let journal = house.journal(&launched.at).await;
    let said: Vec<_> = journal
        .iter()
        .filter(|line| line["type"] == "client_message")
        .collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0]["id"], id.as_str());
    assert_eq!(said[0]["message"]["params"]["content"], "/say 1");
}

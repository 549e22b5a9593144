//! (d) A file edited here → counted, kept, and never overwritten.

use ashore::attach::state::Attached;

use crate::journeys::house::House;

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_here_is_counted_and_what_the_agent_writes_there_is_put_beside_it() {
    let house = House::open().await;
    house.write("both.txt", "base\n");
    let (launched, _) = house.launch().await;
    let mut follower = house.mirror(&launched, "me").await;
    follower.until_live().await;
    let compared = |attached: &Attached| attached.mirror.checked_at.is_some();
    follower.until("the directory was compared", compared).await;
    assert_eq!(follower.attached.mirror.up, 0);
    house.write("both.txt", "mine\n");
    let counted = |attached: &Attached| attached.mirror.up == 1;
    follower.until("the edit is counted", counted).await;
    let id = follower.say("/write both.txt theirs");
    follower.until_answered(&id).await;
    let listed = |attached: &Attached| attached.mirror.conflicts.len() == 1;
    follower.until("the conflict is listed", listed).await;
    let conflict = follower.attached.mirror.conflicts[0].clone();
    assert_eq!(conflict.path, "both.txt");
    assert_eq!(house.read("both.txt").as_deref(), Some("mine\n"));
    let theirs = conflict.theirs.expect("a copy of theirs");
    assert_eq!(house.read(&theirs).as_deref(), Some("theirs"));
}

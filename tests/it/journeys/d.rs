//! (d) A file edited here → the sandbox, before the next prompt is taken; and what comes of it when both sides change.

use std::path::Path;

use ashore::attach::event::Event;
use ashore::attach::state::Attached;
use ashore::mirror::control::Keep;
use ashore::mirror::status::{MirrorState, Way};
use ashore::mirror::worker::Order;

use crate::journeys::house::House;

fn read(root: &Path, path: &str) -> Option<String> {
    std::fs::read_to_string(root.join(path)).ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the user's own editor, in a test"
)]
fn write(root: &Path, path: &str, text: &str) {
    std::fs::write(root.join(path), text).expect("a folder of the test's own");
}

fn settled(attached: &Attached) -> bool {
    let mirror = &attached.mirror;
    mirror.state == MirrorState::Live
        && (mirror.down, mirror.up) == (0, 0)
        && mirror.settled >= attached.session.last
        && mirror.checked_at.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_edited_here_is_in_the_sandbox_before_the_prompt_is_taken() {
    let house = House::open().await;
    house.write("a.txt", "one\n");
    let (launched, _) = house.launch().await;
    let mut follower = house.mirror(&launched, "me").await;
    follower.until_live().await;
    follower.until("the first look is over", settled).await;
    // Written and said in one breath: nobody has seen the edit yet.
    house.write("a.txt", "two\n");
    house.write("new/b.txt", "new\n");
    let id = follower.say("/run cat a.txt new/b.txt > seen.txt");
    follower.until_answered(&id).await;
    follower.until("it is settled", settled).await;
    assert_eq!(house.read("seen.txt").as_deref(), Some("two\nnew\n"));
    assert_eq!(follower.attached.mirror.conflicts, []);
    // A rename, a delete and the exec bit, without a word.
    std::fs::remove_file(house.work().join("new/b.txt")).expect("it stands");
    house.write("new/c.txt", "new\n");
    let id = follower.say("/run ls new > seen.txt");
    follower.until_answered(&id).await;
    follower.until("it is settled", settled).await;
    assert_eq!(house.read("seen.txt").as_deref(), Some("c.txt\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_in_two_directories_on_one_run_converge() {
    let house = House::open().await;
    house.write("a.txt", "one\n");
    let (launched, _) = house.launch().await;
    let mut mine = house.mirror(&launched, "me").await;
    mine.until_live().await;
    mine.until("the first look is over", settled).await;
    let mut other = house.mirror_elsewhere(&launched, "other").await;
    let other_root = house.elsewhere("other");
    other.until_live().await;
    other.until("everything has come", settled).await;
    assert_eq!(read(&other_root, "a.txt").as_deref(), Some("one\n"));
    house.write("a.txt", "two\n");
    write(&other_root, "b.txt", "from the other\n");
    let id = mine.say("/run cat a.txt > seen.txt");
    mine.until_answered(&id).await;
    let last = mine.attached.session.last;
    let come = move |attached: &Attached| attached.session.last >= last && settled(attached);
    other.until("mine has come there", come).await;
    assert_eq!(read(&other_root, "a.txt").as_deref(), Some("two\n"));
    assert_eq!(read(&other_root, "seen.txt").as_deref(), Some("two\n"));
    // Theirs has been sent by now, or goes with this.
    let id = other.say("/run cat b.txt > seen.txt");
    other.until_answered(&id).await;
    let last = other.attached.session.last;
    let come = move |attached: &Attached| attached.session.last >= last && settled(attached);
    mine.until("theirs has come here", come).await;
    assert_eq!(house.read("seen.txt").as_deref(), Some("from the other\n"));
    assert_eq!(house.read("b.txt").as_deref(), Some("from the other\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_both_sides_change_is_kept_twice_and_mine_goes_up_when_it_is_said_to() {
    let house = House::open().await;
    house.write("both.txt", "base\n");
    let (launched, _) = house.launch().await;
    let mut follower = house.mirror(&launched, "me").await;
    follower.until_live().await;
    let compared = |attached: &Attached| attached.mirror.checked_at.is_some();
    follower.until("the directory was compared", compared).await;
    assert_eq!(follower.attached.mirror.up, 0);
    // Held here, so that the agent writes before the edit arrives.
    follower.wish(Event::MirrorOrder(Order::Direct(Way::Down)));
    let down = |attached: &Attached| attached.mirror.direction == Way::Down;
    follower.until("only theirs travels", down).await;
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
    follower.wish(Event::MirrorOrder(Order::Direct(Way::Both)));
    let both = |attached: &Attached| attached.mirror.direction == Way::Both;
    follower.until("both travel", both).await;
    let id = follower.say("/run cat both.txt > seen.txt");
    follower.until_answered(&id).await;
    let seen = |_: &Attached| house.read("seen.txt").as_deref() == Some("theirs");
    follower.until("in conflict nothing goes up", seen).await;
    let path = "both.txt".parse().expect("a path");
    follower.wish(Event::MirrorOrder(Order::Resolve {
        path,
        keep: Keep::Mine,
    }));
    let over = |attached: &Attached| attached.mirror.conflicts.is_empty();
    follower.until("it is resolved", over).await;
    let id = follower.say("/run cat both.txt > seen.txt");
    follower.until_answered(&id).await;
    let seen = |_: &Attached| house.read("seen.txt").as_deref() == Some("mine\n");
    follower.until("mine is there", seen).await;
    assert_eq!(house.read(&theirs), None);
}

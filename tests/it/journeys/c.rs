//! (c) A file the agent changes → disk.

use std::os::unix::fs::PermissionsExt;

use ashore::attach::state::Attached;
use ashore::protocol::ids::CommandId;

use crate::journeys::house::{Follower, House};

/// Until the turn is over and every file of it has been decided here.
async fn settled(follower: &mut Follower, id: &CommandId) {
    follower.until_answered(id).await;
    let last = follower.attached.session.last;
    let decided = move |attached: &Attached| attached.mirror.settled >= last;
    follower.until("the files are settled", decided).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_writes_makes_executable_and_deletes_happens_here_too() {
    let house = House::open().await;
    house.write("old.txt", "old\n");
    house.write("tool.sh", "#!/bin/sh\n");
    let (launched, _) = house.launch().await;
    let mut follower = house.mirror(&launched, "me").await;
    follower.until_live().await;
    let id = follower.say("/write notes/a.txt hello");
    settled(&mut follower, &id).await;
    assert_eq!(house.read("notes/a.txt").as_deref(), Some("hello"));
    let id = follower.say("/chmod +x tool.sh");
    settled(&mut follower, &id).await;
    let mode = std::fs::metadata(house.work().join("tool.sh")).map(|file| file.permissions());
    assert_eq!(mode.expect("it stands").mode() & 0o111, 0o111);
    let id = follower.say("/run rm old.txt");
    settled(&mut follower, &id).await;
    assert_eq!(house.read("old.txt"), None);
    let mirror = &follower.attached.mirror;
    assert_eq!((mirror.down, mirror.up), (0, 0));
    assert_eq!(mirror.conflicts, []);
}

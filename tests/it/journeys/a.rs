//! (a) Bytes of the stream → transcript.

use crate::journeys::house::{House, words};

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_says_streams_into_the_transcript_of_an_open_session() {
    let house = House::open().await;
    let (launched, _) = house.launch().await;
    let mut follower = house.follow(&launched.at, "me").await;
    // From here on everything comes by the stream, not by history.
    follower.until_live().await;
    let id = follower.say("/say 40 2");
    follower.until_answered(&id).await;
    assert_eq!(follower.agent_text(), words(40));
    assert!(follower.attached.session.is_idle());
    follower.heard_all_once();
}

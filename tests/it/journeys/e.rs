//! (e) A prompt's round trip, with the endpoint killed on the way.

use ashore::attach::state::Attached;
use ashore::session::transcript::Body;

use crate::journeys::house::{House, text, words};

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_goes_on_through_two_deaths_of_the_endpoint_and_every_follower_hears_all_of_it_once()
{
    let mut house = House::open().await;
    let (launched, _) = house.launch().await;
    let mut here = house.follow(&launched.at, "me").await;
    let mut there = house.follow(&launched.at, "another").await;
    tokio::join!(here.until_live(), there.until_live());
    let id = here.say("/say 300 5");
    for enough in [60, 160] {
        let far = move |attached: &Attached| text(attached).split_whitespace().count() >= enough;
        tokio::join!(
            here.until("the turn goes on", far),
            there.until("the turn goes on", far)
        );
        house.kill().await;
        house.start().await;
    }
    tokio::join!(here.until_answered(&id), there.until_answered(&id));
    for follower in [&here, &there] {
        assert_eq!(follower.agent_text(), words(300));
        follower.heard_all_once();
    }
    let ends = here.attached.session.transcript.cells.iter();
    let ends: Vec<_> = ends
        .filter_map(|cell| match &cell.body {
            Body::TurnEnd { stop_reason, .. } => Some(stop_reason.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(ends, ["end_turn"]);
    let numbers = house.journal(&launched.at).await.len() as u64;
    assert!(numbers >= here.attached.session.last.0);
}

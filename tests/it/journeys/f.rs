//! (f) A run is created: task, run, contents, manifest, then the sandbox's named steps.

use ashore::attach::launch::Progress;
use ashore::attach::state::Attached;
use ashore::protocol::entry::StepStatus;

use crate::journeys::house::House;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_run_tells_its_steps_by_name_in_order_and_each_one_ends() {
    let house = House::open().await;
    house.write("a.txt", "a\n");
    let (launched, progress) = house.launch().await;
    let place = |wanted: fn(&Progress) -> bool| progress.iter().position(wanted);
    let places = [
        place(|one| matches!(one, Progress::Scanning)),
        place(|one| matches!(one, Progress::Creating)),
        place(|one| matches!(one, Progress::Created(_))),
        place(|one| matches!(one, Progress::Seeded)),
    ];
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{progress:?}"
    );
    let mut follower = house.follow(&launched.at, "me").await;
    let ready = |attached: &Attached| {
        attached
            .session
            .steps
            .iter()
            .any(|step| step.step.name == "agent" && step.status() == StepStatus::Done)
    };
    follower.until("the agent is ready", ready).await;
    let steps = &follower.attached.session.steps;
    let names: Vec<_> = steps.iter().map(|step| step.step.name.as_str()).collect();
    assert_eq!(names, ["queued", "sandbox", "workspace", "agent"]);
    for step in steps {
        assert_eq!(step.status(), StepStatus::Done, "{step:?}");
        let (started, ended) = (step.started.expect("a time"), step.ended.expect("a time"));
        assert!(started <= ended, "{step:?}");
    }
    let journal = house.journal(&launched.at).await;
    let told: Vec<_> = journal
        .iter()
        .map(|line| &line["notification"])
        .filter(|message| message["method"] == "_ashore/step")
        .map(|message| {
            let word = |key: &str| message["params"][key].as_str().unwrap_or("").to_owned();
            format!("{} {}", word("step"), word("status"))
        })
        .collect();
    let mut expected = Vec::new();
    for name in names {
        expected.extend([format!("{name} started"), format!("{name} done")]);
    }
    assert_eq!(told, expected);
}

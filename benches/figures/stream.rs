//! P16: what is written to the terminal while 40 KB of Markdown stream in, 100 pieces of 25 bytes a second.

use std::path::Path;
use std::time::Duration;

use ashore::protocol::ids::RunRef;
use ashore::protocol::line;
use jiff::Timestamp;
use serde_json::json;

use crate::data::{Chance, LAST, SESSION};
use crate::endpoint::{Endpoint, TOKEN};
use crate::measure::{Figure, Goal, Unit, pause};
use crate::terminal::{Home, Terminal};

const CONTENT: usize = 40_000;
const PIECE: usize = 25;
const BETWEEN: Duration = Duration::from_millis(10);

/// An endpoint with a run whose first turn has begun.
pub(crate) async fn begun(store: &Path) -> (Endpoint, RunRef) {
    let endpoint = Endpoint::start(store).await;
    let at = endpoint.new_run().await;
    let begin = [json!({"type": "text", "text": "go"})];
    let begin = line::prompt_request(&json!(1), SESSION, &begin, None);
    endpoint
        .append(&at, &[line::notification_line(Timestamp::now(), &begin)])
        .await;
    (endpoint, at)
}

pub(crate) fn figures(scale: usize) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temp folder");
    let text = markdown(CONTENT / scale);
    let (endpoint, at) = runtime.block_on(begun(&folder.path().join("store")));
    let home = Home::of(&endpoint.url, TOKEN);
    let screens = [(120, "wide"), (80, "one column")].map(|(columns, _)| {
        let screen = Terminal::ashore(&home, &["attach", at.run.as_str()], columns, 40);
        screen.shows("live");
        pause(Duration::from_secs(1));
        let before = screen.count();
        (screen, before)
    });
    runtime.block_on(async {
        let mut pieces = tokio::time::interval(BETWEEN);
        for piece in text.as_bytes().chunks(PIECE) {
            pieces.tick().await;
            endpoint
                .append(&at, &[chunk(&String::from_utf8_lossy(piece))])
                .await;
        }
        endpoint.append(&at, &[chunk(&format!("\n\n{LAST}"))]).await;
    });
    let written = screens.map(|(screen, before)| {
        screen.shows(LAST);
        let count = screen.count() - before;
        screen.leave();
        count as f64 / text.len() as f64
    });
    let figure = |what, value, goal| Figure {
        name: "P16",
        what,
        value,
        unit: Unit::BytesPerByte,
        goal: Goal::AtMost(goal),
        sides: format!("{} bytes of Markdown", text.len()),
    };
    vec![
        figure(
            "bytes to the terminal a byte of content, 120x40, two columns",
            written[0],
            16.0,
        ),
        figure(
            "bytes to the terminal a byte of content, 80x40, one column",
            written[1],
            5.0,
        ),
    ]
}

pub(crate) fn chunk(text: &str) -> String {
    let update =
        json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}});
    line::notification_line(Timestamp::now(), &line::update(SESSION, update))
}

/// Headings, paragraphs, lists and code, as an agent writes them.
pub(crate) fn markdown(length: usize) -> String {
    let mut chance = Chance(5);
    let mut text = String::new();
    while text.len() < length {
        match chance.below(5) {
            0 => text.push_str(&format!(
                "## {}\n\n",
                chance.words(24).replace('\n', " ").trim()
            )),
            1 => {
                for _ in 0..4 {
                    text.push_str(&format!(
                        "- {}\n",
                        chance.words(60).replace('\n', " ").trim()
                    ));
                }
                text.push('\n');
            }
            2 => {
                text.push_str("```rust\n");
                for number in 0..5 {
                    text.push_str(&format!(
                        "let tide{number} = measure(\"{number}\").await?;\n"
                    ));
                }
                text.push_str("```\n\n");
            }
            _ => text.push_str(&format!(
                "{}\n\n",
                chance.words(320).replace('\n', " ").trim()
            )),
        }
    }
    text.truncate(length);
    text
}

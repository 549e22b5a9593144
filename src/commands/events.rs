//! `ashore events`: the journal, one line per entry, exactly once and in order.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use crate::cli::Format;
use crate::client::stream::Heard;
use crate::commands::context::{Context, Found};
use crate::commands::failure::{Exit, Failure};
use crate::commands::follow::follow;
use crate::commands::output;
use crate::protocol::entry::{Decoded, From};
use crate::protocol::ids::Seq;
use crate::protocol::normalize::decode;

/// One entry of the machine output (design of the surface).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line<'a> {
    v: u8,
    run: &'a str,
    seq: u64,
    time: Option<String>,
    from: &'static str,
    message: Cow<'a, Value>,
}

/// The line as machines read it; `None` for one that says nothing.
pub fn line<'a>(run: &'a str, seq: Seq, decoded: &'a Decoded) -> Option<Line<'a>> {
    match decoded {
        Decoded::Entry(entry) => {
            let time = entry.timestamp.map(|time| time.to_string());
            Some(Line {
                v: 1,
                run,
                seq: seq.0,
                time,
                from: entry.from.as_str(),
                message: entry.message.value(),
            })
        }
        Decoded::Bad(_) => Some(Line {
            v: 1,
            run,
            seq: seq.0,
            time: None,
            from: From::Agent.as_str(),
            // It was no JSON.
            message: Cow::Owned(Value::Null),
        }),
        Decoded::Blank => None,
    }
}

/// For people: sequence, time, side, and what it is.
fn text(seq: Seq, decoded: &Decoded) -> Option<String> {
    match decoded {
        Decoded::Entry(entry) => {
            let time = entry
                .timestamp
                .map_or_else(|| "-".to_owned(), |time| time.to_string());
            let message = entry.message.value();
            let method = message
                .get("method")
                .and_then(Value::as_str)
                .unwrap_or("response");
            let kind = message
                .pointer("/params/update/sessionUpdate")
                .and_then(Value::as_str)
                .unwrap_or("");
            Some(output::plain(
                format!(
                    "{seq:>6}  {time}  {:<8}  {method} {kind}",
                    entry.from.as_str()
                )
                .trim_end(),
            ))
        }
        Decoded::Bad(line) => Some(output::plain(&format!(
            "{seq:>6}  not JSON: {}",
            line.chars().take(80).collect::<String>()
        ))),
        Decoded::Blank => None,
    }
}

fn print(format: Format, run: &str, seq: Seq, decoded: &Decoded) -> Result<(), Failure> {
    match format {
        Format::Text | Format::Md => text(seq, decoded).map_or(Ok(()), |text| output::line(&text)),
        Format::Json | Format::Ndjson => {
            line(run, seq, decoded).map_or(Ok(()), |line| output::json(&line))
        }
    }
}

/// Prints from sequence `from` on; with `follow` until the run ends.
pub async fn run(
    context: &Context,
    text: &str,
    from: u64,
    follow: bool,
    format: Format,
) -> Result<Exit, Failure> {
    let found = context.find(text).await?;
    let after = Seq(from.saturating_sub(1));
    if follow {
        go_on(context, &found, after, format).await
    } else {
        once(&found, after, format).await
    }
}

async fn once(found: &Found, after: Seq, format: Format) -> Result<Exit, Failure> {
    let mut logs = found.api.logs(&found.at, Some(after)).await?;
    while let Some((seq, line)) = logs.next().await? {
        print(format, found.at.run.as_str(), seq, &decode(&line))?;
    }
    Ok(Exit::Done)
}

async fn go_on(
    context: &Context,
    found: &Found,
    after: Seq,
    format: Format,
) -> Result<Exit, Failure> {
    follow(context, found, after, |heard| match heard {
        Heard::Lines(lines) => {
            for (seq, decoded) in &lines {
                print(format, found.at.run.as_str(), *seq, decoded)?;
            }
            Ok(None)
        }
        Heard::Ended(_) => Ok(Some(Exit::Done)),
        Heard::Opened { .. } | Heard::Live | Heard::Presence(_) => Ok(None),
    })
    .await
}

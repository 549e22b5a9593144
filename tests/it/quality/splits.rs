//! R9: however the bytes of a stream are cut, and whichever line ends it has, no event of it is lost.
//!
//! Through the client's own road: the HTTP answer, `reqwest-eventsource` (and `eventsource-stream` in it) on its leash,
//! and `client::stream`. A stream holds all events; in pass `n` every event of it is cut before its `n`th byte, so that
//! after as many passes as the longest event has bytes each event has been cut everywhere, with its neighbours beside it.

use ashore::client::error::Error;

use crate::quality::count;
use crate::quality::wire::Wire;

/// One event as the endpoint of the reference, ours, or a proxy between might write it.
fn event(n: usize, end: &str) -> (String, String) {
    let words = [
        "",
        "é",
        "漢字",
        "👩\u{200d}👩",
        "\u{2028}",
        "a: b",
        ": c",
        " ",
    ];
    let word = words[n % words.len()];
    let line = format!("{{\"n\":{n},\"t\":\"{word}\"}}");
    let id = format!("id: {n}{end}");
    let text = match n % 5 {
        0 => format!("{id}data: {line}{end}{end}"),
        1 => format!("data: {line}{end}{id}{end}"),
        2 => format!(": keepalive{end}{end}{id}data:{line}{end}{end}"),
        3 => {
            // Two lines of data are one with LF between.
            let (head, tail) = line.split_at(line.find(',').expect("has one") + 1);
            return (
                format!("{head}\n{tail}"),
                format!("{id}data: {head}{end}data: {tail}{end}{end}"),
            );
        }
        _ => format!(
            "event: keepalive{end}data: {{}}{end}{end}retry: 10{end}{id}data: {line}{end}{end}"
        ),
    };
    (line, text)
}

#[tokio::test]
async fn no_cut_at_any_byte_of_any_event_loses_one() {
    let events = count("ASHORE_EVENTS", 40);
    let wire = Wire::new().await;
    for end in ["\n", "\r\n", "\r"] {
        let (lines, mut texts): (Vec<_>, Vec<_>) = (1..=events).map(|n| event(n, end)).unzip();
        // The library holds a CR back until it knows that it is no half of CRLF: what follows brings the last event.
        texts.push(format!(": keepalive{end}{end}"));
        let want: Vec<(u64, Vec<u8>)> = (1..)
            .zip(&lines)
            .map(|(n, line)| (n, line.clone().into_bytes()))
            .collect();
        let longest = texts.iter().map(String::len).max().unwrap_or_default();
        for cut in 0..longest {
            let pieces: Vec<&[u8]> = texts
                .iter()
                .flat_map(|text| {
                    let (head, tail) = text.as_bytes().split_at(cut.min(text.len()));
                    [head, tail]
                })
                .collect();
            arrives(&wire, &pieces, &want, &format!("{end:?}, cut at {cut}")).await;
        }
        let whole = texts.concat();
        arrives(
            &wire,
            &[whole.as_bytes()],
            &want,
            &format!("{end:?}, whole"),
        )
        .await;
        let single: Vec<&[u8]> = whole.as_bytes().chunks(1).collect();
        arrives(&wire, &single, &want, &format!("{end:?}, byte by byte")).await;
    }
}

async fn arrives(wire: &Wire, pieces: &[&[u8]], want: &[(u64, Vec<u8>)], case: &str) {
    let followed = wire.follow(pieces).await;
    assert!(
        matches!(followed.why, Error::Unreachable { .. }),
        "{case}: {:?}",
        followed.why
    );
    let first = followed.lines.iter().zip(want).find(|(a, b)| a != b);
    assert!(first.is_none(), "{case}: {first:?}");
    assert_eq!(followed.lines.len(), want.len(), "{case}");
}

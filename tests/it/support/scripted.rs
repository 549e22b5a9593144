//! An endpoint that says exactly what a test wants it to say, over real HTTP on loopback.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};

/// What it answers with.
#[derive(Default)]
pub(crate) struct Script {
    /// The journal, one line each.
    pub(crate) lines: Vec<String>,
    /// Contents by hash.
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    /// Instead of the usual answer, for the first path that ends so: the whole response, as bytes.
    pub(crate) instead: Vec<(String, Vec<u8>)>,
    /// The answer of `artifacts/presign/`.
    pub(crate) presigned: Option<String>,
    /// It is none of ours: no header of ours, no `after`, no views; what its stream says before it falls silent.
    pub(crate) foreign: Option<String>,
    /// After so many contents one comes only by half, and this hears of it.
    pub(crate) stumble: Option<(usize, mpsc::Sender<()>)>,
}

/// It listens until the test process ends.
pub(crate) struct Scripted {
    pub(crate) url: String,
    /// Request heads, as they came.
    pub(crate) heard: Arc<Mutex<Vec<String>>>,
    /// May be written on while it serves.
    pub(crate) script: Arc<Mutex<Script>>,
}

pub(crate) const RUN: &str = "/api/projects/1/tasks/11111111-0000-4000-8000-000000000001/runs/22222222-0000-4000-8000-000000000002";

impl Scripted {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(Mutex::new(script)), Arc::clone(&heard));
        let served = Arc::clone(&script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, log) = (Arc::clone(&served), Arc::clone(&log));
                std::thread::spawn(move || drop(answer(stream, &script, &log)));
            }
        });
        Self { url, heard, script }
    }

    /// The run's full URL.
    pub(crate) fn run(&self) -> String {
        format!("{}{RUN}", self.url)
    }
}

fn answer(
    mut stream: TcpStream,
    script: &Mutex<Script>,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    log.lock()
        .expect("no panic in another thread")
        .push(head.clone());
    let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
    let (response, foreign) = {
        let mut script = script.lock().expect("no panic in another thread");
        let foreign = script.foreign.clone();
        let path = match &foreign {
            Some(_) => path.split('?').next().unwrap_or(&path),
            None => &path,
        };
        match &foreign {
            Some(events) if head.starts_with("GET") && path.ends_with("/sync") => {
                (format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{events}").into_bytes(), true)
            }
            Some(_) => (as_foreign(&respond(path, &mut script)), false),
            None => (respond(path, &mut script), false),
        }
    };
    if let Some(told) = stumbles(&path, script) {
        stream.write_all(&response[..response.len().div_ceil(2)])?;
        told.send(()).ok();
        // Until the reader goes away.
        stream.read_exact(&mut [0])?;
    }
    stream.write_all(&response)?;
    if foreign || path.contains("/sync") && path.contains("view=") {
        // The stream stays open until the reader goes away.
        let mut rest = [0];
        drop(stream.read(&mut rest));
    }
    Ok(())
}

/// Who wants to hear that this content comes only by half.
fn stumbles(path: &str, script: &Mutex<Script>) -> Option<mpsc::Sender<()>> {
    let mut script = script.lock().expect("no panic in another thread");
    if !path.contains("/blobs/") {
        return None;
    }
    let (left, _) = script.stumble.as_mut()?;
    if *left > 0 {
        *left -= 1;
        return None;
    }
    script.stumble.take().map(|(_, told)| told)
}

const OURS: &str = "X-Ashore-Wire: 1\r\nX-Ashore-Version: 0.1.0\r\nX-Sync-Ids: log-sequence\r\nX-Keepalive: 15\r\n";

/// The same answer without what only ours says.
fn as_foreign(response: &[u8]) -> Vec<u8> {
    let end = response
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or(response.len());
    let (head, body) = response.split_at(end);
    let head: Vec<&str> = std::str::from_utf8(head)
        .expect("a head is text")
        .split("\r\n")
        .filter(|line| !line.starts_with("X-"))
        .collect();
    [head.join("\r\n").as_bytes(), body].concat()
}

fn reply(status: &str, kind: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let mut all = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{OURS}{more}Connection: close\r\n\r\n", body.len()).into_bytes();
    all.extend_from_slice(body);
    all
}

#[expect(clippy::too_many_lines, reason = "a table of routes")]
fn respond(path: &str, script: &mut Script) -> Vec<u8> {
    let (route, query) = path.split_once('?').unwrap_or((path, ""));
    let route = route.trim_end_matches('/');
    if let Some(index) = script
        .instead
        .iter()
        .position(|(end, _)| route.ends_with(end.as_str()))
    {
        return script.instead.remove(index).1;
    }
    let json = |body: String| reply("200 OK", "application/json", "", body.as_bytes());
    if route.ends_with("/@me") {
        return json(r#"{"id":1,"email":"a@example.com","team":{"id":1,"name":"T"}}"#.into());
    }
    if route.ends_with("/logs") {
        let after: usize = query
            .split('&')
            .find_map(|part| part.strip_prefix("after="))
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        let body: String = script
            .lines
            .iter()
            .skip(after)
            .map(|line| format!("{line}\n"))
            .collect();
        return reply(
            "200 OK",
            "application/jsonl",
            &format!("X-Last-Seq: {}\r\n", script.lines.len()),
            body.as_bytes(),
        );
    }
    if route.ends_with("/sync") && query.contains("view=") {
        let hello = format!(
            "event: hello\ndata: {{\"last_seq\":{},\"keepalive\":15}}\n\nevent: end\ndata: {{\"status\":\"completed\"}}\n\n",
            script.lines.len()
        );
        return format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{OURS}Connection: close\r\n\r\n{hello}").into_bytes();
    }
    if route.ends_with("/sync") {
        return reply("202 Accepted", "application/json", "", b"");
    }
    if route.ends_with("/file_manifest") {
        return reply("204 No Content", "application/json", "", b"");
    }
    if route.ends_with("/presign") {
        return json(format!(
            r#"{{"url":"{}","expires_in":3600}}"#,
            script.presigned.as_deref().unwrap_or("")
        ));
    }
    if let Some(bytes) = route
        .rsplit('/')
        .next()
        .and_then(|hash| script.blobs.get(hash))
    {
        return reply("200 OK", "application/octet-stream", "", bytes);
    }
    if route == RUN {
        return json(r#"{"id":"22222222-0000-4000-8000-000000000002","task":"11111111-0000-4000-8000-000000000001","status":"completed","environment":"cloud","state":{},"artifacts":[]}"#.into());
    }
    reply(
        "404 Not Found",
        "application/json",
        "",
        br#"{"error":"not here"}"#,
    )
}

//! An endpoint whose event stream comes in exactly these pieces, and what the client's own road makes of it.

use std::time::Duration;

use ashore::client::api::Api;
use ashore::client::endpoint::{Endpoint, Token};
use ashore::client::error::Error;
use ashore::client::stream::{Manner, Raw, View, follow_kept};
use ashore::protocol::ids::{ProjectId, RunRef, Seq};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Longer than anything here waits for, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const OURS: &str =
    "X-Ashore-Wire: 1\r\nX-Sync-Ids: log-sequence\r\nX-Last-Seq: 0\r\nX-Keepalive: 15\r\n";

/// A client of one endpoint. Making one reads the machine's certificates, so it is kept.
pub(crate) struct Wire {
    listener: TcpListener,
    api: Api,
    at: RunRef,
}

/// What one attempt to follow brought.
pub(crate) struct Followed {
    /// Each line with its number, as bytes.
    pub(crate) lines: Vec<(u64, Vec<u8>)>,
    pub(crate) why: Error,
}

impl Wire {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let endpoint = Endpoint {
            name: "wire".to_owned(),
            url: format!("http://{address}").parse().expect("a URL"),
            token: Some(Token::new("token")),
            local: false,
        };
        Self {
            listener,
            api: Api::new(endpoint, None).expect("a client"),
            at: RunRef {
                project: ProjectId(1),
                task: "1b9e".parse().expect("an id"),
                run: "7f3a1c52-1111-4222-8333-444455556666"
                    .parse()
                    .expect("an id"),
            },
        }
    }

    /// Follows an empty journal whose live stream is these pieces and then closes. One piece is one chunk of the
    /// answer, and one read of the decoder: the HTTP library hands chunks over one by one, however they travelled.
    pub(crate) async fn follow(&self, pieces: &[&[u8]]) -> Followed {
        let mut stream =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
                .to_vec();
        stream.extend_from_slice(format!("{OURS}Connection: close\r\n\r\n").as_bytes());
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            stream.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            stream.extend_from_slice(piece);
            stream.extend_from_slice(b"\r\n");
        }
        stream.extend_from_slice(b"0\r\n\r\n");
        let serve = async {
            let mut open = JoinSet::new();
            loop {
                let (socket, _) = self.listener.accept().await.expect("a connection");
                let stream = stream.clone();
                open.spawn(answer(socket, stream));
            }
        };
        let (lines, why) = tokio::select! {
            never = serve => never,
            followed = self.attempt() => followed,
        };
        Followed { lines, why }
    }

    async fn attempt(&self) -> (Vec<(u64, Vec<u8>)>, Error) {
        let (out, mut heard) = mpsc::channel(64);
        let mut lines = Vec::new();
        let mut keep = |batch: &Raw| {
            lines.extend(batch.iter().map(|(seq, line)| (seq.0, line.clone())));
        };
        let manner = Manner {
            silence: Some(PATIENCE),
            ..Manner::default()
        };
        let follow = async {
            let why = follow_kept(
                &self.api,
                &self.at,
                View::Journal,
                Seq::ZERO.into(),
                &out,
                &mut keep,
                &manner,
            )
            .await;
            drop(out);
            why
        };
        let listen = async { while heard.recv().await.is_some() {} };
        let (why, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(follow, listen) })
            .await
            .expect("it comes to an end");
        (lines, why)
    }
}

/// One request, one answer: no history, then the stream.
async fn answer(mut socket: TcpStream, stream: Vec<u8>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match socket.read(&mut piece).await {
            Ok(count) if count > 0 => head.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
    let is_logs = head
        .split(|byte| *byte == b' ')
        .nth(1)
        .is_some_and(|path| path.windows(5).any(|five| five == b"/logs"));
    let history = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\nContent-Length: 0\r\n{OURS}Connection: close\r\n\r\n"
    );
    let bytes = if is_logs { history.as_bytes() } else { &stream };
    // Who has heard enough goes away in the middle.
    if socket.write_all(bytes).await.is_ok() {
        socket.shutdown().await.ok();
    }
}

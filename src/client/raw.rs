//! For tests: a server below HTTP, which says exactly these bytes, and then closes, resets or falls silent.

use std::sync::{Arc, Mutex};

use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::client::api::Api;
use crate::client::endpoint::{Endpoint, Token};
use crate::protocol::ids::{ProjectId, RunRef};

/// One thing the server does with a connection.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Say(Vec<u8>),
    /// Each piece as one HTTP chunk, which the client's side reads as one piece.
    Chunks(Vec<Vec<u8>>),
    Close,
    Reset,
    Silence,
}

/// A request as it came: its first line and headers, and its body.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or("")
    }

    /// Lower case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn after(&self) -> usize {
        let query = self.path().split_once("after=").map(|(_, rest)| rest);
        query.and_then(|rest| rest.parse().ok()).unwrap_or(0)
    }
}

/// It serves as long as it is held.
pub(crate) struct Raw {
    pub(crate) url: Url,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

impl Raw {
    /// One connection, one request, one answer.
    pub(crate) async fn serve(answer: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (asked.clone(), Arc::new(answer));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (log, answer) = (log.clone(), answer.clone());
                connections.spawn(async move {
                    // A client that goes away in the middle is what some tests are about.
                    drop(connection(socket, &log, &*answer).await);
                });
            }
        });
        Self {
            url: url.parse().unwrap(),
            asked,
            _tasks: tasks,
        }
    }

    pub(crate) fn api(&self) -> Api {
        let endpoint = Endpoint {
            name: "raw".to_owned(),
            url: self.url.clone(),
            token: Some(Token::new("the-token")),
            local: false,
        };
        Api::new(endpoint, None).unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

pub(crate) fn at() -> RunRef {
    RunRef {
        project: ProjectId(1),
        task: "t".parse().unwrap(),
        run: "r".parse().unwrap(),
    }
}

async fn connection(
    mut socket: TcpStream,
    log: &Mutex<Vec<Asked>>,
    answer: &(impl Fn(&Asked) -> Vec<Act> + Sync),
) -> std::io::Result<()> {
    let asked = read(&mut socket).await?;
    log.lock().unwrap().push(asked.clone());
    for act in answer(&asked) {
        match act {
            Act::Say(bytes) => socket.write_all(&bytes).await?,
            Act::Chunks(pieces) => {
                for piece in pieces {
                    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                    chunk.extend(piece);
                    chunk.extend(b"\r\n");
                    socket.write_all(&chunk).await?;
                }
                socket.write_all(b"0\r\n\r\n").await?;
            }
            Act::Close => return socket.shutdown().await,
            Act::Reset => return socket.set_zero_linger(),
            Act::Silence => std::future::pending().await,
        }
    }
    Ok(())
}

async fn read(socket: &mut TcpStream) -> std::io::Result<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut asked = Asked {
        head: String::from_utf8_lossy(&bytes[..end]).into_owned(),
        body: bytes.split_off(end),
    };
    let length: usize = asked
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    while asked.body.len() < length {
        if socket.read_buf(&mut asked.body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(asked)
}

/// A whole answer with a body.
pub(crate) fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<Act> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    vec![Act::Say([head.as_bytes(), body].concat()), Act::Close]
}

/// JSON from an endpoint of ours.
pub(crate) fn ours(body: &str) -> Vec<Act> {
    let headers =
        "content-type: application/json\r\nx-ashore-wire: 1\r\nx-ashore-version: 9.9.9\r\n";
    reply("200 OK", headers, body.as_bytes())
}

/// The journal behind `after`, as `logs` answers.
pub(crate) fn logs(lines: &[Vec<u8>], after: usize) -> Vec<Act> {
    let body: Vec<u8> = lines
        .iter()
        .skip(after)
        .flat_map(|line| [line.as_slice(), b"\n"].concat())
        .collect();
    let headers = format!(
        "content-type: application/jsonl\r\nx-sync-ids: log-sequence\r\nx-last-seq: {}\r\n",
        lines.len()
    );
    reply("200 OK", &headers, &body)
}

/// The head of an open event stream.
pub(crate) fn events() -> Act {
    Act::Say(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec(),
    )
}

/// The same, for pieces.
pub(crate) fn chunked_events() -> Act {
    Act::Say(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
            .to_vec(),
    )
}

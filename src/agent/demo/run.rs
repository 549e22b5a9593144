//! The demo agent's loop: lines in, lines out, at most one turn per session.
//!
//! One task reads, the turns run in a set that ends with the loop, and only the loop writes, so the order of lines
//! is the order of decisions. It does not read the environment and does not end the process: `main` does.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::agent::demo::history::History;
use crate::agent::demo::order;
use crate::agent::demo::stage::{Outcome, Said, Stage};
use crate::agent::demo::turn;
use crate::agent::demo::wire;

/// A longer line is refused and skipped.
const LONGEST_LINE: usize = 8 << 20;
/// Updates kept in memory before they go to the session's file.
const UNSAVED: usize = 256;
/// Sessions of one process.
const MOST_SESSIONS: usize = 1_000;

/// Why the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The client closed the pipe.
    Closed,
    /// `/crash`: the process must end at once with [`Exit::code`].
    Crashed,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Crashed => 3,
        }
    }
}

/// Serves ACP until the input ends. Sessions are kept in `kept`, or nowhere.
pub async fn run<R, W>(stdin: R, stdout: W, kept: Option<PathBuf>) -> io::Result<Exit>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin,
{
    let (lines_in, mut lines) = mpsc::channel(64);
    let (said_in, mut said) = mpsc::channel(64);
    let mut reading = JoinSet::new();
    reading.spawn(read_lines(stdin, lines_in));
    let mut agent = Agent {
        out: BufWriter::new(stdout),
        history: History { folder: kept },
        sessions: HashMap::new(),
        asked: HashMap::new(),
        questions: 0,
        switches: false,
        said: said_in,
        turns: JoinSet::new(),
    };
    loop {
        tokio::select! {
            // Commands first: a flood of updates must not hold back a cancel.
            biased;
            line = lines.recv() => match line {
                Some(line) => agent.line(line).await?,
                None => return Ok(Exit::Closed),
            },
            Some(said) = said.recv() => {
                if let Some(exit) = agent.said(said).await? {
                    return Ok(exit);
                }
            }
        }
        agent.out.flush().await?;
        while agent.turns.try_join_next().is_some() {}
    }
}

/// What came in.
enum Line {
    Text(Vec<u8>),
    TooLong,
}

async fn read_lines(stdin: impl AsyncRead + Unpin, lines: mpsc::Sender<Line>) {
    let mut stdin = BufReader::new(stdin);
    let mut line = Vec::new();
    let mut skipping = false;
    loop {
        let Ok(piece) = stdin.fill_buf().await else {
            return;
        };
        if piece.is_empty() {
            return;
        }
        let end = memchr::memchr(b'\n', piece);
        let taken = end.map_or(piece.len(), |end| end + 1);
        if !skipping {
            line.extend_from_slice(&piece[..end.unwrap_or(taken)]);
        }
        stdin.consume(taken);
        if line.len() > LONGEST_LINE {
            skipping = true;
            line = Vec::new();
        }
        if end.is_some() {
            let whole = std::mem::take(&mut line);
            let whole = if std::mem::take(&mut skipping) {
                Line::TooLong
            } else {
                Line::Text(whole)
            };
            if lines.send(whole).await.is_err() {
                return;
            }
        }
    }
}

struct Session {
    cwd: PathBuf,
    mode: String,
    thoughts: bool,
    turns: u64,
    running: Option<Running>,
    /// Updates not yet in the session's file.
    unsaved: Vec<Value>,
}

struct Running {
    /// Of the `session/prompt` request.
    id: Value,
    cancel: CancellationToken,
}

struct Agent<W> {
    out: BufWriter<W>,
    history: History,
    sessions: HashMap<String, Session>,
    /// Permission requests without an answer, by request id.
    asked: HashMap<String, oneshot::Sender<Value>>,
    questions: u64,
    /// The client can show boolean config options.
    switches: bool,
    said: mpsc::Sender<Said>,
    turns: JoinSet<()>,
}

/// A refusal of a request: code and sentence.
type Refusal = (i64, String);

impl<W: AsyncWrite + Unpin> Agent<W> {
    async fn write(&mut self, line: &Value) -> io::Result<()> {
        self.out.write_all(line.to_string().as_bytes()).await?;
        self.out.write_all(b"\n").await
    }

    async fn line(&mut self, line: Line) -> io::Result<()> {
        let bytes = match line {
            Line::Text(bytes) => bytes,
            Line::TooLong => {
                let sentence = "the line is longer than 8 MiB and was skipped";
                return self
                    .write(&wire::error(&Value::Null, wire::NOT_JSON, sentence))
                    .await;
            }
        };
        if bytes.trim_ascii().is_empty() {
            return Ok(());
        }
        let Ok(message) = serde_json::from_slice::<Value>(&bytes) else {
            return self
                .write(&wire::error(
                    &Value::Null,
                    wire::NOT_JSON,
                    "the line is not JSON",
                ))
                .await;
        };
        let id = message.get("id").filter(|id| !id.is_null()).cloned();
        let params = message.get("params").cloned().unwrap_or(Value::Null);
        match (message.get("method").and_then(Value::as_str), id) {
            (Some(method), Some(id)) => self.request(&id, method, &params).await,
            (Some("session/cancel"), None) => {
                self.cancel(&params);
                Ok(())
            }
            // Notifications nobody here knows are for others.
            (Some(_), None) => Ok(()),
            (None, Some(id)) => {
                self.answered(&id, &message);
                Ok(())
            }
            (None, None) => {
                self.write(&wire::error(
                    &Value::Null,
                    -32600,
                    "the line is no JSON-RPC message",
                ))
                .await
            }
        }
    }

    async fn request(&mut self, id: &Value, method: &str, params: &Value) -> io::Result<()> {
        let answer = match method {
            "initialize" => Ok(Some(self.initialize(params))),
            "authenticate" => Ok(Some(json!({}))),
            "session/new" => return self.new_session(id, params).await,
            "session/load" => return self.load_session(id, params).await,
            "session/prompt" => self.prompt(id, params).map(|()| None),
            "session/set_mode" => return self.set_mode(id, params).await,
            "session/set_config_option" => self.set_config(params).map(Some),
            other => Err((
                wire::NO_METHOD,
                format!("the demo agent has no method `{}`", other.escape_debug()),
            )),
        };
        match answer {
            Ok(Some(result)) => self.write(&wire::result(id, result)).await,
            Ok(None) => Ok(()),
            Err(refusal) => self.refuse(id, refusal).await,
        }
    }

    async fn refuse(&mut self, id: &Value, (code, sentence): Refusal) -> io::Result<()> {
        self.write(&wire::error(id, code, &sentence)).await
    }

    fn initialize(&mut self, params: &Value) -> Value {
        let switch = params.pointer("/clientCapabilities/session/configOptions/boolean");
        self.switches = switch.is_some_and(Value::is_object);
        wire::initialized(env!("CARGO_PKG_VERSION"))
    }

    /// What `session/new` and `session/load` answer about a session.
    fn described(&self, session: &Session) -> Value {
        let mut described = json!({"modes": wire::modes(&session.mode)});
        if self.switches {
            described["configOptions"] = wire::config(session.thoughts);
        }
        described
    }

    fn admit(&self, params: &Value) -> Result<Session, Refusal> {
        let cwd = params.get("cwd").and_then(Value::as_str).map(Path::new);
        let cwd = cwd.filter(|cwd| cwd.is_absolute());
        // Links are followed once, here, so that every later check is a comparison of whole parts.
        let cwd = cwd
            .and_then(|cwd| cwd.canonicalize().ok())
            .filter(|cwd| cwd.is_dir());
        let Some(cwd) = cwd else {
            return Err((
                wire::BAD_PARAMS,
                "`cwd` must be the absolute path of a directory that exists".to_owned(),
            ));
        };
        if self.sessions.len() >= MOST_SESSIONS {
            return Err((
                wire::INTERNAL,
                "this process has too many sessions".to_owned(),
            ));
        }
        let mode = wire::MODES[0].0.to_owned();
        Ok(Session {
            cwd,
            mode,
            thoughts: true,
            turns: 0,
            running: None,
            unsaved: Vec::new(),
        })
    }

    async fn new_session(&mut self, id: &Value, params: &Value) -> io::Result<()> {
        let session = match self.admit(params) {
            Ok(session) => session,
            Err(refusal) => return self.refuse(id, refusal).await,
        };
        let name = uuid::Uuid::new_v4().to_string();
        let mut described = self.described(&session);
        described["sessionId"] = json!(name);
        // An empty file: a session without a word can be loaded too.
        self.history.append(&name, &[]).await.ok();
        self.sessions.insert(name.clone(), session);
        self.write(&wire::result(id, described)).await?;
        self.write(&wire::update(&name, &wire::commands())).await
    }

    async fn load_session(&mut self, id: &Value, params: &Value) -> io::Result<()> {
        let name = params
            .get("sessionId")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if self
            .sessions
            .get(&name)
            .is_some_and(|session| session.running.is_some())
        {
            return self
                .refuse(
                    id,
                    (
                        wire::BAD_PARAMS,
                        "the session has a running turn".to_owned(),
                    ),
                )
                .await;
        }
        let mut session = match self.admit(params) {
            Ok(session) => session,
            Err(refusal) => return self.refuse(id, refusal).await,
        };
        let Ok(Some(updates)) = self.history.load(&name).await else {
            return self
                .refuse(
                    id,
                    (wire::NOT_FOUND, "no such session is kept here".to_owned()),
                )
                .await;
        };
        let kind = |update: &Value, kind: &str| {
            update.get("sessionUpdate").and_then(Value::as_str) == Some(kind)
        };
        for update in &updates {
            if kind(update, "current_mode_update") {
                session.mode = update["currentModeId"]
                    .as_str()
                    .unwrap_or("code")
                    .to_owned();
            }
            self.write(&wire::update(&name, update)).await?;
        }
        // Tool call ids go on where they stopped.
        session.turns = updates
            .iter()
            .filter(|update| kind(update, "user_message_chunk"))
            .count() as u64;
        let described = self.described(&session);
        self.sessions.insert(name.clone(), session);
        self.write(&wire::result(id, described)).await?;
        self.write(&wire::update(&name, &wire::commands())).await
    }

    fn session(&mut self, params: &Value) -> Result<(String, &mut Session), Refusal> {
        let name = params
            .get("sessionId")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match self.sessions.get_mut(name) {
            Some(session) => Ok((name.to_owned(), session)),
            None => Err((
                wire::NOT_FOUND,
                "no such session; begin with `session/new`".to_owned(),
            )),
        }
    }

    fn prompt(&mut self, id: &Value, params: &Value) -> Result<(), Refusal> {
        let blocks = params.get("prompt").and_then(Value::as_array).cloned();
        let said = self.said.clone();
        let (name, session) = self.session(params)?;
        let Some(blocks) = blocks else {
            return Err((
                wire::BAD_PARAMS,
                "`prompt` must be an array of content blocks".to_owned(),
            ));
        };
        if session.running.is_some() {
            return Err((
                wire::BAD_PARAMS,
                "a turn is running; cancel it or wait for its end".to_owned(),
            ));
        }
        session.unsaved.extend(blocks.iter().map(wire::user));
        session.turns += 1;
        let cancel = CancellationToken::new();
        session.running = Some(Running {
            id: id.clone(),
            cancel: cancel.clone(),
        });
        let stage = Stage::new(
            name,
            session.cwd.clone(),
            session.turns,
            session.thoughts,
            said,
        );
        self.turns
            .spawn(turn::play(stage, order::read(&text_of(&blocks)), cancel));
        Ok(())
    }

    fn cancel(&mut self, params: &Value) {
        if let Ok((
            _,
            Session {
                running: Some(running),
                ..
            },
        )) = self.session(params)
        {
            running.cancel.cancel();
        }
    }

    async fn set_mode(&mut self, id: &Value, params: &Value) -> io::Result<()> {
        let mode = params
            .get("modeId")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let known = wire::MODES.iter().any(|(known, ..)| *known == mode);
        let name = match self.session(params) {
            Ok((name, session)) if known => {
                mode.clone_into(&mut session.mode);
                name
            }
            Ok(_) => {
                return self
                    .refuse(id, (wire::BAD_PARAMS, "there is no such mode".to_owned()))
                    .await;
            }
            Err(refusal) => return self.refuse(id, refusal).await,
        };
        self.write(&wire::result(id, json!({}))).await?;
        self.update(&name, wire::mode(mode)).await
    }

    fn set_config(&mut self, params: &Value) -> Result<Value, Refusal> {
        let value = params.get("value").and_then(Value::as_bool);
        let known = params.get("configId").and_then(Value::as_str) == Some(wire::THOUGHTS);
        let (_, session) = self.session(params)?;
        match value.filter(|_| known) {
            Some(thoughts) => {
                session.thoughts = thoughts;
                Ok(json!({"configOptions": wire::config(thoughts)}))
            }
            None => Err((
                wire::BAD_PARAMS,
                "the one option is `thoughts`, a boolean".to_owned(),
            )),
        }
    }

    /// The answer to a question of ours; an answer to anything else is forgotten.
    fn answered(&mut self, id: &Value, message: &Value) {
        let waiting = id.as_str().and_then(|id| self.asked.remove(id));
        if let Some(waiting) = waiting {
            // RACE: the turn may have been cancelled meanwhile. Then nobody waits, which is right.
            waiting
                .send(message.get("result").cloned().unwrap_or(Value::Null))
                .ok();
        }
    }

    async fn said(&mut self, said: Said) -> io::Result<Option<Exit>> {
        match said {
            Said::Update(name, update) => self.update(&name, update).await?,
            Said::Ask { params, answer } => {
                // Questions of cancelled turns are never answered by some clients: do not keep them.
                self.asked.retain(|_, waiting| !waiting.is_closed());
                self.questions += 1;
                let id = format!("ask-{}", self.questions);
                self.write(&wire::request(&id, "session/request_permission", params))
                    .await?;
                self.asked.insert(id, answer);
            }
            Said::Over(_, Outcome::Crash) => return Ok(Some(Exit::Crashed)),
            Said::Over(name, outcome) => self.over(&name, &outcome).await?,
        }
        Ok(None)
    }

    async fn update(&mut self, name: &str, update: Value) -> io::Result<()> {
        self.write(&wire::update(name, &update)).await?;
        let Some(session) = self.sessions.get_mut(name) else {
            return Ok(());
        };
        if update.get("sessionUpdate").and_then(Value::as_str) == Some("current_mode_update") {
            update["currentModeId"]
                .as_str()
                .unwrap_or("code")
                .clone_into(&mut session.mode);
        }
        session.unsaved.push(update);
        if session.unsaved.len() >= UNSAVED {
            self.save(name).await;
        }
        Ok(())
    }

    async fn save(&mut self, name: &str) {
        if let Some(session) = self.sessions.get_mut(name) {
            let unsaved = std::mem::take(&mut session.unsaved);
            // A full disk costs the memory of the session, not the turn.
            self.history.append(name, &unsaved).await.ok();
        }
    }

    async fn over(&mut self, name: &str, outcome: &Outcome) -> io::Result<()> {
        let running = self
            .sessions
            .get_mut(name)
            .and_then(|session| session.running.take());
        if let Some(Running { id, .. }) = running {
            let answer = match outcome {
                Outcome::EndTurn => wire::result(&id, json!({"stopReason": "end_turn"})),
                Outcome::Cancelled => wire::result(&id, json!({"stopReason": "cancelled"})),
                Outcome::Error(sentence) => wire::error(&id, wire::INTERNAL, sentence),
                Outcome::Crash => return Ok(()),
            };
            // Kept before it is answered, so that who has seen the end of a turn can load it.
            self.save(name).await;
            self.write(&answer).await?;
        }
        Ok(())
    }
}

/// The words of a prompt: its text blocks, one below the other.
fn text_of(blocks: &[Value]) -> String {
    let texts: Vec<&str> = blocks
        .iter()
        .filter_map(|block| block.get("text").and_then(Value::as_str))
        .collect();
    texts.join("\n")
}

//! Whether a path is mirrored and, if not, what keeps it out: the rule with its file and line, or what stands in its way.
//!
//! Looks at the path; changes nothing.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::mirror::actor::{Finished, Worker};
use crate::mirror::control::Answer;
use crate::mirror::ground;
use crate::mirror::hand::Hand;
use crate::mirror::ignore::{Rules, Why};
use crate::mirror::scan::{Local, Obstacle};
use crate::protocol::file::size;
use crate::protocol::path::{BadPath, RelPath};

/// What keeps a path out, in one word for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A line of a gitignore file, of the repository's exclude file or of the user's own.
    Gitignore,
    /// A line that stood in a gitignore file before the agent changed it.
    Opened,
    /// A pattern of the config.
    Config,
    /// A copy beside a conflict, or of a late save.
    Copy,
    /// Inside `.git`, inside `.ashore`.
    Git,
    Ours,
    /// Not below the mirrored directory.
    Outside,
    /// No name that can be mirrored.
    Name,
    TooLarge,
    /// Neither file, folder nor link.
    Special,
    /// A link that leads out of the directory.
    Link,
    BehindLink,
    Unreadable,
    /// It changes faster than it can be read.
    Restless,
    /// A change of theirs that could not be put here.
    Held,
}

/// What is said of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub path: String,
    pub mirrored: bool,
    /// What keeps it out; `None` where it is mirrored.
    pub cause: Option<Cause>,
    /// One sentence for people.
    pub text: String,
    /// The folder above it that is kept out, where it is not the path itself.
    pub folder: Option<String>,
    /// Where the pattern stands that names it, its line counted from 1, and the pattern.
    pub file: Option<PathBuf>,
    pub line: Option<usize>,
    pub pattern: Option<String>,
}

impl Told {
    fn new(path: &str, cause: Option<Cause>, text: String) -> Self {
        Self {
            path: path.to_owned(),
            mirrored: cause.is_none(),
            cause,
            text,
            folder: None,
            file: None,
            line: None,
            pattern: None,
        }
    }

    /// Of what is no path of a file that could be mirrored.
    pub fn refused(path: &str, why: BadPath) -> Self {
        let (cause, text) = match why {
            BadPath::Git => (
                Cause::Git,
                "inside .git, of which nothing is ever mirrored".to_owned(),
            ),
            BadPath::Ours => (
                Cause::Ours,
                "inside .ashore, where the mirror has its own files for moments".to_owned(),
            ),
            BadPath::Absolute | BadPath::Escapes => (
                Cause::Outside,
                "not below the mirrored directory".to_owned(),
            ),
            BadPath::Empty
            | BadPath::Nul
            | BadPath::Windows
            | BadPath::TooLong
            | BadPath::NotUtf8 => (Cause::Name, format!("no name that can be mirrored ({why})")),
        };
        Self::new(path, Some(cause), format!("not mirrored: {text}"))
    }
}

/// What is known of a path beside the directory itself.
struct Known {
    held: Option<String>,
    in_conflict: bool,
    in_base: bool,
    edited: bool,
}

impl Worker {
    pub(super) fn why(&mut self, path: RelPath, reply: Option<oneshot::Sender<Answer>>) {
        let held = self.known.held.get(&path);
        let noted = self.known.conflicts.get(&path);
        let known = Known {
            held: held.map(|held| held.hindrance.why.clone()),
            in_conflict: noted.is_some_and(|noted| !noted.resolved),
            in_base: self.known.base.contains_key(&path),
            edited: self.known.edited.contains(&path) || self.known.sent.contains_key(&path),
        };
        let mut answer = self.answer_of_status(None);
        let hand = Arc::clone(&self.hand);
        self.jobs.spawn(async move {
            let told = hand.blocking(move |hand| hand.why(&path, &known)).await;
            answer.text = Some(told.text.clone());
            answer.why = Some(told);
            if let Some(reply) = reply {
                // Who asked may have left.
                drop(reply.send(answer));
            }
            Finished::Answered
        });
    }
}

impl Hand {
    fn why(&self, path: &RelPath, known: &Known) -> Told {
        // Files of rules may have changed since they were read.
        self.rules.forget();
        let local = self.look(path);
        let told = |cause, text: &str| Told::new(path.as_str(), cause, text.to_owned());
        let out = |cause, text: &str| told(Some(cause), &format!("not mirrored: {text}"));
        match &local {
            Local::Ignored(why) => return named(&self.root, &self.rules, path, why),
            Local::Obstacle(why) => return out(cause(why), &hint(why, self.limits.file)),
            Local::Absent | Local::File(_) | Local::Directory => (),
        }
        if let Some(why) = &known.held {
            let text = format!(
                "held: what they have there could not be put here: {why}. `ashore mirror fetch` tries it now"
            );
            return told(Some(Cause::Held), &text);
        }
        let stands = match (&local, known.in_conflict, known.in_base, known.edited) {
            (_, true, ..) => "in conflict; what you and they have there is both kept",
            (Local::Absent, _, false, false) => "nothing stands there now, and nothing hides it",
            (Local::Absent, _, true, _) => "it is deleted here, which has still to be sent",
            (Local::Absent, _, false, true) => "it is deleted here, and that is on its way",
            (Local::Directory, ..) => "a folder; what is in it is judged file by file",
            (_, _, _, true) => "edited here, which has still to reach the sandbox",
            (_, _, true, false) => "the same here and there",
            (_, _, false, false) => "it stands here and is not yet known there",
        };
        let is_dir = local == Local::Directory;
        let although = self
            .rules
            .overruled(path, is_dir)
            .map_or_else(String::new, |why| {
                format!(" ({why}, but the run began with it or git tracks it)")
            });
        told(None, &format!("mirrored: {stands}{although}"))
    }
}

fn cause(why: &Obstacle) -> Cause {
    match why {
        Obstacle::Name(_) => Cause::Name,
        Obstacle::Link(_) => Cause::Link,
        Obstacle::Unreadable(_) => Cause::Unreadable,
        Obstacle::TooLarge { .. } => Cause::TooLarge,
        Obstacle::Special => Cause::Special,
        Obstacle::BehindLink => Cause::BehindLink,
        Obstacle::Restless => Cause::Restless,
    }
}

fn hint(why: &Obstacle, limit: u64) -> String {
    match why {
        Obstacle::TooLarge { size: bytes, .. } => format!(
            "it has {}, and mirror.max_file_mib lets through {}",
            size(*bytes),
            size(limit)
        ),
        _ => why.to_string(),
    }
}

/// What names it, and where that stands.
fn named(root: &Path, rules: &Rules, path: &RelPath, why: &Why) -> Told {
    // The topmost folder that the same reason keeps out.
    let mut above: Vec<RelPath> = std::iter::successors(path.parent(), RelPath::parent).collect();
    above.reverse();
    let folder = above
        .into_iter()
        .find(|folder| rules.why(folder, true).as_ref() == Some(why));
    let through = folder
        .as_ref()
        .map_or_else(String::new, |folder| format!(": it is below {folder}/"));
    let (cause, text, file, line, pattern) = match why {
        Why::ConflictCopy => (
            Cause::Copy,
            "a copy that the mirror put beside a file stays here".to_owned(),
            None,
            None,
            None,
        ),
        Why::Config(pattern) => (
            Cause::Config,
            format!("`{pattern}` in mirror.ignore of the config names it{through}"),
            None,
            None,
            Some(pattern.clone()),
        ),
        Why::Gitignore { file, pattern } => {
            let line = line_of(file, pattern);
            let shown = file.strip_prefix(root).unwrap_or(file).display();
            let at = line.map_or_else(String::new, |line| format!(", line {line}"));
            (
                Cause::Gitignore,
                format!(
                    "`{pattern}` in {shown}{at}, names it{through}. mirror.include in the config lets it through"
                ),
                Some(file.clone()),
                line,
                Some(pattern.clone()),
            )
        }
        Why::Before { file, pattern } => {
            let shown = file.strip_prefix(root).unwrap_or(file).display();
            (
                Cause::Opened,
                format!(
                    "`{pattern}` named it in {shown} before the agent changed that file{through}. `ashore mirror resume RUN --accept-rules` lets it through, or a change of yours in {shown}"
                ),
                Some(file.clone()),
                None,
                Some(pattern.clone()),
            )
        }
    };
    Told {
        folder: folder.map(String::from),
        file,
        line,
        pattern,
        ..Told::new(path.as_str(), Some(cause), format!("not mirrored: {text}"))
    }
}

/// The last line that says this, counted from 1: of two that match, the later one counts.
fn line_of(file: &Path, pattern: &str) -> Option<usize> {
    let lines = BufReader::new(ground::open(file).ok()?).split(b'\n');
    let mut last = None;
    for (number, line) in lines.map_while(Result::ok).enumerate() {
        if line.trim_ascii_end() == pattern.trim_end().as_bytes() {
            last = Some(number + 1);
        }
    }
    last
}

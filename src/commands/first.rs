//! The first look of a run into a directory, for a screen: whether it is to be asked, what is shown, and what the answer
//! leads to. An answer is remembered for the run and the directory.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::attach::first::{Answer, Here, Look, There};
use crate::attach::history;
use crate::client::api::Api;
use crate::client::runs::{DirectoryId, Known};
use crate::commands::context::Context;
use crate::commands::failure::Failure;
use crate::commands::worktree::{self, git};
use crate::commands::{forecast, mirrored};
use crate::mirror::forecast::{Forecast, Outlook};
use crate::mirror::worker::Setup;
use crate::protocol::file::FileManifest;
use crate::protocol::ids::RunRef;

/// Where a run's files go.
#[derive(Debug)]
pub enum Course {
    /// Into this directory; a line on it, where there is one to say.
    Mirror(PathBuf, Option<String>),
    /// Nowhere; why.
    Leave(Option<String>),
    /// Nowhere before somebody has looked at this.
    Ask(Box<Look>),
}

/// A run, and the directory it is to be mirrored into.
pub struct Case<'a> {
    pub context: &'a Context,
    pub api: &'a Api,
    pub at: &'a RunRef,
    pub known: Option<&'a Known>,
    pub directory: &'a Path,
}

/// How somebody decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Here,
    Worktree(PathBuf),
    Patch,
    Transcript,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Decided {
    directory: PathBuf,
    id: DirectoryId,
    decision: Decision,
}

const FILE: &str = "first-look.json";
/// So long git may take to say how a directory stands.
const PATIENCE: Duration = Duration::from_secs(2);

impl Case<'_> {
    fn setup(&self) -> Setup {
        let seeded_here = mirrored::is_seeded_from(self.known, Some(self.directory));
        mirrored::setup(self.context, &self.at.run, self.directory, seeded_here)
    }

    /// What is to happen. Nobody is asked about the directory the run was made from, nor twice about the same one.
    pub async fn course(&self, answer: Option<Answer>) -> Course {
        let outlook = Outlook::open(&self.setup()).await;
        let is_known = match &outlook {
            Ok(outlook) => !outlook.first || self.setup().seeded_here,
            // The mirror says what is wrong with the directory.
            Err(_) => true,
        };
        if is_known {
            return Course::Mirror(self.directory.to_owned(), None);
        }
        match answer {
            Some(answer) => self.answered(answer).await,
            None => match self.decided() {
                Some(decision) => self.follow(decision),
                None => Course::Ask(Box::new(self.look().await)),
            },
        }
    }

    /// The page, whatever was decided; or why there is nothing to decide.
    pub async fn again(&self) -> Result<Look, String> {
        let shown = self.shown();
        if self.setup().seeded_here {
            return Err(format!("this run was made from {shown}: attach it there"));
        }
        let outlook = Outlook::open(&self.setup()).await;
        match outlook {
            Ok(outlook) if outlook.first => Ok(self.look().await),
            Ok(_) => Err(format!("this run has been mirrored into {shown} already")),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn answered(&self, answer: Answer) -> Course {
        let decision = match answer {
            Answer::Later => return Course::Leave(None),
            Answer::Here => Decision::Here,
            Answer::Patch => Decision::Patch,
            Answer::Transcript => Decision::Transcript,
            Answer::Worktree => match self.worktree().await {
                Ok(own) => {
                    self.remember(Decision::Worktree(own.directory.clone()));
                    let said = own.sentence();
                    return Course::Mirror(own.directory, Some(said));
                }
                Err(failure) => {
                    let why = failure.what;
                    return Course::Leave(Some(format!("{why}. Nothing is mirrored.")));
                }
            },
        };
        self.remember(decision.clone());
        self.follow(decision)
    }

    fn follow(&self, decision: Decision) -> Course {
        let shown = self.shown();
        match decision {
            Decision::Here => Course::Mirror(self.directory.to_owned(), None),
            Decision::Worktree(path) => Course::Mirror(path, None),
            Decision::Patch => Course::Leave(Some(format!(
                "Nothing is written into {shown}. What changed, as a patch: ashore pull {} --patch",
                self.at.run.short()
            ))),
            Decision::Transcript => Course::Leave(Some(format!(
                "Nothing is written into {shown}, as you decided. /direction decides anew."
            ))),
        }
    }

    async fn worktree(&self) -> Result<worktree::Worktree, Failure> {
        let seed = self.api.seed_manifest(self.at).await?;
        let commit = seed.as_ref().and_then(|seed| there(seed).commit);
        worktree::of_run(
            self.context,
            self.directory,
            commit.as_deref(),
            seed.is_some(),
        )
        .await
    }

    async fn look(&self) -> Look {
        let seed = self.api.seed_manifest(self.at).await;
        let there = match &seed {
            Ok(Some(seed)) => there(seed),
            Ok(None) | Err(_) => There::default(),
        };
        let forecast = match seed {
            Ok(seed) => self.forecast(seed).await.map_err(|failure| failure.what),
            Err(error) => Err(error.to_string()),
        };
        let way = Outlook::open(&self.setup()).await.map(|one| one.way());
        let possible = worktree::must_be_possible(self.directory).await;
        Look {
            at: self.at.clone(),
            title: self.known.map_or("", |known| &known.title).to_owned(),
            directory: self.shown(),
            way: way.unwrap_or_default(),
            here: here(self.directory, there.commit.as_deref()).await,
            there,
            forecast,
            worktree: possible.map_err(|failure| failure.what),
        }
    }

    async fn forecast(&self, seed: Option<FileManifest>) -> Result<Forecast, Failure> {
        let outlook = Outlook::open(&self.setup()).await;
        let outlook = outlook.map_err(|error| mirrored::refused(&error))?;
        forecast::foresee(self.api, self.at, outlook, seed).await
    }

    /// The directory, as people write it.
    fn shown(&self) -> String {
        let home = self.context.env.get("HOME").map(Path::new);
        match home.and_then(|home| self.directory.strip_prefix(home).ok()) {
            Some(rest) if !rest.as_os_str().is_empty() => format!("~/{}", rest.display()),
            Some(_) | None => self.directory.display().to_string(),
        }
    }

    fn file(&self) -> PathBuf {
        self.context.places.run(&self.at.run).join(FILE)
    }

    fn all(&self) -> Vec<Decided> {
        let text = std::fs::read(self.file()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// What was decided for this very directory, as far as it can still be followed.
    fn decided(&self) -> Option<Decision> {
        let id = DirectoryId::of(self.directory)?;
        let mut all = self.all().into_iter();
        let found = all.find(|one| one.id == id)?.decision;
        match found {
            Decision::Worktree(path) if !path.is_dir() => None,
            decision => Some(decision),
        }
    }

    /// A disk that refuses costs no more than being asked again.
    fn remember(&self, decision: Decision) {
        let Some(id) = DirectoryId::of(self.directory) else {
            return;
        };
        let mut all = self.all();
        all.retain(|one| one.id != id && one.directory != self.directory);
        all.push(Decided {
            directory: self.directory.to_owned(),
            id,
            decision,
        });
        if let Err(error) = write(&self.file(), &all) {
            tracing::warn!(%error, "the answer to the first look is not remembered");
        }
    }
}

fn write(file: &Path, all: &[Decided]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(&serde_json::to_vec_pretty(all)?)?;
    new.persist(file)?;
    Ok(())
}

/// Where a run began, by what it was seeded with.
fn there(seed: &FileManifest) -> There {
    let origin = seed.remotes.get("origin");
    There {
        repository: origin.or(seed.remotes.values().next()).cloned(),
        branch: seed.branch.clone(),
        commit: seed.head.clone().or(seed.base_commit.clone()),
    }
}

/// How the repository of the directory stands; `None` when it is in none.
async fn here(directory: &Path, theirs: Option<&str>) -> Option<Here> {
    git(directory, &["rev-parse", "--show-toplevel"])
        .await
        .ok()?;
    let text = |said: Result<String, String>| said.ok().filter(|text| !text.is_empty());
    let remotes = history::remotes(directory).await;
    let branch = git(directory, &["symbolic-ref", "--short", "-q", "HEAD"]).await;
    let commit = git(directory, &["rev-parse", "--verify", "-q", "HEAD"]).await;
    let status = [
        "--no-optional-locks",
        "status",
        "--porcelain",
        "--ignored",
        "--",
        ".",
    ];
    let status = tokio::time::timeout(PATIENCE, git(directory, &status)).await;
    let status = status.ok().and_then(Result::ok);
    let ignored = |line: &&str| line.starts_with("!!");
    let count = |of: &dyn Fn(&&str) -> bool| {
        let status = status.as_deref()?;
        Some(status.lines().filter(|line| of(line)).count())
    };
    Some(Here {
        repository: remotes.get("origin").or(remotes.values().next()).cloned(),
        branch: text(branch),
        commit: text(commit),
        dirty: count(&|line| !ignored(line)),
        ignored: count(&ignored),
        has_theirs: match theirs {
            Some(commit) => worktree::has(directory, commit).await,
            None => false,
        },
    })
}

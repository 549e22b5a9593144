//! What every command starts from: settings, places, and the endpoint that is meant.
//!
//! Chooses the endpoint (flag, environment, config, else the local one) and finds the run a text names.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;

use crate::client::api::Api;
use crate::client::endpoint::{Endpoint, Token};
use crate::client::local;
use crate::client::runs::{self, Known};
use crate::commands::failure::{Exit, Failure};
use crate::commands::output;
use crate::config::env::Env;
use crate::config::places::Places;
use crate::config::settings::Settings;
use crate::protocol::ids::{ProjectId, RunRef};

/// Made once by `main`.
#[derive(Debug, Clone)]
pub struct Context {
    pub places: Places,
    pub settings: Settings,
    pub env: Env,
    /// `-C`, else where we were started; absolute.
    pub directory: PathBuf,
    pub quiet: bool,
    pub asides: Asides,
}

/// What a person should hear beside the result: on stderr, or, where a screen would be written across, on that screen.
#[derive(Debug, Clone, Default)]
pub struct Asides(Option<Arc<Mutex<Vec<String>>>>);

impl Asides {
    /// From now on they are kept until somebody takes them.
    pub fn keep(&mut self) {
        self.0.get_or_insert_default();
    }

    pub fn say(&self, quiet: bool, text: &str) {
        match &self.0 {
            None => output::say(quiet, text),
            Some(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.last().is_none_or(|last| last != text) {
                    kept.push(text.to_owned());
                }
            }
        }
    }

    /// Those that were kept, oldest first.
    pub fn take(&self) -> Vec<String> {
        self.0.as_ref().map_or_else(Vec::new, |kept| {
            std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner))
        })
    }
}

/// A run and the road to it.
#[derive(Debug, Clone)]
pub struct Found {
    pub api: Api,
    pub at: RunRef,
    /// What this machine remembers of it.
    pub known: Option<Known>,
}

impl Context {
    /// What is never mirrored into or out of this directory: what the user's config says, and what is our own.
    pub fn ignore(&self, root: &Path) -> Vec<String> {
        let mut ignore = self.settings.ignore.clone();
        ignore.extend(self.places.within(root));
        ignore
    }

    pub fn project(&self) -> ProjectId {
        let named = self
            .settings
            .endpoint
            .as_ref()
            .and_then(|name| self.settings.endpoints.get(name));
        ProjectId(
            named
                .and_then(|named| named.project)
                .unwrap_or(self.settings.project),
        )
    }

    /// The endpoint that is meant; starts the local one when none is.
    pub async fn connect(&self) -> Result<Api, Failure> {
        let endpoint = match &self.settings.endpoint {
            Some(text) => self.named(text)?,
            None => self.start_local().await?,
        };
        self.api(endpoint)
    }

    pub fn api(&self, endpoint: Endpoint) -> Result<Api, Failure> {
        Ok(Api::new(endpoint, self.settings.ca_file.as_deref())?)
    }

    pub async fn start_local(&self) -> Result<Endpoint, Failure> {
        let found = local::find_or_start(&self.starter())
            .await
            .map_err(|error| {
                Failure::new(Exit::Unreachable, error.to_string()).hint(
                    "ashore logs shows the end of the log; ashore doctor looks for the reason",
                )
            })?;
        if let Some(note) = &found.note {
            self.asides.say(self.quiet, note);
        }
        Ok(found.state.endpoint())
    }

    /// How the local endpoint is found and started.
    pub fn starter(&self) -> local::Starter {
        let environment = self
            .env
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        local::Starter::of_this_program(self.places.clone(), environment.collect())
    }

    /// The local endpoint, if it runs.
    pub async fn running(&self) -> Option<Endpoint> {
        local::look(&self.places)
            .await
            .ok()
            .flatten()
            .map(|state| state.endpoint())
    }

    /// An endpoint by name or URL; starts nothing.
    pub fn named(&self, text: &str) -> Result<Endpoint, Failure> {
        let config = self.settings.endpoints.get(text);
        let address = config
            .and_then(|named| named.url.as_deref())
            .unwrap_or(text);
        let url = origin(address).ok_or_else(|| {
            Failure::usage(format!(
                "`{text}` is neither the name of an endpoint nor a URL"
            ))
            .hint("name one in config.toml: [endpoints.work]  url = \"https://agents.example.com\"")
        })?;
        let token = match config.and_then(|named| named.token_file.as_deref()) {
            Some(file) => Some(read_token(file)?),
            None => self.env.get("ASHORE_TOKEN").map(Token::new),
        };
        let name = if config.is_some() {
            text.to_owned()
        } else {
            url.host_str().unwrap_or(text).to_owned()
        };
        Ok(Endpoint {
            name,
            url,
            token,
            local: false,
        })
    }

    /// The run this text names: an id, a unique prefix, `last`, or a full URL.
    pub async fn find(&self, text: &str) -> Result<Found, Failure> {
        if let Some((address, at)) = run_url(text) {
            return self.at_url(&address, at).await;
        }
        let known = runs::known(&self.places.runs());
        match runs::resolve(text, &known, &self.directory) {
            Ok(known) => self.found(known.clone()).await,
            Err(runs::NotOne::Several(ids)) => Err(Failure::new(
                Exit::NoSuchRun,
                format!(
                    "`{text}` is the beginning of {} runs: {}",
                    ids.len(),
                    ids.join(", ")
                ),
            )),
            Err(runs::NotOne::None) => self.search(text).await,
        }
    }

    /// The road to a run this machine knows, by the endpoint it was made on.
    pub async fn found(&self, known: Known) -> Result<Found, Failure> {
        let chosen = self.settings.endpoint.is_some();
        let api = if chosen || known.local {
            self.connect().await?
        } else {
            self.api(self.named_or_url(&known)?)?
        };
        Ok(Found {
            api,
            at: known.at.clone(),
            known: Some(known),
        })
    }

    fn named_or_url(&self, known: &Known) -> Result<Endpoint, Failure> {
        let name = if self.settings.endpoints.contains_key(&known.endpoint) {
            known.endpoint.as_str()
        } else {
            known.url.as_str()
        };
        self.named(name)
    }

    async fn at_url(&self, address: &Url, at: RunRef) -> Result<Found, Failure> {
        let known = runs::known(&self.places.runs())
            .into_iter()
            .find(|known| known.at == at);
        let local = self.running().await;
        let endpoint = match local {
            Some(endpoint) if endpoint.url.origin() == address.origin() => endpoint,
            _ => {
                let same = |url: &Option<String>| {
                    url.as_deref()
                        .and_then(origin)
                        .is_some_and(|url| url.origin() == address.origin())
                };
                let named = self
                    .settings
                    .endpoints
                    .iter()
                    .find(|(_, named)| same(&named.url))
                    .map(|(name, _)| name.clone());
                self.named(&named.unwrap_or_else(|| address.to_string()))?
            }
        };
        Ok(Found {
            api: self.api(endpoint)?,
            at,
            known,
        })
    }

    /// Asks the endpoint for a run that this machine has not seen.
    async fn search(&self, text: &str) -> Result<Found, Failure> {
        let api = self.connect().await?;
        let tasks = api.tasks(self.project()).await?;
        let mut fits = Vec::new();
        for task in &tasks {
            for run in api.runs(self.project(), &task.id).await? {
                if text == "last" || run.id.as_str().starts_with(text) {
                    fits.push((
                        run.created_at.clone(),
                        RunRef {
                            project: self.project(),
                            task: task.id.clone(),
                            run: run.id,
                        },
                    ));
                }
            }
        }
        fits.sort_by(|a, b| b.0.cmp(&a.0));
        let exact = fits.iter().position(|(_, at)| at.run.as_str() == text);
        match (fits.len(), exact) {
            (0, _) => Err(Failure::no_run(text)),
            (_, Some(index)) => Ok(Found {
                api,
                at: fits.swap_remove(index).1,
                known: None,
            }),
            (1, None) => Ok(Found {
                api,
                at: fits.swap_remove(0).1,
                known: None,
            }),
            (_, None) if text == "last" => Ok(Found {
                api,
                at: fits.swap_remove(0).1,
                known: None,
            }),
            (number, None) => Err(Failure::new(
                Exit::NoSuchRun,
                format!("`{text}` is the beginning of {number} runs; say more of it"),
            )),
        }
    }
}

/// Scheme, host and port of an http URL.
fn origin(text: &str) -> Option<Url> {
    let mut url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    url.set_path("");
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

/// `http://HOST/api/projects/P/tasks/T/runs/R`, with or without a slash at the end.
fn run_url(text: &str) -> Option<(Url, RunRef)> {
    let url = Url::parse(text).ok()?;
    let parts: Vec<&str> = url
        .path_segments()?
        .filter(|part| !part.is_empty())
        .collect();
    let ["api", "projects", project, "tasks", task, "runs", run] = parts.as_slice() else {
        return None;
    };
    let at = RunRef {
        project: ProjectId(project.parse().ok()?),
        task: task.parse().ok()?,
        run: run.parse().ok()?,
    };
    Some((origin(text)?, at))
}

fn read_token(file: &Path) -> Result<Token, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!(
            "cannot read the token file {}: {error}",
            file.display()
        ))
    })?;
    Ok(Token::new(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_url_of_a_run_names_endpoint_and_run() {
        let (address, at) =
            run_url("http://127.0.0.1:8010/api/projects/1/tasks/t1/runs/r1/").expect("is one");
        assert_eq!(
            (address.as_str(), at.path().as_str()),
            ("http://127.0.0.1:8010/", "/api/projects/1/tasks/t1/runs/r1")
        );
        for text in [
            "7f3a",
            "last",
            "http://x/",
            "http://x/api/projects/1/tasks/t/runs/../x",
            "ftp://x/api/projects/1/tasks/t/runs/r",
        ] {
            assert!(run_url(text).is_none(), "{text}");
        }
    }
}

//! `ashore serve`: from flags to a served endpoint, in the foreground or as this user's local one.
//!
//! Part of `main`, because it joins what must not know of each other: the endpoint and the file its clients find it by.

use std::fs::DirBuilder;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ashore::backend::lifecycle::Lifecycle;
use ashore::backend::lifecycle::local::{self as lifecycle, Local};
use ashore::backend::lifecycle::workflow::Limits;
use ashore::backend::log::file::Fsync;
use ashore::backend::parts::{Driver, Ground};
use ashore::backend::quiet::until_quiet;
use ashore::backend::sandbox::process::{self, ProcessSandbox};
use ashore::backend::serve::{self, Bound, Settings};
use ashore::cli::{self, Format};
use ashore::client::local::{self, LocalState};
use ashore::commands::context::Context;
use ashore::commands::failure::{Exit, Failure};
use ashore::commands::output;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::tokens;

/// Between TERM and KILL for an agent server: longer than it needs to close its turn, end its child and say its last lines.
const GRACE: Duration = Duration::from_secs(20);

/// What the reference and its proxies are used to (contract 10.1).
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How an endpoint was told to end.
enum End {
    /// Agents go on and are taken up by the next endpoint on this store.
    Keep,
    /// Agents end first.
    All,
}

pub(crate) async fn run(
    context: &Context,
    wish: &cli::Serve,
    format: Format,
) -> Result<Exit, Failure> {
    refuse_later(wish)?;
    if let Some(cli::ServeWhat::Token { what }) = &wish.what {
        return tokens::run(context, &store_of(context, wish), what, format).await;
    }
    if wish.local {
        local_endpoint(context, Duration::from_secs(wish.linger)).await
    } else {
        foreground(context, wish).await
    }
}

fn refuse_later(wish: &cli::Serve) -> Result<(), Failure> {
    let later = [
        (wish.database.is_some(), "--database"),
        (wish.redis.is_some(), "--redis"),
        (wish.lifecycle != "local", "--lifecycle"),
        (wish.sandbox != "process", "--sandbox"),
        (wish.role != "all", "--role"),
        (
            wish.tls_cert.is_some() || wish.tls_key.is_some(),
            "--tls-cert",
        ),
        (wish.trust_proxy, "--trust-proxy"),
        (
            wish.store
                .as_deref()
                .is_some_and(|store| store.contains("://")),
            "--store URL",
        ),
    ];
    match later.iter().find(|(set, _)| *set) {
        Some((_, flag)) => Err(Failure::later(&format!("serve {flag}"))),
        None => Ok(()),
    }
}

pub(crate) fn failed(error: &impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Other, error.to_string())
}

fn store_of(context: &Context, wish: &cli::Serve) -> PathBuf {
    wish.store
        .as_ref()
        .map_or_else(|| context.places.state.join("serve"), PathBuf::from)
}

async fn foreground(context: &Context, wish: &cli::Serve) -> Result<Exit, Failure> {
    let listen: SocketAddr = wish.listen.parse().map_err(|_| {
        Failure::usage(format!("`{}` is no address to listen on", wish.listen))
            .hint("--listen 127.0.0.1:8010")
    })?;
    let store = store_of(context, wish);
    let given = context.env.get("ASHORE_TOKEN").map(str::to_owned);
    if given.is_none() && !listen.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "listening on {listen}, which is not loopback, needs an explicit token"
        ))
        .hint("set ASHORE_TOKEN, and say --public-url"));
    }
    let token = match given {
        Some(token) => token,
        None => kept_token(&store)?,
    };
    let settings = Settings {
        listen,
        public_urls: wish.public_url.clone(),
        store: store.clone(),
        fsync: match wish.fsync {
            cli::Fsync::Group => Fsync::Group,
            cli::Fsync::Never => Fsync::Never,
        },
        token: Some(token.clone()),
        secret: None,
        local: false,
        idle_limit: idle_limit(context),
        keepalive: KEEPALIVE,
    };
    let (bound, driver) = bind(context, &settings, None).await?;
    let url = wish
        .public_url
        .first()
        .cloned()
        .unwrap_or_else(|| format!("http://{}", bound.address()));
    output::line(&format!("export ASHORE_ENDPOINT={url}"))?;
    output::line(&format!("export ASHORE_TOKEN={token}"))?;
    output::say(
        context.quiet,
        &format!(
            "Serving on {}; everything is kept in {}. Ctrl+C ends the endpoint; agents go on.",
            bound.address(),
            store.display()
        ),
    );
    until_told(bound, &driver, None).await?;
    Ok(Exit::Done)
}

/// The endpoint that clients of this user start by themselves and find by its state file.
async fn local_endpoint(context: &Context, linger: Duration) -> Result<Exit, Failure> {
    let store = local_store(context);
    // The same port, secret and token as before, so that clients and agents find it again without a look.
    let before = local::read(&context.places)?;
    let secret = before
        .as_ref()
        .map_or_else(random, |state| state.secret.clone());
    let token = before
        .as_ref()
        .map_or_else(random, |state| state.token.clone());
    let mut settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], before.map_or(0, |state| state.port))),
        public_urls: Vec::new(),
        store,
        fsync: Fsync::Group,
        token: Some(token.clone()),
        secret: Some(secret.clone()),
        local: true,
        idle_limit: idle_limit(context),
        keepalive: KEEPALIVE,
    };
    let state_file = local::state_file(&context.places);
    let (bound, driver) = match bind(context, &settings, Some(state_file.clone())).await {
        Ok(both) => both,
        Err(_) if settings.listen.port() != 0 => {
            settings.listen.set_port(0);
            bind(context, &settings, Some(state_file)).await?
        }
        Err(failure) => return Err(failure),
    };
    let state = LocalState::of_this_process(bound.address().port(), secret, token);
    local::write(&context.places, &state)?;
    tracing::info!(port = bound.address().port(), "the local endpoint listens");
    until_told(bound, &driver, Some(linger)).await?;
    Ok(Exit::Done)
}

fn local_store(context: &Context) -> PathBuf {
    context.places.local_endpoint().join("store")
}

/// Ends the agent servers that a local endpoint, gone by now, has left behind; how many there were.
pub(crate) async fn end_left(context: &Context) -> Result<usize, Failure> {
    let store = local_store(context);
    if !store.exists() {
        return Ok(0);
    }
    match serve::end_left(&store, Arc::new(sandbox(context, &store))).await {
        Ok(ended) => Ok(ended),
        // A client has started the next one meanwhile, which finds them by itself.
        Err(serve::Error::Held(_)) => Ok(0),
        Err(error) => Err(failed(&error)),
    }
}

fn random() -> String {
    // Two UUIDs hold 244 random bits.
    format!(
        "{}{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    )
}

fn idle_limit(context: &Context) -> Duration {
    Duration::from_secs(context.settings.idle_minutes.saturating_mul(60))
}

/// Where it is kept.
pub(crate) fn token_file(store: &Path) -> PathBuf {
    store.join("token")
}

/// The token of an endpoint that was given none: made once, kept 0600 beside the store.
fn kept_token(store: &Path) -> Result<String, Failure> {
    let file = token_file(store);
    if let Ok(token) = std::fs::read_to_string(&file)
        && !token.trim().is_empty()
    {
        return Ok(token.trim().to_owned());
    }
    let token = random();
    // Files of `tempfile` are 0600.
    let keep = || -> std::io::Result<()> {
        // Comes before the endpoint makes its folder.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(store)?;
        let mut out = tempfile::NamedTempFile::new_in(store)?;
        out.write_all(token.as_bytes())?;
        out.as_file().sync_all()?;
        out.persist(&file)?;
        Ok(())
    };
    keep().map_err(|error| {
        Failure::new(
            Exit::Other,
            format!("cannot keep the token in {}: {error}", file.display()),
        )
    })?;
    Ok(token)
}

fn runs(store: &Path) -> PathBuf {
    store.join("runs")
}

fn sandbox(context: &Context, store: &Path) -> ProcessSandbox {
    ProcessSandbox::new(process::Settings {
        // Not `/proc/self/exe`: `setsid` stands between us and the agent server when that is resolved.
        program: PathBuf::from(format!("/proc/{}/exe", std::process::id())),
        environment: context
            .env
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        runs: runs(store),
        grace: GRACE,
    })
}

async fn bind(
    context: &Context,
    settings: &Settings,
    endpoint_file: Option<PathBuf>,
) -> Result<(Bound, Arc<Local>), Failure> {
    let runs = runs(&settings.store);
    let sandbox = sandbox(context, &settings.store);
    let limits = Limits {
        idle: settings.idle_limit,
        ..Limits::default()
    };
    let made = Arc::new(OnceLock::new());
    let keep = Arc::clone(&made);
    let driver: Driver = Box::new(move |ground: Ground, endpoint: String| {
        Box::pin(async move {
            let settings = lifecycle::Settings {
                limits,
                endpoint,
                endpoint_file,
                runs,
            };
            let driver = Arc::new(Local::new(settings, ground, Arc::new(sandbox)));
            drop(keep.set(Arc::clone(&driver)));
            driver.adopt().await;
            driver as Arc<dyn Lifecycle>
        })
    });
    let bound = serve::bind(settings, driver)
        .await
        .map_err(|error| match error {
            serve::Error::Exposed(_) | serve::Error::PublicUrl(_) => {
                Failure::usage(error.to_string())
            }
            error => failed(&error),
        })?;
    let driver = made.get().cloned().expect("bind makes the lifecycle");
    Ok((bound, driver))
}

/// TERM and INT end the endpoint alone, USR1 its agents too; so does quiet for as long as `linger`, when there are none.
async fn until_told(bound: Bound, driver: &Local, linger: Option<Duration>) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| failed(&error));
    let (mut terminate, mut interrupt, mut all) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
        listen(SignalKind::user_defined1())?,
    );
    let shutdown = CancellationToken::new();
    let traffic = bound.traffic();
    let alone = async {
        match linger {
            Some(linger) => until_quiet(linger, || traffic.sight(driver.busy())).await,
            None => std::future::pending().await,
        }
    };
    let serving = bound.run(shutdown.clone());
    tokio::pin!(serving);
    let end = tokio::select! {
        outcome = &mut serving => return outcome.map_err(|error| failed(&error)),
        _ = terminate.recv() => End::Keep,
        _ = interrupt.recv() => End::Keep,
        _ = all.recv() => End::All,
        () = alone => {
            tracing::info!("no run, no client: the local endpoint ends by itself");
            End::Keep
        }
    };
    if let End::All = end {
        // While it still serves, so that agents can say their last lines.
        tokio::select! {
            () = driver.end_agents() => (),
            outcome = &mut serving => return outcome.map_err(|error| failed(&error)),
        }
    }
    shutdown.cancel();
    serving.await.map_err(|error| failed(&error))
}

//! The endpoint as a whole: bound first, so that its port is known, then run until it is told to stop.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::backend::blobs;
use crate::backend::http::app::{App, Counters};
use crate::backend::http::auth::{BadUrl, Doors};
use crate::backend::http::routes::routes;
use crate::backend::http::signed::Signer;
use crate::backend::lifecycle::local;
use crate::backend::log::file::Fsync;
use crate::backend::parts::{self, Driver, Ground};
use crate::backend::quiet::Traffic;
use crate::backend::sandbox::Sandbox;
use crate::backend::store::{self, Store};

/// How long requests may go on after the stop was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// What a stream's follower is promised (contract 10.1).
pub const KEEPALIVE: Duration = Duration::from_secs(15);

/// Milliseconds until a connection ends whose other side takes nothing any more: a laptop that was closed is not told
/// as attached for the quarter of an hour that the system would wait.
#[cfg(target_os = "linux")]
const LOST_MS: u32 = 60_000;

/// What `serve` and the local endpoint are told.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: SocketAddr,
    /// `scheme://host[:port]` each; other names than loopback are refused without them.
    pub public_urls: Vec<String>,
    /// Everything that is kept lies below it.
    pub store: PathBuf,
    pub fsync: Fsync,
    /// The first user's token (`ASHORE_TOKEN`, or the local endpoint's own).
    pub token: Option<String>,
    /// What proves to this user's clients that the endpoint is theirs.
    pub secret: Option<String>,
    /// The endpoint of the user on this machine: takes `state.directory` and `state.agent_command`.
    pub local: bool,
    /// Without a message, an event or a running turn for this long, a run's sandbox is ended.
    pub idle_limit: Duration,
    /// Between signs of life on a silent stream, in whole seconds; `KEEPALIVE` unless there is a reason.
    pub keepalive: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        listen: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("listening on {0}, which is not loopback, needs --public-url and an explicit token")]
    Exposed(SocketAddr),
    #[error("cannot keep things in {folder}: {source}")]
    Folder {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("another endpoint is already using the store {0}")]
    Held(PathBuf),
    #[error(transparent)]
    PublicUrl(#[from] BadUrl),
    #[error(transparent)]
    Blobs(#[from] blobs::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the endpoint stopped serving: {0}")]
    Serve(#[source] std::io::Error),
}

/// A bound endpoint that does not answer yet.
pub struct Bound {
    address: SocketAddr,
    listener: TcpListener,
    ground: Ground,
    app: App,
    /// Held as long as this endpoint lives.
    lock: File,
}

/// Opens the store, binds the port, makes the lifecycle.
pub async fn bind(settings: &Settings, driver: Driver) -> Result<Bound, Error> {
    let listen = settings.listen;
    if !listen.ip().is_loopback() && (settings.public_urls.is_empty() || settings.token.is_none()) {
        return Err(Error::Exposed(listen));
    }
    let doors = Doors::new(&settings.public_urls)?;
    let lock = parts::take(&settings.store).await?;
    let ground = parts::ground(&settings.store, settings.fsync).await?;
    if let Some(token) = &settings.token {
        ground.store.adopt_token(token, "you").await?;
    }
    let signer = Signer::new(ground.store.signing_key().await?);
    let refused = |source| Error::Listen { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let app = App {
        store: Arc::clone(&ground.store),
        journal: Arc::clone(&ground.journal),
        blobs: ground.blobs.clone(),
        lifecycle: driver(ground.clone(), near(address)).await,
        doors,
        signer,
        secret: settings.secret.clone(),
        local: settings.local,
        keepalive: settings.keepalive,
        changing: tokio::sync::Mutex::default(),
        shutdown: CancellationToken::new(),
        presence: Arc::default(),
        counters: Counters {
            syncs: Arc::clone(&ground.syncs),
            ..Counters::default()
        },
    };
    Ok(Bound {
        address,
        listener,
        ground,
        app,
        lock,
    })
}

/// The URL a process on this machine reaches us by.
fn near(address: SocketAddr) -> String {
    match address {
        _ if address.ip().is_loopback() => format!("http://{address}"),
        SocketAddr::V4(_) => format!("http://127.0.0.1:{}", address.port()),
        SocketAddr::V6(_) => format!("http://[::1]:{}", address.port()),
    }
}

impl Bound {
    /// What comes in; for [`crate::backend::quiet`].
    pub fn traffic(&self) -> Traffic {
        Traffic {
            streams: Arc::clone(&self.app.counters.streams),
            requests: Arc::clone(&self.app.counters.requests),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the endpoint stands on: for tokens, and for whoever adopts running agent servers.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Serves until `shutdown` is cancelled; then streams end and requests get a few seconds.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let streams = self.app.shutdown.clone();
        let store = Arc::clone(&self.ground.store);
        let service =
            routes(Arc::new(self.app)).into_make_service_with_connect_info::<SocketAddr>();
        let listener = self.listener.tap_io(tune);
        let stopping = shutdown.clone();
        let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
            stopping.cancelled().await;
            streams.cancel();
        });
        let late = async {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let outcome = tokio::select! {
            outcome = async { serving.await } => outcome.map_err(Error::Serve),
            () = late => Ok(()),
        };
        store.close().await;
        drop(self.lock);
        outcome
    }
}

/// Sets what a connection needs; it serves without, too.
fn tune(socket: &mut TcpStream) {
    // A token of a stream should not wait for the next one.
    if let Err(cause) = socket.set_nodelay(true) {
        tracing::debug!(%cause, "cannot set TCP_NODELAY");
    }
    #[cfg(target_os = "linux")]
    if let Err(cause) = rustix::net::sockopt::set_tcp_user_timeout(&*socket, LOST_MS) {
        tracing::debug!(%cause, "cannot set TCP_USER_TIMEOUT");
    }
}

/// Opens the store for one question or one change, also while an endpoint serves it.
pub async fn open_store(folder: &Path) -> Result<Store, Error> {
    match parts::lock(folder) {
        Ok(_alone) => Ok(Store::open(folder).await?),
        Err(Error::Held(_)) => Ok(Store::join(folder).await?),
        Err(error) => Err(error),
    }
}

/// Ends the agent servers of a store that no endpoint serves; how many there were.
pub async fn end_left(folder: &Path, sandbox: Arc<dyn Sandbox>) -> Result<usize, Error> {
    let _lock = parts::take(folder).await?;
    let store = Store::open(folder).await?;
    let left = store.processes().await?;
    let ended = local::end_all(&sandbox, left.into_iter().map(|(_, started)| started)).await;
    store.close().await;
    Ok(ended)
}

/// Binds and serves.
pub async fn serve(
    settings: &Settings,
    driver: Driver,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    bind(settings, driver).await?.run(shutdown).await
}

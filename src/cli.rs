//! The command line as types (design of the surface). No behaviour.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::protocol::run::Policy;

/// The terminal client for coding agents that run somewhere else, and the endpoint they run behind.
#[derive(Debug, Parser)]
#[command(name = "ashore", version, disable_help_subcommand = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

const AFTER_HELP: &str = "Without a command: the picker when this directory has runs, else the composer of a new run.\n\
RUN is an id, any unique prefix of one, `last`, or the full URL of a run.\n\n\
Exit codes: 0 done, 1 other, 2 usage or config, 3 time-out, 4 no such run, 5 permission needed or refused, 6 not logged in or refused,\n\
7 endpoint not reachable, 8 mirror halted or conflicts left, 9 the run failed, 10 the agent refused or hit a limit, 130/143 interrupted.";

#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The endpoint to use: a name from the config, or a URL
    #[arg(short, long, global = true, value_name = "NAME|URL")]
    pub endpoint: Option<String>,
    /// Work in this directory
    #[arg(short = 'C', long = "cwd", global = true, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Read this file instead of the user's config.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What stdout carries
    #[arg(long, global = true, value_enum)]
    pub format: Option<Format>,
    /// Short for --format json
    #[arg(long, global = true, conflicts_with = "format")]
    pub json: bool,
    /// Say less on stderr
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more on stderr and in the log
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Colour on stdout and stderr
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub color: Color,
    /// The theme of the screen
    #[arg(long, global = true, value_name = "NAME")]
    pub theme: Option<String>,
    /// No glyphs beyond ASCII on the screen
    #[arg(long, global = true)]
    pub ascii: bool,
    /// Whole lines instead of a screen
    #[arg(long, global = true)]
    pub screen_reader: bool,
    /// Below what stands in the terminal, without a screen of its own: what is finished is printed once
    #[arg(long, global = true)]
    pub inline: bool,
    /// Leave the mouse to the terminal
    #[arg(long, global = true)]
    pub no_mouse: bool,
    /// More root certificates, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The dialect of a foreign endpoint
    #[arg(long, global = true, value_name = "NAME")]
    pub dialect: Option<String>,
}

impl Global {
    pub fn format(&self) -> Format {
        if self.json {
            Format::Json
        } else {
            self.format.unwrap_or(Format::Text)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
    Ndjson,
    /// Of `export` alone.
    #[value(hide = true)]
    Md,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Permissions {
    Auto,
    Ask,
    Deny,
}

impl From<Permissions> for Policy {
    fn from(word: Permissions) -> Self {
        match word {
            Permissions::Auto => Self::Auto,
            Permissions::Ask => Self::Ask,
            Permissions::Deny => Self::Deny,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Where {
    Local,
    #[default]
    Cloud,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a task and a run; without PROMPT the composer opens
    Run(Run),
    /// Join a run
    Attach(Attach),
    /// List runs
    Ls {
        /// Of every directory and task
        #[arg(long)]
        all: bool,
        /// Only those with this status
        #[arg(long, value_name = "S")]
        status: Option<String>,
    },
    /// How a run stands
    Status { run: String },
    /// Send a prompt to a run
    Send {
        run: String,
        /// The prompt; `-` reads stdin
        text: Option<String>,
        /// A file that goes with it: a picture, sound, text; ten at most
        #[arg(long, value_name = "PATH")]
        attach: Vec<PathBuf>,
    },
    /// End the running turn
    Cancel { run: String },
    /// End the run
    Stop { run: String },
    /// Wait until a run is idle, asks, or is done
    Wait {
        run: String,
        #[arg(long = "for", value_enum, default_value = "idle")]
        until: Until,
        /// Such as 90s, 30m, 2h
        #[arg(long, value_parser = duration)]
        timeout: Option<Duration>,
    },
    /// Show or answer a permission request
    Answer {
        run: String,
        request: Option<String>,
        option: Option<String>,
    },
    /// Print the journal, one line per entry
    Events {
        run: String,
        /// The first sequence to print
        #[arg(long, value_name = "N", default_value_t = 1)]
        from: u64,
        /// Go on as new entries come
        #[arg(long)]
        follow: bool,
    },
    /// What a run changed
    Diff {
        run: String,
        #[arg(long)]
        stat: bool,
    },
    /// Bring a run's changes down once
    Pull {
        run: String,
        #[arg(long)]
        dry_run: bool,
        #[arg(long)]
        patch: bool,
    },
    /// Create the pull request of a run
    Pr { run: String },
    /// The file mirror of a run
    Mirror {
        #[command(subcommand)]
        what: Mirror,
    },
    /// Remove a run, its journal and its workspace; with --yes also what undo could still put back here
    Rm {
        run: String,
        /// Do it
        #[arg(long, short)]
        yes: bool,
    },
    /// Remove old runs
    Prune {
        #[arg(long, value_name = "AGE")]
        older_than: Option<String>,
    },
    /// Write a run to stdout: --format md (as a document), ndjson (its journal, which replay plays)
    Export { run: String },
    /// Play a journal file on the screen
    Replay {
        file: PathBuf,
        /// How many times as fast as it was, or max: without waiting
        #[arg(long, value_name = "N|max", value_parser = speed, default_value = "1")]
        speed: f64,
    },
    /// Serve an endpoint
    Serve(Serve),
    /// The agent server, inside a sandbox
    Agent {
        /// The 0600 file the endpoint wrote; it is removed once it was read
        #[arg(long, value_name = "FILE")]
        launch: PathBuf,
    },
    /// An ACP agent over stdio that needs no network
    DemoAgent,
    /// A run, offered to other ACP clients over stdio
    Acp { run: String },
    /// The endpoints this machine knows
    Endpoint {
        #[command(subcommand)]
        what: Endpoint,
    },
    /// Log in to an endpoint
    Login,
    /// Forget a token
    Logout,
    /// Who the endpoint says you are
    Whoami,
    /// The config file
    Config {
        #[command(subcommand)]
        what: Config,
    },
    /// Themes of the screen
    Theme {
        #[command(subcommand)]
        what: Theme,
    },
    /// The key map
    Keys,
    /// What works here and what does not
    Doctor {
        /// Try this agent
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
        /// Send one message as the screen would, and say which way it went
        #[arg(long, conflicts_with = "agent")]
        notify: bool,
    },
    /// Where the log is, and its end
    Logs {
        /// Go on as lines come
        #[arg(short)]
        follow: bool,
    },
    /// Shell completions
    Completions { shell: String },
    /// The man page
    Man,
    /// Put a terminal back that a killed program left in a mess
    ResetTerminal,
}

#[derive(Debug, Clone, Default, Args)]
pub struct Run {
    /// The prompt; `-` reads stdin
    pub prompt: Option<String>,
    /// A file that goes with the prompt: a picture, sound, text; ten at most
    #[arg(long, value_name = "PATH")]
    pub attach: Vec<PathBuf>,
    /// A repository the endpoint can clone, org/repo
    #[arg(long)]
    pub repo: Option<String>,
    #[arg(long)]
    pub branch: Option<String>,
    /// The agent: demo, claude, codex, gemini, opencode
    #[arg(long, value_name = "NAME", conflicts_with = "agent_command")]
    pub agent: Option<String>,
    /// Any ACP agent's command line
    #[arg(long, value_name = "CMD")]
    pub agent_command: Option<String>,
    /// `cloud`: in the endpoint's sandbox. `local`: in this very directory
    #[arg(long, value_enum, default_value = "cloud")]
    pub environment: Where,
    /// Who answers the agent's permission requests
    #[arg(long, value_enum)]
    pub permissions: Option<Permissions>,
    /// Do not wait
    #[arg(long, conflicts_with = "print")]
    pub detach: bool,
    /// Headless: one turn, then exit
    #[arg(short, long)]
    pub print: bool,
    /// Do not write the run's files here
    #[arg(long, conflicts_with = "worktree")]
    pub no_mirror: bool,
    /// Mirror into a new git worktree
    #[arg(long)]
    pub worktree: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Attach {
    /// A run, or its URL
    #[arg(required_unless_present = "last", conflicts_with = "last")]
    pub run: Option<String>,
    /// The newest run of this directory, else of all
    #[arg(long)]
    pub last: bool,
    /// Watch only
    #[arg(long)]
    pub read_only: bool,
    /// Mirror into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "no_mirror")]
    pub mirror: Option<PathBuf>,
    #[arg(long)]
    pub no_mirror: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Until {
    Idle,
    Permission,
    Done,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Mirror {
    /// How the mirror stands
    Status { run: String },
    /// What would change
    Plan { run: String },
    /// Hold all writing
    Pause { run: String },
    /// Go on
    Resume {
        run: String,
        /// The many deletes are meant, on whichever side they were made
        #[arg(long, conflicts_with = "bring_back")]
        accept_deletes: bool,
        /// Put back here what was deleted here
        #[arg(long)]
        bring_back: bool,
        /// What a gitignore file that the agent changed lets through now may go up
        #[arg(long, conflicts_with_all = ["accept_deletes", "bring_back"])]
        accept_rules: bool,
    },
    /// Send everything edited here now
    Flush { run: String },
    /// Which way changes travel; without a word, say which
    Direction {
        run: String,
        #[arg(value_enum)]
        word: Option<Direction>,
    },
    /// Try now what could not be put here; one path also where it is too large
    Fetch { run: String, path: Option<String> },
    /// List conflicts
    Conflicts { run: String },
    /// End a conflict
    Resolve {
        run: String,
        path: String,
        #[command(flatten)]
        keep: Keep,
    },
    /// Show what taking back what the agent wrote would do; with --yes, do it. Another undo returns it
    Undo {
        run: String,
        #[command(flatten)]
        of: UndoOf,
        /// Do it
        #[arg(long, short)]
        yes: bool,
    },
    /// Whether a file is mirrored, and if not, what keeps it out
    Why { run: String, path: String },
    /// What was written when
    Log { run: String },
    /// Who wrote a file
    Who { run: String, path: String },
}

/// How much is undone.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct UndoOf {
    /// The last write to this file; where you edited it since, your edit
    pub path: Option<String>,
    /// What was written in this turn, counted from 1
    #[arg(long, value_name = "N")]
    pub turn: Option<u64>,
    /// All that the agent wrote
    #[arg(long = "run")]
    pub whole: bool,
}

/// Which side of a conflict stays.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = false)]
pub struct Keep {
    /// What stands here stays, and goes up
    #[arg(long)]
    pub mine: bool,
    /// Theirs takes its place; yours is kept as a pre-image
    #[arg(long)]
    pub theirs: bool,
    /// Mine in place, and the copy of theirs stays beside it
    #[arg(long)]
    pub both: bool,
    /// What both have changed, line by line; refused where they changed the same lines
    #[arg(long)]
    pub merge: bool,
}

/// Which way changes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    Both,
    /// Theirs comes, edits made here are counted and stay
    Down,
    /// Edits made here go, theirs waits
    Up,
    /// Both wait
    Off,
}

#[derive(Debug, Clone, Args)]
pub struct Serve {
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8010")]
    pub listen: String,
    /// How clients reach it; once per name
    #[arg(long, value_name = "URL")]
    pub public_url: Vec<String>,
    /// Where everything is kept
    #[arg(long, value_name = "DIR|s3://BUCKET/PREFIX")]
    pub store: Option<String>,
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    #[arg(
        long,
        value_name = "local|temporal://HOST:PORT",
        default_value = "local"
    )]
    pub lifecycle: String,
    #[arg(
        long,
        value_name = "process|bwrap|docker|command",
        default_value = "process"
    )]
    pub sandbox: String,
    #[arg(long, value_name = "all|api|worker", default_value = "all")]
    pub role: String,
    #[arg(long, value_name = "F")]
    pub tls_cert: Option<PathBuf>,
    #[arg(long, value_name = "F")]
    pub tls_key: Option<PathBuf>,
    #[arg(long)]
    pub trust_proxy: bool,
    /// `never` is for tests and scratch machines
    #[arg(long, value_enum, default_value = "group")]
    pub fsync: Fsync,
    /// This user's own endpoint: started by the client, kept in the state folder
    #[arg(long, hide = true)]
    pub local: bool,
    /// With --local: it ends after so long without a run, a client or a request
    #[arg(long, hide = true, value_name = "SECONDS", default_value_t = 600)]
    pub linger: u64,
    #[command(subcommand)]
    pub what: Option<ServeWhat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fsync {
    Group,
    Never,
}

#[derive(Debug, Clone, Subcommand)]
pub enum ServeWhat {
    /// Tokens of this store
    Token {
        #[command(subcommand)]
        what: TokenWhat,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub enum TokenWhat {
    /// Make one and print it, once; whoever has it sees and steers the runs of this endpoint
    Create { name: String },
    /// Names, never the tokens themselves
    Ls,
    /// It opens nothing from now on
    Revoke { name: String },
}

#[derive(Debug, Clone, Subcommand)]
pub enum Endpoint {
    /// Give a URL a name
    Add { name: String, url: String },
    /// Make one the usual one
    Use { name: String },
    /// Those known here
    Ls,
    /// End the local endpoint, its runs and their agents
    Stop {
        /// End only the endpoint; agents go on
        #[arg(long)]
        keep: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Config {
    /// Where the file is
    Path,
    /// What holds, and where each value comes from
    Show,
    /// Open the file in your editor
    Edit,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Theme {
    /// Which there are, ours and yours
    Ls,
    /// What they look like on this terminal
    Preview {
        /// These; without a name all
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

/// A number above zero; `max` is infinite.
fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = match text {
        "max" => f64::INFINITY,
        number => number.parse().unwrap_or(f64::NAN),
    };
    if speed > 0.0 {
        Ok(speed)
    } else {
        Err(format!("`{text}` is no speed: say 1, 4, 0.5 or max"))
    }
}

/// `90s`, `30m`, `2h`, `1d`, or plain seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("`{text}` is no duration: say 90s, 30m or 2h"))?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(format!("`{unit}` is no unit of time: say s, m, h or d")),
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_speed_is_a_number_above_zero_or_max() {
        assert_eq!(speed("4"), Ok(4.0));
        assert_eq!(speed("max"), Ok(f64::INFINITY));
        for wrong in ["0", "-1", "fast", "nan", ""] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert!(duration("soon").is_err());
        assert!(duration("3w").is_err());
    }
}

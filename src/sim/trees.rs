//! The file trees of everybody, the contents that the endpoint keeps, and what people do to files on either side.
//!
//! Has chance of its own, so that a life without files is the same life.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::dice::Dice;
use super::tree::{Act, FIRST, Tree};
use super::world::World;
use crate::mirror::base::Noted;
use crate::mirror::ground::simulated::{Disk, Machines};
use crate::mirror::watch::Batch;
use crate::protocol::file::{FileManifest, FileState, ManifestFile, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

/// Away from the chance of everything else.
const APART: u64 = 0x5eed_0f11_e5ea_1e55;
/// Where the agent's tree stands among the others.
pub(super) const AGENT: usize = super::CLIENTS;
/// Paths that both sides edit; some stand in each other's way.
const SHARED: &[&str] = &["a", "b", "d/x", "d/y", "e/f/g", "d", "e/f"];
const SEED: &[&str] = &["a", "d/x", "seed/one", "seed/two"];
/// Milliseconds that a user holds a file open before saving it, at most: less than a mirror waits for.
const HELD: u64 = 4_000;
/// As `mirror::watch` waits for quiet.
const QUIET: Duration = Duration::from_millis(30);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a tree's life is like.
#[derive(Debug, Clone)]
pub(super) struct Habits {
    /// Edits in the time of trouble, and edits that the child makes in a turn at most.
    pub(super) edits: u64,
    pub(super) turn: u64,
    /// Edits that another side makes of the same path soon after, in thousandths.
    pub(super) meetings: u64,
    /// Edits that fall between two calls of a mirror at work.
    pub(super) ambushes: u64,
    /// Edits through a file that was opened a while before.
    pub(super) handles: u64,
    /// Milliseconds that a piece of work waits for the disk, at most.
    pub(super) disk: u64,
    /// Notices of the watch that are lost, so that only "something" is known.
    pub(super) overflows: u64,
}

impl Habits {
    fn draw(dice: &mut Dice) -> Self {
        Self {
            edits: dice.pick(&[0, 4, 10, 25]),
            turn: dice.pick(&[0, 2, 4]),
            meetings: dice.pick(&[100, 400, 800]),
            ambushes: dice.pick(&[0, 200, 500]),
            handles: dice.pick(&[0, 0, 200, 500]),
            disk: dice.pick(&[0, 1, 5, 60]),
            overflows: dice.pick(&[0, 0, 100]),
        }
    }
}

/// What is asked of the endpoint about contents.
pub(super) enum Ask {
    Get(ContentHash),
    Put(ContentHash, Vec<u8>),
    Missing(Vec<ContentHash>),
    Pack(Vec<ContentHash>),
}

pub(super) enum Answer {
    Content(Option<Vec<u8>>),
    Kept,
    Missing(Vec<ContentHash>),
    Pack(Vec<(ContentHash, Vec<u8>)>),
}

#[derive(Debug)]
pub(super) struct Trees {
    pub(super) habits: Habits,
    pub(super) all: Vec<Arc<Tree>>,
    dice: Mutex<Dice>,
    start: Instant,
    count: Mutex<u64>,
    /// What the endpoint keeps; durable when it says so.
    blobs: Mutex<BTreeMap<ContentHash, Vec<u8>>>,
    seed: BTreeMap<RelPath, FileState>,
}

impl Trees {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let mut dice = Dice::new(seed ^ APART);
        let habits = Habits::draw(&mut dice);
        let mut all = Vec::new();
        for number in 0..=super::CLIENTS {
            let name = if number == AGENT {
                "agent".to_owned()
            } else {
                format!("client{number}")
            };
            let careless = number == AGENT;
            let dice = Dice::new(dice.next());
            all.push(Tree::new(&name, number as u64, careless, dice));
        }
        // The run was seeded from the first client's directory.
        let mut blobs = BTreeMap::new();
        for path in SEED {
            let text = format!("{path} as it came\n");
            blobs.insert(ContentHash::of(text.as_bytes()), text.clone().into_bytes());
            for number in [0, AGENT] {
                let path = path.parse().expect("a path");
                all[number].seed(&path, &text);
            }
        }
        Arc::new(Self {
            habits,
            seed: all[0].files(),
            all,
            dice: Mutex::new(dice),
            start: Instant::now(),
            count: Mutex::new(0),
            blobs: Mutex::new(blobs),
        })
    }

    pub(super) fn dice(&self) -> MutexGuard<'_, Dice> {
        lock(&self.dice)
    }

    pub(super) fn tree(&self, number: usize) -> &Arc<Tree> {
        &self.all[number]
    }

    pub(super) fn agent(&self) -> &Arc<Tree> {
        &self.all[AGENT]
    }

    /// What the run was seeded with.
    pub(super) fn baseline(&self) -> BTreeMap<RelPath, FileState> {
        self.seed.clone()
    }

    pub(super) fn manifest(&self) -> FileManifest {
        let files = self.seed.iter();
        let file =
            |(path, state): (&RelPath, &FileState)| (path.to_string(), ManifestFile::from(*state));
        FileManifest {
            version: 1,
            base_commit: None,
            updated_at: String::new(),
            files: files.map(file).collect(),
            deleted_files: Vec::new(),
            bundle: None,
            head: None,
            branch: None,
            remotes: BTreeMap::new(),
        }
    }

    /// What the endpoint answers.
    pub(super) fn serve(&self, ask: Ask) -> Answer {
        let mut blobs = lock(&self.blobs);
        match ask {
            Ask::Get(hash) => Answer::Content(blobs.get(&hash).cloned()),
            Ask::Put(hash, bytes) => {
                if ContentHash::of(&bytes) == hash {
                    blobs.insert(hash, bytes);
                }
                Answer::Kept
            }
            Ask::Pack(hashes) => {
                let there = |hash| Some((hash, blobs.get(&hash)?.clone()));
                Answer::Pack(hashes.into_iter().filter_map(there).collect())
            }
            Ask::Missing(hashes) => {
                let lacks = |hash: &ContentHash| !blobs.contains_key(hash);
                Answer::Missing(hashes.into_iter().filter(lacks).collect())
            }
        }
    }

    fn text(&self, tree: &Tree) -> String {
        let mut count = lock(&self.count);
        *count += 1;
        format!("{} wrote {count}\n", tree.name)
    }

    /// What somebody does next, and where.
    fn choose(&self, number: usize) -> (RelPath, Act) {
        let tree = &self.all[number];
        let own = [format!("own-{}", tree.name), format!("own/{}/x", tree.name)];
        let path = |text: &str| text.parse::<RelPath>().expect("a path");
        let mut dice = self.dice();
        let at = if dice.chance(250) {
            path(&own[dice.index(2)])
        } else {
            path(dice.pick(SHARED))
        };
        let (what, fresh) = (dice.below(100), dice.chance(500));
        let act = match what {
            0..70 => Act::Write {
                fresh,
                text: self.text(tree),
            },
            70..83 => Act::Delete,
            83..90 => Act::Flip,
            90..96 if at.as_str().starts_with("own") => Act::Flip,
            90..96 => Act::Rename(path(dice.pick(SHARED))),
            _ => Act::Link(format!("to-{}", self.text(tree).trim().replace(' ', "-"))),
        };
        (at, act)
    }

    /// An edit of somebody's, now or in the middle of their mirror's work.
    pub(super) async fn edit(&self, world: &World, number: usize, at: Option<&RelPath>) -> RelPath {
        let tree = &self.all[number];
        let (path, act) = self.choose(number);
        let path = at.cloned().unwrap_or(path);
        let (ambush, calls, held, wait) = {
            let mut dice = self.dice();
            let ambush = dice.chance(self.habits.ambushes);
            let calls = dice.below(40);
            let held = dice.chance(self.habits.handles);
            (ambush, calls, held, dice.millis(0, HELD))
        };
        let open = match &act {
            Act::Write { fresh: false, text } if held => tree.open(&path).zip(Some(text)),
            _ => None,
        };
        if let Some((open, text)) = open {
            world.note(format_args!("{} opens {path}", tree.name));
            sleep(wait).await;
            let saved = tree.save(&open, text);
            world.note(format_args!(
                "{} saves {path} through it: {text:?}, {saved}",
                tree.name
            ));
        } else if ambush {
            world.note(format_args!(
                "{} lies in wait at {path}: {act:?}",
                tree.name
            ));
            tree.ambush(calls, path.clone(), act);
            sleep(Duration::from_secs(1)).await;
            tree.spring();
        } else if tree.act(&path, &act) {
            world.note(format_args!("{} edits {path}: {act:?}", tree.name));
        }
        path
    }

    /// What the child does in a turn.
    pub(super) async fn work(&self, world: &World) {
        let most = if world.is_calm() { 0 } else { self.habits.turn };
        let edits = self.dice().below(most + 1);
        for _ in 0..edits {
            let wait = self.dice().millis(0, 300);
            sleep(wait).await;
            self.edit(world, AGENT, None).await;
        }
    }

    /// A file that nobody else writes, just before something is said; its content.
    pub(super) fn last_words(&self, number: usize) -> ContentHash {
        let tree = &self.all[number];
        let text = self.text(tree);
        let path = format!("before/{}", tree.name).parse().expect("a path");
        let hash = ContentHash::of(text.as_bytes());
        tree.act(&path, &Act::Write { fresh: false, text });
        hash
    }

    /// Differences that are no listed conflict, and changes that are on their way.
    pub(super) fn unfinished(&self) -> Option<String> {
        let theirs = self.agent().files();
        self.all[..AGENT].iter().find_map(|tree| {
            let name = &tree.name;
            let state = tree.lock();
            let known = state.shelf.known();
            if let Some(((seq, path), _)) = known.waiting.first_key_value() {
                return Some(format!("{path} of line {seq} waits at {name}"));
            }
            if let Some((path, _)) = known.sent.first_key_value() {
                return Some(format!("{path} of {name} has no answer"));
            }
            let listed = known.conflicts.clone();
            drop(state);
            let ours = tree.files();
            let paths: BTreeSet<&RelPath> = ours.keys().chain(theirs.keys()).collect();
            let differs = |path: &&RelPath| {
                ours.get(*path) != theirs.get(*path)
                    && !is_listed(path, &listed, &theirs)
                    && !is_at_a_link(path, &ours)
                    && !is_at_a_link(path, &theirs)
            };
            let path = paths.into_iter().find(differs)?;
            Some(format!(
                "{path} of {name} is {:?}, the agent's is {:?}, noted {:?}",
                ours.get(path),
                theirs.get(path),
                listed.get(path),
            ))
        })
    }
}

/// Whether a conflict on the path says what the agent has there, or one above or below it is in the way.
fn is_listed(
    path: &RelPath,
    listed: &BTreeMap<RelPath, Noted>,
    theirs: &BTreeMap<RelPath, FileState>,
) -> bool {
    listed.iter().any(|(at, noted)| {
        let folder = |state: &FileState| state.mode == Mode::Directory;
        let told = noted.theirs.filter(|state| !folder(state));
        let right = !noted.resolved && told.as_ref() == theirs.get(at);
        let near = |inner: &RelPath, outer: &RelPath| {
            let rest = inner.as_str().strip_prefix(outer.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        right && (near(path, at) || near(at, path))
    })
}

/// What stands behind a link is nobody's to say: a folder that gave way to one stays on the other side as it was.
fn is_at_a_link(path: &RelPath, files: &BTreeMap<RelPath, FileState>) -> bool {
    let mut above = std::iter::successors(Some(path.clone()), RelPath::parent);
    above.any(|at| {
        files
            .get(&at)
            .is_some_and(|state| state.mode == Mode::Symlink)
    })
}

impl Machines for Trees {
    fn disk(&self, name: &str) -> Option<Arc<dyn Disk>> {
        let tree = self.all.iter().find(|tree| tree.name == name)?;
        Some(Arc::clone(tree) as Arc<dyn Disk>)
    }

    fn now(&self) -> Duration {
        FIRST + self.start.elapsed()
    }

    fn fresh(&self) -> uuid::Uuid {
        self.dice().uuid()
    }

    fn wait(&self) -> Duration {
        self.dice().millis(0, self.habits.disk)
    }
}

/// A machine's folder by this name.
pub(super) fn folder(tree: &Tree, name: &str) -> std::path::PathBuf {
    Path::new("/").join(&tree.name).join(name)
}

/// Everybody edits, now and then the same file at about the same time.
pub(super) async fn edit(world: Arc<World>) {
    let trees = Arc::clone(&world.trees);
    let between = u64::try_from(world.options.trouble.as_millis()).unwrap_or(u64::MAX);
    for _ in 0..trees.habits.edits {
        let wait = trees.dice().millis(0, 2 * between / trees.habits.edits);
        if world.now() + wait > world.options.trouble {
            return;
        }
        sleep(wait).await;
        let (first, second, meet, soon) = {
            let mut dice = trees.dice();
            let first = dice.index(AGENT + 1);
            let second = (first + 1 + dice.index(AGENT)) % (AGENT + 1);
            let meet = dice.chance(trees.habits.meetings);
            (first, second, meet, dice.millis(0, 300))
        };
        let at = trees.edit(&world, first, None).await;
        if meet && !at.as_str().starts_with("own") {
            sleep(soon).await;
            trees.edit(&world, second, Some(&at)).await;
        }
    }
}

/// As `mirror::watch` tells: first that everything is to be looked at, then what has changed.
pub(super) async fn watch(world: Arc<World>, number: usize, batches: mpsc::Sender<Batch>) {
    let trees = Arc::clone(&world.trees);
    let tree = trees.tree(number);
    let mut batch = Batch {
        rescan: true,
        ..Batch::default()
    };
    loop {
        if batches.send(batch).await.is_err() {
            return;
        }
        let mut paths = tree.stirred();
        while paths.is_empty() {
            tree.stirs.notified().await;
            sleep(QUIET).await;
            paths = tree.stirred();
        }
        let rescan = trees.dice().chance(trees.habits.overflows);
        batch = Batch {
            paths: if rescan { BTreeSet::new() } else { paths },
            rescan,
            note: None,
            polls: None,
        };
    }
}

//! R7: no path that an agent can name leads out of the directory or into a `.git`, through the whole road of a file event.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use ashore::protocol::hash::ContentHash;
use serde_json::{Value, json};

use crate::quality::targets::is_git;
use crate::support::home::Home;
use crate::support::scripted::{Script, Scripted};

/// What kind of trick, and the path.
pub(crate) fn corpus() -> Vec<(String, String)> {
    let text = include_str!("../../samples/hostile-paths.json");
    serde_json::from_str(text).expect("the samples are JSON")
}

/// Everything below a folder: what it is and its bytes. Links are not followed.
pub(crate) fn tree(below: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("readable").path();
            // What goes away while we look is not there.
            let Ok(meta) = path.symlink_metadata() else {
                continue;
            };
            let what = if meta.is_symlink() {
                let target = path.read_link().expect("a link");
                target.into_os_string().into_encoded_bytes()
            } else if meta.is_dir() {
                folders.push(path.clone());
                b"a folder".to_vec()
            } else {
                // A socket cannot be read; it is enough that it stands there.
                std::fs::read(&path).unwrap_or_else(|error| error.to_string().into_bytes())
            };
            found.insert(path, what);
        }
    }
    found
}

fn event(kind: &str, path: &str, content: &[u8], mode: &str) -> String {
    let hash = ContentHash::of(content).to_string();
    let params = json!({"type": kind, "path": format!("/w/{path}"), "relativePath": path, "contentHash": hash,
        "storagePath": format!("files/{hash}"), "size": content.len(), "mode": mode, "baseHash": null, "turn": 1});
    json!({"type": "notification", "timestamp": "2026-11-01T12:00:00Z",
        "notification": {"jsonrpc": "2.0", "method": "_posthog/file_sync", "params": params}})
    .to_string()
}

/// A directory with a repository and links that lead everywhere, and a tree beside it that must stay as it is.
struct Ground {
    home: Home,
    outside: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let home = Home::new();
        home.git(&["init", "-q"]);
        home.write("mine.txt", "mine");
        home.write("deep/mine.txt", "mine");
        home.write("../outside/canary", "canary");
        home.write("../outside/.git/config", "canary");
        let work = home.work();
        let outside = work.parent().expect("has one").join("outside");
        std::fs::create_dir_all(work.join("sub/.git")).expect("can be made");
        for (target, name) in [
            ("../outside", "link"),
            (".git", "gitlink"),
            ("../../outside", "deep/link"),
            ("loop", "loop"),
            ("../nowhere", "dangling"),
            (".", "self"),
            ("..", "up"),
            ("../outside/canary", "filelink"),
        ] {
            symlink(target, work.join(name)).expect("can link");
        }
        Self { home, outside }
    }

    /// Everything no event may change: all beside the directory but what the client keeps for itself, and each `.git`.
    fn untouchable(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let above = self.outside.parent().expect("has one");
        let (work, own) = (self.home.work(), self.home.home());
        let is_git = |path: &Path| {
            path.strip_prefix(&work)
                .is_ok_and(|below| below.iter().any(|part| part.eq_ignore_ascii_case(".git")))
        };
        let mut all = tree(above);
        all.retain(|path, _| is_git(path) || !(path.starts_with(&work) || path.starts_with(&own)));
        all
    }

    /// What became of each event: path and result.
    fn attach(&self, lines: Vec<String>, blobs: HashMap<String, Vec<u8>>) -> Vec<(String, String)> {
        let endpoint = Scripted::start(Script {
            lines,
            blobs,
            ..Script::default()
        });
        let run = endpoint.run();
        let arguments = ["attach", &run, "--mirror", ".", "--format", "ndjson"];
        let done = self
            .home
            .ashore(&arguments)
            .env("ASHORE_TOKEN", "s3cret")
            .output()
            .expect("starts");
        let err = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(matches!(done.status.code(), Some(0 | 8)), "{err}");
        assert!(!err.contains("panicked"), "{err}");
        let word = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        String::from_utf8_lossy(&done.stdout)
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .filter(|line| line["mirror"].is_object())
            .map(|line| {
                (
                    word(&line["mirror"], "path"),
                    word(&line["mirror"], "result"),
                )
            })
            .collect()
    }
}

/// The conflicts among them have copies: their fixed pattern, and nothing else, may have come behind what stood in one file.
fn without_our_lines(
    ground: &Ground,
    mut after: BTreeMap<PathBuf, Vec<u8>>,
    before: &BTreeMap<PathBuf, Vec<u8>>,
) -> BTreeMap<PathBuf, Vec<u8>> {
    let exclude = ground.home.work().join(".git/info/exclude");
    let bare = |rest: &str| rest.replace("[0-9a-f]", "").replace("[0-9]", "") == "-";
    let is_ours = |line: &str| {
        let mut starts = ["?*.remote-", "?*.late-"].into_iter();
        line.starts_with("# ashore: ")
            || line == "?*.late-sandbox-0"
            || starts.any(|start| line.strip_prefix(start).is_some_and(bare))
    };
    if let (Some(now), Some(then)) = (after.get_mut(&exclude), before.get(&exclude)) {
        let ours = now.strip_prefix(then.as_slice()).expect("kept as it was");
        let ours = String::from_utf8(ours.to_vec()).expect("text");
        assert!(ours.lines().all(is_ours), "{ours}");
        now.clone_from(then);
    }
    after
}

#[test]
fn no_path_of_the_corpus_leads_out_or_into_a_repository() {
    let corpus = corpus();
    assert!(corpus.len() >= 200, "{}", corpus.len());
    let ground = Ground::new();
    let before = ground.untouchable();
    let outside = ground.outside.to_string_lossy().into_owned();
    let mut blobs = HashMap::new();
    let mut lines = Vec::new();
    for (_, path) in &corpus {
        for (kind, content, mode) in [
            ("file_created", "evil", "100644"),
            ("file_modified", "evil too", "100755"),
            ("file_created", outside.as_str(), "120000"),
            ("file_created", "../outside", "120000"),
            ("file_created", ".git/hooks/pre-commit", "120000"),
            ("file_created", "", "040000"),
            ("file_deleted", "", "100644"),
            ("file_created", "evil at last", "100644"),
        ] {
            lines.push(event(kind, path, content.as_bytes(), mode));
            blobs.insert(
                ContentHash::of(content.as_bytes()).to_string(),
                content.as_bytes().to_vec(),
            );
        }
    }
    lines.push(event("file_created", "good.txt", b"evil", "100644"));
    let seen = ground.attach(lines, blobs);
    let after = without_our_lines(&ground, ground.untouchable(), &before);
    assert_eq!(after, before);
    assert_eq!(
        ground.home.read("good.txt").as_deref(),
        Some("evil"),
        "the road was open"
    );
    assert_eq!(ground.home.read("mine.txt").as_deref(), Some("mine"));
    for (group, path) in corpus {
        if matches!(
            group.as_str(),
            "git" | "ours" | "absolute" | "nul" | "backslash" | "link"
        ) {
            let settled = seen
                .iter()
                .any(|(seen, result)| *seen == path && result == "settled");
            assert!(!settled, "{group} {path:?} was settled");
        }
    }
    assert_no_disguise(&ground.home.work());
}

/// No name below is one that another system, or a system that ignores what cannot be seen, takes for `.git`.
fn assert_no_disguise(work: &Path) {
    for path in tree(work).into_keys() {
        let below = path.strip_prefix(work).expect("below");
        let mut parts = below.iter().map(|part| part.to_string_lossy().into_owned());
        // The repository itself, and the one that stood there.
        let own = below.starts_with(".git") || below.starts_with("sub/.git");
        assert!(
            own || !parts.any(|part| is_git(&part)),
            "{}",
            below.display()
        );
    }
}

/// Each in a directory of its own: what is made, and in which order. `L` makes a link, `F` a file, `D` removes.
#[rustfmt::skip]
const STORIES: &[&[(char, &str, &str)]] = &[
    &[('L', "a", "../outside"), ('F', "a/x", "evil")],
    &[
        ('L', "a", "b"),
        ('L', "b", "../outside"),
        ('F', "a/x", "evil"),
    ],
    &[('L', "a", "."), ('L', "a/b", ".."), ('F', "a/b/x", "evil")],
    &[
        ('L', "d/a", ".."),
        ('L', "d/a/b", ".."),
        ('F', "d/a/b/x", "evil"),
    ],
    &[('L', "a", "d/.."), ('F', "a/../x", "evil")],
    &[
        ('F', "a/x", "evil"),
        ('D', "a/x", ""),
        ('L', "a", "../outside"),
        ('F', "a/x", "evil"),
    ],
    &[
        ('F', "a/x", "evil"),
        ('D', "a/x", ""),
        ('L', "a", "link"),
        ('F', "a/canary", "evil"),
    ],
    &[('L', "g", ".git"), ('F', "g/hooks/x", "evil")],
    &[('L', "g", "sub"), ('F', "g/.git/x", "evil")],
    &[('L', "g", "./.GIT"), ('F', "g/config", "evil")],
    &[('L', "x", "link/canary"), ('F', "x", "evil")],
    &[('L', "x", "filelink"), ('F', "x", "evil"), ('D', "x", "")],
    &[('L', "x", "deep/link"), ('F', "x/y/z", "evil")],
    &[
        ('F', "link/x", "evil"),
        ('D', "link", ""),
        ('L', "link", "sub"),
        ('F', "link/.git/x", "evil"),
    ],
    &[
        ('D', "link/canary", ""),
        ('D', "filelink", ""),
        ('D', "up/outside/canary", ""),
    ],
    &[
        ('L', ".ashore", "../outside"),
        ('F', ".ashore/stage/x", "evil"),
    ],
];

#[test]
fn no_order_of_links_and_files_leads_out() {
    for story in STORIES {
        let ground = Ground::new();
        let before = ground.untouchable();
        let mut blobs = HashMap::new();
        let lines = story
            .iter()
            .map(|(deed, path, content)| {
                blobs.insert(
                    ContentHash::of(content.as_bytes()).to_string(),
                    content.as_bytes().to_vec(),
                );
                match deed {
                    'L' => event("file_created", path, content.as_bytes(), "120000"),
                    'F' => event("file_created", path, content.as_bytes(), "100644"),
                    _ => event("file_deleted", path, b"", "100644"),
                }
            })
            .collect();
        let seen = ground.attach(lines, blobs);
        assert_eq!(ground.untouchable(), before, "{story:?}: {seen:?}");
    }
}

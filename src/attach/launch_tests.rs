//! Creating a run against an endpoint of ours in memory: what was created, in which order, and what was sent.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::sync::mpsc;

use crate::attach::launch::{Error, Launched, Plan, Progress, launch};
use crate::client::raw::{Asked, Raw, ours, reply};
use crate::client::runs;
use crate::config::places::Places;
use crate::protocol::file::{FileManifest, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::ProjectId;
use crate::protocol::run::{Environment, Policy};

/// An endpoint of ours that takes everything and remembers contents and manifest.
async fn endpoint() -> (Raw, Arc<Mutex<HashMap<String, Vec<u8>>>>) {
    let stored: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
    let store = stored.clone();
    let server = Raw::serve(move |asked: &Asked| {
        let path = asked.path().trim_end_matches('/');
        let mut stored = store.lock().unwrap();
        let name = path.rsplit('/').next().unwrap().to_owned();
        if name == "missing" {
            let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
            let lacks: Vec<_> = body["hashes"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|hash| !stored.contains_key(hash.as_str().unwrap()))
                .collect();
            return ours(&json!({"missing": lacks}).to_string());
        }
        if asked.head.starts_with("PUT ") && path.contains("/blobs/") {
            if ContentHash::of(&asked.body).to_string() != name {
                return reply("409 Conflict", "", b"{\"error\":\"other bytes\"}");
            }
            stored.insert(name, asked.body.clone());
            return ours("{}");
        }
        match name.as_str() {
            "@me" => ours(r#"{"id":1,"team":{"id":1}}"#),
            "tasks" => ours(r#"{"id":"t","title":"A title"}"#),
            "runs" => ours(r#"{"id":"r","task":"t"}"#),
            "file_manifest" => {
                stored.insert(name, asked.body.clone());
                ours("{}")
            }
            other => panic!("{other}"),
        }
    })
    .await;
    (server, stored)
}

fn plan(directory: &Path) -> Plan {
    Plan {
        prompt: "do it".to_owned(),
        directory: directory.to_owned(),
        agent: Some("demo".to_owned()),
        agent_command: None,
        agent_named: true,
        permissions: Policy::Deny,
        environment: Environment::Cloud,
        repo: None,
        branch: None,
        secrets: BTreeMap::new(),
        size_limit: 1 << 20,
        max_file: 1 << 30,
        history_limit: 1 << 20,
        ignore: Vec::new(),
        include: Vec::new(),
        project: ProjectId(1),
        mirrored: true,
    }
}

async fn go(server: &Raw, state: &Path, plan: Plan) -> (Result<Launched, Error>, Vec<Progress>) {
    let (progress, mut told) = mpsc::channel(256);
    let result = launch(&server.api(), &Places::below(state), plan, progress).await;
    let mut all = Vec::new();
    while let Ok(progress) = told.try_recv() {
        all.push(progress);
    }
    (result, all)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let mut file = std::fs::File::create(folder.join(name)).unwrap();
    file.write_all(bytes).unwrap();
}

#[tokio::test]
async fn a_directory_arrives_whole_task_run_contents_manifest_in_that_order() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(folder.path(), "a.txt", b"hello");
    write(folder.path(), "same.txt", b"hello");
    write(folder.path(), "empty", b"");
    std::os::unix::fs::symlink("a.txt", folder.path().join("link")).unwrap();
    let (server, stored) = endpoint().await;
    let (launched, told) = go(&server, state.path(), plan(folder.path())).await;
    let launched = launched.unwrap();
    let manifest = launched.manifest.unwrap();
    let paths: Vec<&str> = manifest.files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["a.txt", "empty", "link", "same.txt"]);
    assert_eq!(manifest.files["link"].mode, Mode::Symlink);
    let stored = stored.lock().unwrap();
    let link = &stored[&manifest.files["link"].hash.to_string()];
    assert_eq!(link, b"a.txt", "a link travels as its target's name");
    let sent: FileManifest = serde_json::from_slice(&stored["file_manifest"]).unwrap();
    assert_eq!(sent, manifest);
    let asked = server.asked();
    let last = |n: usize| {
        asked[n]
            .path()
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap()
    };
    assert_eq!(
        [last(0), last(1), last(2), last(3)],
        ["@me", "tasks", "runs", "missing"]
    );
    assert_eq!(last(asked.len() - 1), "file_manifest");
    assert_eq!(asked.len(), 8, "three contents, each once");
    let run: serde_json::Value = serde_json::from_slice(&asked[2].body).unwrap();
    assert_eq!(
        run["state"],
        json!({"seed": "manifest", "agent": "demo", "agent_named": true, "permissions": "deny", "max_file": 1 << 30})
    );
    assert_eq!(told.last(), Some(&Progress::Seeded));
    let known = runs::known(&Places::below(state.path()).runs());
    assert_eq!(known[0].directory.as_deref(), Some(folder.path()));
}

#[tokio::test]
async fn too_large_a_directory_creates_nothing() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(folder.path(), "big", &[7; 100]);
    let (server, _) = endpoint().await;
    let small = Plan {
        size_limit: 99,
        max_file: 0,
        ..plan(folder.path())
    };
    let (result, _) = go(&server, state.path(), small).await;
    match result {
        Err(Error::TooLarge { size, limit, files }) => {
            assert_eq!((size, limit, files), (100, 99, 1))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.asked().len(), 1, "only who is there has been asked");
    assert_eq!(runs::known(&Places::below(state.path()).runs()), []);
}

#[tokio::test]
async fn a_foreign_endpoint_is_sent_no_files_and_the_user_is_told() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(folder.path(), "a.txt", b"hello");
    let server = Raw::serve(|asked: &Asked| {
        let body: &[u8] = match asked.path().trim_end_matches('/').rsplit('/').next() {
            Some("@me") => br#"{"id":1,"team":{"id":1}}"#,
            Some("tasks") => br#"{"id":"t"}"#,
            Some("runs") => br#"{"id":"r","task":"t"}"#,
            other => panic!("{other:?}"),
        };
        reply("200 OK", "content-type: application/json\r\n", body)
    })
    .await;
    let (launched, told) = go(&server, state.path(), plan(folder.path())).await;
    assert_eq!(launched.unwrap().manifest, None);
    assert!(
        told.iter()
            .any(|p| matches!(p, Progress::Note(text) if text.contains("does not take files")))
    );
}

#[tokio::test]
async fn working_in_place_needs_the_local_endpoint() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (server, _) = endpoint().await;
    let here = Plan {
        environment: Environment::Local,
        ..plan(folder.path())
    };
    let (result, _) = go(&server, state.path(), here).await;
    assert!(matches!(result, Err(Error::NotLocal(_))), "{result:?}");
}

#[tokio::test]
async fn a_history_travels_as_a_content_of_its_own() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let git = |arguments: &[&str]| {
        let done = std::process::Command::new("git")
            .arg("-C")
            .arg(folder.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .status();
        assert!(done.unwrap().success());
    };
    write(folder.path(), "a.txt", b"committed");
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first"]);
    write(folder.path(), "a.txt", b"not committed");
    let (server, stored) = endpoint().await;
    let (launched, _) = go(&server, state.path(), plan(folder.path())).await;
    let manifest = launched.unwrap().manifest.unwrap();
    let bundle = manifest.bundle.unwrap().to_string();
    assert!(stored.lock().unwrap()[&bundle].starts_with(b"# v2 git bundle"));
    assert_eq!(manifest.branch.as_deref(), Some("main"));
    assert_eq!(manifest.head, manifest.base_commit);
    assert_eq!(
        manifest.files["a.txt"].hash,
        ContentHash::of(b"not committed")
    );
}

/// A directory, what git did in it, and what is sent of it.
struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let at = self.at(name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        write(
            at.parent().unwrap(),
            at.file_name().unwrap().to_str().unwrap(),
            text.as_bytes(),
        );
    }

    fn git(&self, below: &str, arguments: &[&str]) {
        let done = std::process::Command::new("git")
            .arg("-C")
            .arg(self.at(below))
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(["-c", "protocol.file.allow=always"])
            .args(arguments)
            .status();
        assert!(done.unwrap().success(), "git {arguments:?}");
    }

    /// What is sent of this part of it, and what the user is told.
    async fn sent(
        &self,
        below: &str,
        change: impl FnOnce(&mut Plan),
    ) -> (FileManifest, Vec<String>) {
        let state = tempfile::tempdir().unwrap();
        let (server, stored) = endpoint().await;
        let mut plan = plan(&self.at(below));
        change(&mut plan);
        let (launched, told) = go(&server, state.path(), plan).await;
        let manifest = launched.unwrap().manifest.unwrap();
        for (path, file) in &manifest.files {
            let hash = file.hash.to_string();
            assert!(
                stored.lock().unwrap().contains_key(&hash),
                "{path} was not sent"
            );
        }
        let notes = told.into_iter().filter_map(|told| match told {
            Progress::Note(text) => Some(text),
            _ => None,
        });
        (manifest, notes.collect())
    }
}

fn paths(manifest: &FileManifest) -> Vec<&str> {
    manifest.files.keys().map(String::as_str).collect()
}

fn has(manifest: &FileManifest, path: &str, text: &str) -> bool {
    let file = manifest.files.get(path);
    file.is_some_and(|file| file.hash == ContentHash::of(text.as_bytes()))
}

#[tokio::test]
async fn a_file_that_git_tracks_is_sent_although_a_gitignore_names_it() {
    let folder = Folder::with(&[
        ("dist/app.js", "old"),
        ("src/a", "a"),
        (".gitignore", "dist/\n*.log\n"),
    ]);
    folder.git("", &["init", "-q"]);
    folder.git("", &["add", "-f", "."]);
    folder.git("", &["commit", "-q", "-m", "first"]);
    folder.write("dist/app.js", "changed");
    folder.write("dist/other.js", "not tracked");
    folder.write("a.log", "not tracked");
    let (manifest, _) = folder.sent("", |_| ()).await;
    assert_eq!(paths(&manifest), [".gitignore", "dist/app.js", "src/a"]);
    assert!(has(&manifest, "dist/app.js", "changed"));
}

#[tokio::test]
async fn an_ignored_file_is_sent_when_the_config_includes_it() {
    let folder = Folder::with(&[
        (".env", "KEY=1"),
        ("dist/keep/a", "a"),
        ("dist/b", "b"),
        (".gitignore", ".env\ndist/\n"),
    ]);
    folder.git("", &["init", "-q"]);
    let include = |plan: &mut Plan| plan.include = vec![".env".into(), "dist/keep/**".into()];
    let (manifest, _) = folder.sent("", include).await;
    assert_eq!(paths(&manifest), [".env", ".gitignore", "dist/keep/a"]);
}

#[tokio::test]
async fn the_files_of_a_submodule_are_sent_and_its_git_is_not() {
    let folder = Folder::with(&[
        ("lib/l.c", "l"),
        ("lib/l.gen", "tracked"),
        ("lib/.gitignore", "*.gen\n"),
        ("main/m", "m"),
    ]);
    for one in ["lib", "main"] {
        folder.git(one, &["init", "-q"]);
        folder.git(one, &["add", "-f", "."]);
        folder.git(one, &["commit", "-q", "-m", "first"]);
    }
    let lib = folder.at("lib").display().to_string();
    folder.git("main", &["submodule", "--quiet", "add", &lib, "sub"]);
    folder.git("main", &["commit", "-q", "-m", "with a submodule"]);
    folder.write("main/sub/new", "not committed");
    let (manifest, _) = folder.sent("main", |_| ()).await;
    assert_eq!(
        paths(&manifest),
        [
            ".gitmodules",
            "m",
            "sub/.gitignore",
            "sub/l.c",
            "sub/l.gen",
            "sub/new"
        ]
    );
    assert!(manifest.bundle.is_some());
}

#[tokio::test]
async fn a_worktree_whose_git_is_a_file_is_sent_like_any_other() {
    let folder = Folder::with(&[("main/a", "a")]);
    folder.git("main", &["init", "-q", "-b", "main"]);
    folder.git("main", &["add", "."]);
    folder.git("main", &["commit", "-q", "-m", "first"]);
    folder.git("main", &["worktree", "add", "-q", "-b", "other", "../side"]);
    folder.write("side/a", "changed");
    let (manifest, _) = folder.sent("side", |_| ()).await;
    assert_eq!(paths(&manifest), ["a"]);
    assert!(has(&manifest, "a", "changed") && manifest.bundle.is_some());
    assert_eq!(manifest.branch.as_deref(), Some("other"));
}

#[tokio::test]
async fn started_below_the_top_only_that_directory_is_sent_with_the_rules_from_above() {
    let folder = Folder::with(&[
        ("top", "t"),
        ("sub/a", "a"),
        ("sub/a.log", "l"),
        ("sub/kept.log", "k"),
        (".gitignore", "*.log\n"),
    ]);
    folder.git("", &["init", "-q"]);
    folder.git("", &["add", "-f", "sub/kept.log"]);
    let (manifest, notes) = folder.sent("sub", |_| ()).await;
    assert_eq!(paths(&manifest), ["a", "kept.log"]);
    assert_eq!((manifest.bundle, manifest.head), (None, None));
    assert!(
        notes.iter().any(|note| note.contains("below the top")),
        "{notes:?}"
    );
}

#[tokio::test]
async fn a_repository_without_a_commit_sends_its_files_and_says_so() {
    let folder = Folder::with(&[
        ("staged", "s"),
        ("new", "n"),
        ("o.tmp", "o"),
        (".gitignore", "*.tmp\n"),
    ]);
    folder.git("", &["init", "-q", "-b", "main"]);
    folder.git("", &["add", "staged"]);
    let (manifest, notes) = folder.sent("", |_| ()).await;
    assert_eq!(paths(&manifest), [".gitignore", "new", "staged"]);
    assert!(
        notes.iter().any(|note| note.contains("no commit yet")),
        "{notes:?}"
    );
}

#[tokio::test]
async fn empty_folders_links_and_exec_bits_are_sent_as_they_are() {
    let folder = Folder::with(&[("run.sh", "x"), ("d/f", "f")]);
    std::fs::create_dir_all(folder.at("logs/old")).unwrap();
    std::fs::set_permissions(folder.at("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("run.sh", folder.at("inside")).unwrap();
    symlink("nowhere", folder.at("dangling")).unwrap();
    symlink("/etc/passwd", folder.at("outside")).unwrap();
    let (manifest, notes) = folder.sent("", |_| ()).await;
    let modes: Vec<(&str, Mode)> = manifest
        .files
        .iter()
        .map(|(path, file)| (path.as_str(), file.mode))
        .collect();
    assert_eq!(
        modes,
        [
            ("d/f", Mode::File),
            ("dangling", Mode::Symlink),
            ("inside", Mode::Symlink),
            ("logs/old", Mode::Directory),
            ("run.sh", Mode::Executable),
        ]
    );
    assert!(
        notes
            .iter()
            .any(|note| note.starts_with("not sent: outside: ")),
        "{notes:?}"
    );
}

#[tokio::test]
async fn names_with_spaces_other_scripts_and_line_breaks_are_sent() {
    let names = [
        " a b ",
        "a\nb",
        "ünïcode/漢字 🦀",
        "-rf",
        "*?[x]",
        "#x",
        "!y",
    ];
    let folder = Folder::with(&names.map(|name| (name, name)));
    folder.git("", &["init", "-q"]);
    folder.git("", &["add", "."]);
    let (manifest, notes) = folder.sent("", |_| ()).await;
    for name in names {
        assert!(has(&manifest, name, name), "{name:?} {notes:?}");
    }
    assert_eq!(manifest.files.len(), names.len());
}

#[tokio::test]
async fn what_cannot_be_sent_is_named_and_the_rest_goes() {
    let folder = Folder::with(&[("a", "a"), ("back\\slash", "x")]);
    let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"bad\xff");
    std::fs::File::create(folder.dir.path().join(odd)).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(folder.at("socket")).unwrap();
    std::fs::set_permissions(folder.at("a"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (manifest, notes) = folder.sent("", |_| ()).await;
    drop(socket);
    assert_eq!(paths(&manifest), ["a"]);
    for name in ["back", "bad", "socket"] {
        let named = |note: &String| note.starts_with(&format!("not sent: {name}"));
        assert!(notes.iter().any(named), "{name}: {notes:?}");
    }
}

//! The hand against a real directory: what it writes, what it refuses, and what somebody does in between.
#![expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]

use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use crate::mirror::disk::{Disk, Error, STAGE, SWAP, state_of};
use crate::mirror::plan::folder;
use crate::mirror::preimage::Preimages;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

struct Place {
    dir: tempfile::TempDir,
    kept: Preimages,
    disk: Disk,
}

fn place_with(files: &[(&str, &str)]) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    for (name, text) in files {
        std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        std::fs::write(root.join(name), text).unwrap();
    }
    let kept = Preimages::open(&dir.path().join("pre-images")).unwrap();
    let disk = Disk::open(&root, &kept).unwrap();
    Place { dir, kept, disk }
}

impl Place {
    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn write(
        &self,
        path: &str,
        bytes: &[u8],
        mode: Mode,
        expect: Option<FileState>,
    ) -> Result<(), Error> {
        self.write_as(path, bytes, state_of(bytes, mode), expect)
    }

    fn write_as(
        &self,
        path: &str,
        bytes: &[u8],
        want: FileState,
        expect: Option<FileState>,
    ) -> Result<(), Error> {
        let staged = self.disk.staged()?;
        std::fs::write(&staged.path, bytes).unwrap();
        let prepared =
            self.disk
                .prepare(&path.parse().unwrap(), want, staged, expect, &self.kept)?;
        self.disk.commit(prepared)
    }

    fn remove(&self, path: &str, expect: FileState) -> Result<(), Error> {
        let prepared = self
            .disk
            .prepare_removal(&path.parse().unwrap(), expect, &self.kept)?;
        self.disk.commit(prepared)
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn kept(&self, text: &str) -> bool {
        self.kept.path(ContentHash::of(text.as_bytes())).exists()
    }

    /// When what lies aside has gone.
    fn stage_is_empty(&self) -> bool {
        self.disk.over();
        std::fs::read_dir(self.root().join(STAGE)).map_or(0, Iterator::count) == 0
    }

    fn between(&self, act: impl FnMut() + Send + 'static) {
        *self.disk.between.lock().unwrap() = Some(Box::new(act));
    }
}

fn text(text: &str) -> FileState {
    state_of(text.as_bytes(), Mode::File)
}

#[test]
fn a_new_file_comes_with_its_folders_and_its_exec_bit() {
    let place = place_with(&[]);
    place
        .write("a/b/run.sh", b"#!/bin/sh\n", Mode::Executable, None)
        .unwrap();
    place.write("a/empty", b"", Mode::File, None).unwrap();
    place
        .write("a/bin", b"\x00\xff\x00", Mode::File, None)
        .unwrap();
    let mode = |name: &str| {
        std::fs::metadata(place.root().join(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_ne!(mode("a/b/run.sh") & 0o100, 0);
    assert_eq!(mode("a/empty") & 0o111, 0);
    assert_eq!(
        std::fs::read(place.root().join("a/bin")).unwrap(),
        b"\x00\xff\x00"
    );
    assert!(place.stage_is_empty());
    assert_eq!(place.read(".ashore/.gitignore"), "*\n");
}

#[test]
fn between_two_writes_nothing_of_ours_stands_in_the_directory() {
    let place = place_with(&[("a", "old")]);
    let ours = place.root().join(".ashore");
    assert!(!ours.exists(), "looking makes nothing");
    place
        .write("a", b"new", Mode::File, Some(text("old")))
        .unwrap();
    place.disk.tidy();
    assert!(ours.exists(), "who has it open may write yet");
    place.disk.over();
    place.disk.tidy();
    assert!(!ours.exists());
    // A content on its way, what was rescued, and what a user put there keep it standing.
    let staged = place.disk.staged().unwrap();
    place.disk.tidy();
    assert!(staged.path.exists());
    drop(staged);
    std::fs::write(ours.join("rescued-x"), "yours").unwrap();
    place.disk.tidy();
    assert!(ours.join("rescued-x").exists() && ours.join(".gitignore").exists());
    std::fs::remove_file(ours.join("rescued-x")).unwrap();
    std::fs::write(ours.join(".gitignore"), "mine").unwrap();
    place.disk.tidy();
    assert_eq!(place.read(".ashore/.gitignore"), "mine");
    assert!(!ours.join("stage").exists());
}

#[test]
fn what_a_kill_left_of_our_folder_is_cleared_and_made_whole() {
    let place = place_with(&[]);
    let ours = place.root().join(".ashore");
    let torn: [Option<&str>; 3] = [None, Some(""), Some("*")];
    for left in torn {
        let make = || {
            std::fs::create_dir_all(&ours).unwrap();
            if let Some(text) = left {
                std::fs::write(ours.join(".gitignore"), text).unwrap();
            }
        };
        make();
        place.disk.tidy();
        assert!(!ours.exists(), "{left:?}");
        make();
        let staged = place.disk.staged().unwrap();
        assert_eq!(place.read(".ashore/.gitignore"), "*\n", "{left:?}");
        drop(staged);
        place.disk.tidy();
        assert!(!ours.exists(), "{left:?}");
    }
}

#[test]
fn an_overwrite_keeps_the_pre_image_and_the_permissions() {
    let place = place_with(&[("a", "old")]);
    let at = place.root().join("a");
    std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o600)).unwrap();
    place
        .write("a", b"new", Mode::Executable, Some(text("old")))
        .unwrap();
    assert_eq!(place.read("a"), "new");
    assert!(place.kept("old"));
    assert_eq!(
        std::fs::metadata(at).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert!(place.stage_is_empty());
}

#[test]
fn an_overwrite_keeps_owner_attributes_and_special_bits() {
    let place = place_with(&[("a", "old")]);
    let at = place.root().join("a");
    // Not everybody may give a file away, and not every file system has attributes; whose has, keeps them.
    let owner = std::os::unix::fs::chown(&at, Some(1234), Some(1235)).is_ok();
    let flags = rustix::fs::XattrFlags::empty();
    let attribute = rustix::fs::setxattr(&at, "user.note", b"mine", flags).is_ok();
    std::fs::hard_link(&at, place.root().join("other")).unwrap();
    for (bits, exec, want) in [
        (0o3640, Mode::File, 0o3640),
        (0o7750, Mode::Executable, 0o1750),
        (0o6700, Mode::Executable, 0o2700),
    ] {
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(bits)).unwrap();
        let old = std::fs::read(&at).unwrap();
        let stood = if bits & 0o100 == 0 {
            Mode::File
        } else {
            Mode::Executable
        };
        let expect = state_of(&old, stood);
        let new = format!("new {bits:o}");
        place
            .write("a", new.as_bytes(), exec, Some(expect))
            .unwrap();
        let now = std::fs::metadata(&at).unwrap();
        assert_eq!(now.permissions().mode() & 0o7777, want, "{bits:o}");
        if owner {
            assert_eq!((now.uid(), now.gid()), (1234, 1235));
        }
        let mut value = [0; 4];
        if attribute {
            let length = rustix::fs::getxattr(&at, "user.note", &mut value[..]);
            assert_eq!((length, &value), (Ok(4), b"mine"));
        }
    }
    assert_eq!(
        place.read("other"),
        "old",
        "another name is another file now"
    );
}

#[test]
fn what_is_not_as_expected_is_left_alone() {
    let place = place_with(&[("a", "mine"), ("d/x", "x")]);
    assert!(matches!(
        place.write("a", b"new", Mode::File, None),
        Err(Error::Changed)
    ));
    assert!(matches!(
        place.write("a", b"new", Mode::File, Some(text("base"))),
        Err(Error::Changed)
    ));
    assert!(matches!(
        place.write("gone", b"new", Mode::File, Some(text("base"))),
        Err(Error::Changed)
    ));
    assert!(matches!(
        place.remove("a", text("base")),
        Err(Error::Changed)
    ));
    assert!(matches!(
        place.write("d", b"new", Mode::File, Some(folder())),
        Err(Error::FolderNotEmpty)
    ));
    assert!(matches!(
        place.write("a/b", b"new", Mode::File, None),
        Err(Error::FolderIsFile)
    ));
    assert_eq!(place.read("a"), "mine");
    assert_eq!(place.read("d/x"), "x");
    assert!(place.stage_is_empty());
}

#[test]
fn wrong_bytes_are_never_written() {
    let place = place_with(&[("a", "old")]);
    let result = place.write_as("a", b"evil", text("good"), Some(text("old")));
    assert!(matches!(result, Err(Error::WrongHash)));
    assert_eq!(place.read("a"), "old");
    assert!(place.stage_is_empty());
}

#[test]
fn a_folder_that_is_a_link_is_never_entered() {
    let place = place_with(&[("real/x", "x")]);
    let outside = place.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, place.root().join("out")).unwrap();
    symlink("real", place.root().join("in")).unwrap();
    for path in ["out/evil", "out/deep/evil", "in/evil"] {
        assert!(
            matches!(
                place.write(path, b"e", Mode::File, None),
                Err(Error::BehindLink)
            ),
            "{path}"
        );
    }
    assert!(matches!(
        place.remove("in/x", text("x")),
        Err(Error::BehindLink)
    ));
    assert_eq!(std::fs::read_dir(outside).unwrap().count(), 0);
    assert_eq!(place.read("real/x"), "x");
}

#[test]
fn a_link_is_made_only_when_it_stays_inside() {
    let place = place_with(&[("a", "a")]);
    place.write("d/l", b"../a", Mode::Symlink, None).unwrap();
    assert_eq!(
        std::fs::read_link(place.root().join("d/l")).unwrap(),
        Path::new("../a")
    );
    for target in ["/etc/passwd", "../../x", "../.git/config", "x/../../y"] {
        let result = place.write("d/m", target.as_bytes(), Mode::Symlink, None);
        assert!(matches!(result, Err(Error::Link(_))), "{target}");
    }
    // A link that stands there is replaced, never written through.
    let link = state_of(b"../a", Mode::Symlink);
    place
        .write("d/l", b"now a file", Mode::File, Some(link))
        .unwrap();
    assert_eq!(place.read("a"), "a");
    assert_eq!(place.read("d/l"), "now a file");
}

#[test]
fn an_edit_between_the_look_and_the_swap_survives() {
    for removal in [false, true] {
        let place = place_with(&[("a", "old")]);
        let at = place.root().join("a");
        place.between(move || std::fs::write(&at, "edited in this moment").unwrap());
        let result = if removal {
            place.remove("a", text("old"))
        } else {
            place.write("a", b"new", Mode::File, Some(text("old")))
        };
        assert!(matches!(result, Err(Error::Changed)));
        assert_eq!(place.read("a"), "edited in this moment");
        assert!(place.stage_is_empty());
    }
}

#[test]
fn a_same_sized_edit_in_the_same_tick_survives() {
    let place = place_with(&[("a", "old")]);
    let at = place.root().join("a");
    place.between(move || {
        let times = std::fs::metadata(&at).unwrap().modified().unwrap();
        std::fs::write(&at, "OLD").unwrap();
        File::options()
            .append(true)
            .open(&at)
            .unwrap()
            .set_modified(times)
            .unwrap();
    });
    assert!(matches!(
        place.write("a", b"new", Mode::File, Some(text("old"))),
        Err(Error::Changed)
    ));
    assert_eq!(place.read("a"), "OLD");
}

#[test]
fn a_file_created_or_removed_in_the_last_moment_survives_or_stays_gone() {
    let place = place_with(&[("b", "b")]);
    let at = place.root().join("a");
    place.between(move || std::fs::write(&at, "mine").unwrap());
    assert!(matches!(
        place.write("a", b"new", Mode::File, None),
        Err(Error::Changed)
    ));
    assert_eq!(place.read("a"), "mine");
    let at = place.root().join("b");
    place.between(move || std::fs::remove_file(&at).unwrap());
    assert!(matches!(
        place.write("b", b"new", Mode::File, Some(text("b"))),
        Err(Error::Changed)
    ));
    assert!(!place.root().join("b").exists());
}

#[test]
fn a_folder_swapped_for_a_link_in_the_last_moment_receives_nothing() {
    let place = place_with(&[("d/x", "x")]);
    let outside = place.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let (root, to) = (place.root(), outside.clone());
    place.between(move || {
        std::fs::rename(root.join("d"), root.join("moved")).unwrap();
        symlink(&to, root.join("d")).unwrap();
    });
    place.write("d/new", b"new", Mode::File, None).unwrap();
    assert_eq!(std::fs::read_dir(outside).unwrap().count(), 0);
    assert_eq!(place.read("moved/new"), "new");
}

#[test]
fn a_removal_keeps_the_pre_image_and_empty_folders_of_ours_go() {
    let place = place_with(&[("a/b/x", "x"), ("a/y", "y")]);
    place.remove("a/b/x", text("x")).unwrap();
    assert!(place.kept("x"));
    let path: RelPath = "a/b/x".parse().unwrap();
    assert!(place.disk.remove_empty(&path, |_| false).is_empty());
    let gone = place.disk.remove_empty(&path, |_| true);
    assert_eq!(
        gone.iter().map(RelPath::as_str).collect::<Vec<_>>(),
        ["a/b"]
    );
    assert_eq!(place.read("a/y"), "y");
}

#[test]
fn an_empty_folder_gives_way_to_a_file_and_a_folder_is_made() {
    let place = place_with(&[]);
    std::fs::create_dir(place.root().join("d")).unwrap();
    place
        .write("d", b"file", Mode::File, Some(folder()))
        .unwrap();
    assert_eq!(place.read("d"), "file");
    let prepared = place
        .disk
        .prepare_folder(&"e/f".parse().unwrap(), None, &place.kept)
        .unwrap();
    assert_eq!(prepared.created, ["e".parse().unwrap()]);
    place.disk.commit(prepared).unwrap();
    assert!(place.root().join("e/f").is_dir());
}

#[test]
fn what_a_swap_left_behind_is_kept_at_the_next_start() {
    let place = place_with(&[]);
    drop(place.disk.staged().unwrap());
    std::fs::write(
        place.root().join(STAGE).join(format!("{SWAP}x")),
        "somebody's",
    )
    .unwrap();
    std::fs::write(place.root().join(STAGE).join("half"), "a download").unwrap();
    Disk::open(&place.root(), &place.kept).unwrap();
    assert!(place.kept("somebody's"));
    assert!(!place.kept("a download"));
    assert!(place.stage_is_empty());
}

#[test]
fn a_file_that_cannot_be_written_says_why() {
    let denied = Error::of("put it in place", Errno::ACCESS).to_string();
    assert_eq!(denied, "no permission to put it in place");
    assert_eq!(
        Error::of("x", Errno::NOSPC).to_string(),
        "the disk is full: free some space"
    );
    assert!(
        Error::of("x", Errno::ROFS)
            .to_string()
            .contains("read-only")
    );
}

#[test]
fn two_hands_on_two_files_do_not_disturb_each_other() {
    let place = Arc::new(place_with(&[]));
    std::thread::scope(|scope| {
        for hand in 0..4 {
            let place = Arc::clone(&place);
            scope.spawn(move || {
                for n in 0..20 {
                    place
                        .write(&format!("d{n}/f{hand}"), b"x", Mode::File, None)
                        .unwrap();
                }
            });
        }
    });
    assert!((0..20).all(|n| (0..4).all(|hand| place.read(&format!("d{n}/f{hand}")) == "x")));
}

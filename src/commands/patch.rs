//! The change of one file as git writes it, so that `git apply` takes it.
//!
//! Pure but for a deadline. Bytes in, bytes out: a file need not be UTF-8.

use std::time::Instant;

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline, group_diff_ops};

use crate::protocol::file::Mode;
use crate::protocol::path::RelPath;

/// Lines around a change.
const AROUND: usize = 3;
/// git calls a file binary when a NUL stands among its first bytes.
const SNIFFED: usize = 8000;

/// What stands, or stood, at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side<'a> {
    pub mode: Mode,
    /// Of a link its target.
    pub bytes: &'a [u8],
}

/// Lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub added: usize,
    pub removed: usize,
}

/// One file's part of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patch {
    Text {
        bytes: Vec<u8>,
        counts: Counts,
    },
    /// Its head; no text can say the rest.
    Binary(Vec<u8>),
}

pub fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(SNIFFED)].contains(&0)
}

/// From `before` to `now`. After `deadline` the lines are compared coarsely, and are still right.
pub fn patch(
    path: &RelPath,
    before: Option<Side>,
    now: Option<Side>,
    deadline: Option<Instant>,
) -> Patch {
    if let (Some(old), Some(new)) = (before, now)
        && (old.mode == Mode::Symlink) != (new.mode == Mode::Symlink)
    {
        // A file that becomes a link is two changes to git.
        let gone = patch(path, before, None, deadline);
        return joined(gone, patch(path, None, now, deadline));
    }
    let mut out = head(
        path,
        before.map(|side| side.mode),
        now.map(|side| side.mode),
    );
    let bytes = |side: Option<Side<'_>>| side.map_or(Vec::new(), |side| side.bytes.to_vec());
    let (old, new) = (bytes(before), bytes(now));
    if is_binary(&old) || is_binary(&new) {
        if old != new {
            let name = |prefix, side: Option<Side>| named(prefix, path, side.is_some());
            out.extend(b"Binary files ");
            out.extend(name("a/", before));
            out.extend(b" and ");
            out.extend(name("b/", now));
            out.extend(b" differ\n");
            return Patch::Binary(out);
        }
        return Patch::Text {
            bytes: out,
            counts: Counts::default(),
        };
    }
    let counts = body(
        &mut out,
        path,
        (before.is_some(), &old),
        (now.is_some(), &new),
        deadline,
    );
    Patch::Text { bytes: out, counts }
}

fn joined(first: Patch, second: Patch) -> Patch {
    match (first, second) {
        (
            Patch::Text { mut bytes, counts },
            Patch::Text {
                bytes: more,
                counts: also,
            },
        ) => {
            bytes.extend(more);
            Patch::Text {
                bytes,
                counts: Counts {
                    added: counts.added + also.added,
                    removed: counts.removed + also.removed,
                },
            }
        }
        (Patch::Binary(mut bytes), Patch::Text { bytes: more, .. } | Patch::Binary(more))
        | (Patch::Text { mut bytes, .. }, Patch::Binary(more)) => {
            bytes.extend(more);
            Patch::Binary(bytes)
        }
    }
}

fn head(path: &RelPath, before: Option<Mode>, now: Option<Mode>) -> Vec<u8> {
    let mut out = b"diff --git ".to_vec();
    out.extend(quoted("a/", path));
    out.push(b' ');
    out.extend(quoted("b/", path));
    out.push(b'\n');
    let mut say = |word: &str, mode: Mode| {
        out.extend(format!("{word} {}\n", mode.as_str()).into_bytes());
    };
    match (before, now) {
        (None, Some(mode)) => say("new file mode", mode),
        (Some(mode), None) => say("deleted file mode", mode),
        (Some(old), Some(new)) if old != new => {
            say("old mode", old);
            say("new mode", new);
        }
        (Some(_), Some(_)) | (None, None) => (),
    }
    out
}

/// The hunks, if there are any.
fn body(
    out: &mut Vec<u8>,
    path: &RelPath,
    (was, old): (bool, &[u8]),
    (is, new): (bool, &[u8]),
    deadline: Option<Instant>,
) -> Counts {
    let (old, new) = (lines(old), lines(new));
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline);
    let mut counts = Counts::default();
    let groups = group_diff_ops(ops, AROUND);
    let groups = groups.iter().filter(|group| {
        let same = |op: &DiffOp| matches!(op, DiffOp::Equal { .. });
        !group.iter().all(same)
    });
    for (index, group) in groups.enumerate() {
        if index == 0 {
            out.extend(b"--- ");
            out.extend(named("a/", path, was));
            out.extend(tab(path, was));
            out.extend(b"\n+++ ");
            out.extend(named("b/", path, is));
            out.extend(tab(path, is));
            out.push(b'\n');
        }
        hunk(out, group, &old, &new, &mut counts);
    }
    counts
}

fn hunk(out: &mut Vec<u8>, group: &[DiffOp], old: &[&[u8]], new: &[&[u8]], counts: &mut Counts) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else {
        return;
    };
    let range = |from: usize, to: usize| match to - from {
        // A hunk without lines is told by the line before it.
        0 => format!("{from},0"),
        1 => format!("{}", from + 1),
        length => format!("{},{length}", from + 1),
    };
    let place = format!(
        "@@ -{} +{} @@\n",
        range(first.old_range().start, last.old_range().end),
        range(first.new_range().start, last.new_range().end)
    );
    out.extend(place.into_bytes());
    for op in group {
        if let DiffOp::Equal { .. } = op {
            put(out, b' ', &old[op.old_range()]);
            continue;
        }
        counts.removed += op.old_range().len();
        counts.added += op.new_range().len();
        put(out, b'-', &old[op.old_range()]);
        put(out, b'+', &new[op.new_range()]);
    }
}

fn put(out: &mut Vec<u8>, sign: u8, lines: &[&[u8]]) {
    for line in lines {
        out.push(sign);
        out.extend(*line);
        if !line.ends_with(b"\n") {
            out.extend(b"\n\\ No newline at end of file\n");
        }
    }
}

/// Each with its line end.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

fn named(prefix: &str, path: &RelPath, stands: bool) -> Vec<u8> {
    if stands {
        quoted(prefix, path)
    } else {
        b"/dev/null".to_vec()
    }
}

/// git ends a name with a space in it by a tab.
fn tab(path: &RelPath, stands: bool) -> &'static [u8] {
    if stands && path.as_str().contains(' ') {
        b"\t"
    } else {
        b""
    }
}

/// As git writes names: in quotes, with escapes, when a byte of it would be taken for something else.
fn quoted(prefix: &str, path: &RelPath) -> Vec<u8> {
    let name = format!("{prefix}{path}");
    let acts = |byte: &u8| byte.is_ascii_control() || *byte == b'"';
    if !name.as_bytes().iter().any(acts) {
        return name.into_bytes();
    }
    let mut out = vec![b'"'];
    for byte in name.into_bytes() {
        match byte {
            b'"' => out.extend(b"\\\""),
            b'\n' => out.extend(b"\\n"),
            b'\t' => out.extend(b"\\t"),
            _ if byte.is_ascii_control() => out.extend(format!("\\{byte:03o}").into_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;

    fn side(bytes: &[u8]) -> Option<Side<'_>> {
        Some(Side {
            mode: Mode::File,
            bytes,
        })
    }

    fn text(made: Patch) -> (Vec<u8>, Counts) {
        match made {
            Patch::Text { bytes, counts } => (bytes, counts),
            Patch::Binary(head) => panic!("{}", String::from_utf8_lossy(&head)),
        }
    }

    fn stand(at: &Path, side: Option<Side>) {
        use std::os::unix::fs::PermissionsExt;
        if std::fs::symlink_metadata(at).is_ok() {
            std::fs::remove_file(at).unwrap();
        }
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        let Some(side) = side else {
            return;
        };
        if side.mode == Mode::Symlink {
            let target = String::from_utf8(side.bytes.to_vec()).unwrap();
            std::os::unix::fs::symlink(target, at).unwrap();
            return;
        }
        let mode = if side.mode == Mode::Executable {
            0o755
        } else {
            0o644
        };
        let mut file = std::fs::File::create(at).unwrap();
        std::io::Write::write_all(&mut file, side.bytes).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(mode))
            .unwrap();
    }

    fn seen(at: &Path) -> Option<(Mode, Vec<u8>)> {
        use std::os::unix::ffi::OsStringExt;
        use std::os::unix::fs::PermissionsExt;
        let facts = std::fs::symlink_metadata(at).ok()?;
        if facts.is_symlink() {
            let target = std::fs::read_link(at).unwrap().into_os_string().into_vec();
            return Some((Mode::Symlink, target));
        }
        let mode = if facts.permissions().mode() & 0o100 == 0 {
            Mode::File
        } else {
            Mode::Executable
        };
        Some((mode, std::fs::read(at).unwrap()))
    }

    /// What git makes of it is what was meant.
    fn git_takes(path: &str, before: Option<Side>, now: Option<Side>) {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join(path);
        stand(&at, before);
        let (bytes, _) = text(patch(&path.parse().unwrap(), before, now, None));
        let mut git = Command::new("git")
            .args(["apply", "--whitespace=nowarn", "-"])
            .current_dir(folder.path())
            .env("GIT_CEILING_DIRECTORIES", folder.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut git.stdin.take().unwrap(), &bytes).unwrap();
        let done = git.wait_with_output().unwrap();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}\n{shown}");
        let meant = now.map(|side| (side.mode, side.bytes.to_vec()));
        assert_eq!(seen(&at), meant, "{shown}");
    }

    #[test]
    fn a_patch_is_what_git_takes() {
        let long: String = (0..60).map(|line| format!("line {line}\n")).collect();
        let edited = long
            .replace("line 3\n", "line three\n")
            .replace("line 40\n", "")
            .replace("line 59\n", "line 59");
        let executable = |bytes| {
            Some(Side {
                mode: Mode::Executable,
                bytes,
            })
        };
        let link = |bytes| {
            Some(Side {
                mode: Mode::Symlink,
                bytes,
            })
        };
        for name in ["a", "b c/d e", "t\tb", "q\"q", "über/漢"] {
            git_takes(name, side(long.as_bytes()), side(edited.as_bytes()));
            git_takes(name, None, side(b"new\n"));
            git_takes(name, side(b"old"), None);
        }
        let table: [(Option<Side>, Option<Side>); 11] = [
            (None, side(b"")),
            (side(b""), None),
            (side(b""), side(b"x")),
            (side(b"x"), side(b"")),
            (side(b"x"), side(b"x\n")),
            (side(b"a\r\nb\n"), side(b"a\nb\n")),
            (side(b"\xff\xfe\n"), side(b"\xff\xfd\n")),
            (side(b"x\n"), executable(b"x\n")),
            (executable(b"x\n"), side(b"y\n")),
            (side(b"x\n"), link(b"there")),
            (link(b"there"), link(b"elsewhere")),
        ];
        for (before, now) in table {
            git_takes("a", before, now);
        }
    }

    #[test]
    fn lines_are_counted_and_binaries_named() {
        let path: RelPath = "a".parse().unwrap();
        let (_, counts) = text(patch(
            &path,
            side(b"1\n2\n3\n"),
            side(b"1\nzwei\n3\n4\n"),
            None,
        ));
        assert_eq!(
            counts,
            Counts {
                added: 2,
                removed: 1
            }
        );
        let Patch::Binary(head) = patch(&path, None, side(b"\0"), None) else {
            panic!("a NUL is no text");
        };
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "diff --git a/a b/a\nnew file mode 100644\nBinary files /dev/null and b/a differ\n"
        );
    }
}

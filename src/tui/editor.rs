//! A text in the user's own editor, in a file of its own that is gone afterwards.
//!
//! A shell.

use std::io::Write;
use std::path::PathBuf;

use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::tui::composer::LIMIT;
use crate::tui::place::{self, Place};

/// The text as the editor leaves it. Errors are whole sentences for the user.
///
/// `editor` is a shell's words, as in `$EDITOR`: it may have options. The terminal is its own meanwhile.
pub(crate) async fn edit(editor: &str, text: &str) -> Result<String, String> {
    let file = written(text).map_err(|error| format!("no file for the editor: {error}"))?;
    // On the editor's terminal Ctrl+C is a signal to everybody, and means the editor.
    let _interrupts = signal(SignalKind::interrupt());
    let _quits = signal(SignalKind::quit());
    let ended = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(file.path())
        .status()
        .await
        .map_err(|error| format!("the editor does not start: {error}"))?;
    if !ended.success() {
        return Err(format!(
            "the draft is as it was: `{editor}` ended with {ended}"
        ));
    }
    match read(&file) {
        Ok(text) => Ok(text),
        Err(why) => {
            let kept = file.into_temp_path().keep();
            let place = kept.map_or_else(
                |_| String::new(),
                |path| format!("; what was written is kept in {}", path.display()),
            );
            Err(format!("the draft is as it was: {why}{place}"))
        }
    }
}

/// A file of the mirrored directory in the editor, at its line. Errors are whole sentences for the user.
pub(crate) async fn visit(editor: &str, place: &Place) -> Result<(), String> {
    let file = here(place)?;
    let name = file
        .to_str()
        .ok_or_else(|| format!("the name of {} is no text", place.path.as_str()))?;
    // On the editor's terminal Ctrl+C is a signal to everybody, and means the editor.
    let _interrupts = signal(SignalKind::interrupt());
    let _quits = signal(SignalKind::quit());
    let ended = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("{editor} \"$@\""))
        .arg("sh")
        .args(place::arguments(editor, name, place.line))
        .current_dir(&place.directory)
        .status()
        .await
        .map_err(|error| format!("the editor does not start: {error}"))?;
    match ended.success() {
        true => Ok(()),
        false => Err(format!("`{editor}` ended with {ended}")),
    }
}

/// Where it really lies: a link may lead out of the directory.
fn here(place: &Place) -> Result<PathBuf, String> {
    let told = place.path.as_str();
    let at = place.path.below(&place.directory);
    let real = at.canonicalize();
    let real = real.map_err(|error| format!("{told} cannot be opened here: {error}"))?;
    let root = place.directory.canonicalize();
    if !root.is_ok_and(|root| real.starts_with(root)) {
        return Err(format!("{told} leads out of the mirrored directory"));
    }
    match real.is_file() {
        true => Ok(real),
        false => Err(format!("{told} is no file")),
    }
}

/// 0600: drafts are nobody else's business.
fn written(text: &str) -> std::io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix("ashore-")
        .suffix(".md")
        .tempfile()?;
    file.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(file)
}

/// By its name: many editors put a new file in the place of the old one.
fn read(file: &NamedTempFile) -> Result<String, String> {
    let size = std::fs::metadata(file.path()).map_err(|error| error.to_string())?;
    if size.len() > LIMIT as u64 {
        return Err("1 MiB is the most a prompt takes".to_owned());
    }
    let bytes = std::fs::read(file.path()).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    // The line end that editors put behind the last line.
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_visited_at_its_line_and_never_outside() {
        let folder = tempfile::tempdir().unwrap();
        let (root, out) = (folder.path().join("root"), folder.path().join("out.txt"));
        let seen = folder.path().join("seen");
        #[expect(clippy::disallowed_methods, reason = "a test's own files")]
        {
            std::fs::create_dir_all(root.join("a b")).unwrap();
            std::fs::write(root.join("a b/$(x).rs"), "x").unwrap();
            std::fs::write(&out, "x").unwrap();
            std::os::unix::fs::symlink(&out, root.join("link")).unwrap();
        }
        let place = |path: &str| Place {
            directory: root.clone(),
            path: path.parse().unwrap(),
            line: Some(41),
        };
        let vi = folder.path().join("vi");
        let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > '{}'\n", seen.display());
        #[expect(clippy::disallowed_methods, reason = "a test's own files")]
        std::fs::write(&vi, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&vi, mode).unwrap();
        let editor = vi.display().to_string();
        assert_eq!(visit(&editor, &place("a b/$(x).rs")).await, Ok(()));
        let told = std::fs::read_to_string(&seen).unwrap();
        assert!(
            told.starts_with("+41\n") && told.ends_with("root/a b/$(x).rs\n"),
            "{told}"
        );
        let table = [
            ("link", "link leads out of the mirrored directory"),
            ("a b", "a b is no file"),
            ("gone", "gone cannot be opened here: "),
        ];
        for (path, why) in table {
            let refused = visit(&editor, &place(path)).await.unwrap_err();
            assert!(refused.starts_with(why), "{refused}");
        }
    }

    #[tokio::test]
    async fn what_the_editor_leaves_is_the_text_and_a_failure_leaves_it() {
        let table = [
            ("true", "one\ntwo", Ok("one\ntwo")),
            ("sed -i.bak s/one/1/", "one\ntwo", Ok("1\ntwo")),
            ("sh -c 'printf \"a\\r\\nb\" > \"$0\"'", "", Ok("a\nb")),
            (
                "false",
                "one",
                Err("the draft is as it was: `false` ended with exit status: 1"),
            ),
            (
                "sh -c 'head -c 1048577 /dev/zero > \"$0\"'",
                "one",
                Err(
                    "the draft is as it was: 1 MiB is the most a prompt takes; what was written is kept in ",
                ),
            ),
        ];
        for (editor, text, wanted) in table {
            match (edit(editor, text).await, wanted) {
                (Ok(text), Ok(wanted)) => assert_eq!(text, wanted, "{editor}"),
                (Err(why), Err(wanted)) => {
                    assert!(why.starts_with(wanted), "{why}");
                    if let Some((_, kept)) = why.split_once("kept in ") {
                        std::fs::remove_file(kept).unwrap();
                    }
                }
                (found, _) => panic!("{editor}: {found:?}"),
            }
        }
    }
}

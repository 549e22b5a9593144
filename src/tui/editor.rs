//! A text in the user's own editor, in a file of its own that is gone afterwards.
//!
//! A shell.

use std::io::Write;

use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::tui::composer::LIMIT;

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

//! Reads a prompt: one of the demo agent's slash commands, or free text.
//!
//! Pure. It does not look at the disk; whether a path may be touched is decided by [`crate::agent::demo::files`].

use std::time::Duration;

/// The most `/files` writes, so that a slip of the finger does not fill the disk's inodes.
const MOST_FILES: u64 = 100_000;
/// The most bytes one order writes.
const MOST_BYTES: u64 = 4 << 30;
/// The most chunks, plan entries or thoughts one order sends.
const MOST_CHUNKS: u64 = 1_000_000;
/// The longest pause between two chunks of `/say`.
const LONGEST_PAUSE_MS: u64 = 60_000;

/// What a prompt asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    Tour(String),
    Write {
        path: String,
        text: String,
    },
    Append {
        path: String,
        text: String,
    },
    Delete {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Chmod {
        executable: bool,
        path: String,
    },
    Symlink {
        target: String,
        path: String,
    },
    Run(String),
    Say {
        chunks: u64,
        pause: Option<Duration>,
    },
    Files {
        count: u64,
        bytes: u64,
    },
    Binary {
        path: String,
        bytes: u64,
    },
    Ask(String),
    Plan(u64),
    Think(u64),
    Usage {
        used: u64,
        size: u64,
    },
    Mode(String),
    Markdown,
    Unicode,
    Ansi,
    Image,
    Unknown,
    Error,
    Crash,
    Hang,
}

/// A slash command that cannot be obeyed; says how it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misread {
    #[error("`/{0}` is not a command of the demo agent. Type `/` to see those it knows.")]
    NoSuchCommand(String),
    #[error("This command is written `{0}`.")]
    Usage(&'static str),
    #[error("That is more than the demo agent does: {0}.")]
    TooMuch(&'static str),
}

/// Name, how the whole is written, what it does: also what is advertised to the client.
pub(crate) const COMMANDS: [(&str, &str, &str); 24] = [
    (
        "write",
        "/write PATH TEXT…",
        "Write a file; parents are made, no newline is added",
    ),
    (
        "append",
        "/append PATH TEXT…",
        "Add text to the end of a file",
    ),
    (
        "delete",
        "/delete PATH",
        "Delete a file, a link or an empty folder",
    ),
    ("rename", "/rename A B", "Rename a file"),
    (
        "chmod",
        "/chmod +x PATH",
        "Make a file executable (-x: not executable)",
    ),
    ("symlink", "/symlink TARGET PATH", "Make a symbolic link"),
    (
        "run",
        "/run COMMAND…",
        "Run a shell command and stream what it prints",
    ),
    (
        "say",
        "/say N [MS]",
        "Send N chunks, one every MS milliseconds",
    ),
    (
        "files",
        "/files N BYTES",
        "Write N files of BYTES bytes below bulk/",
    ),
    (
        "binary",
        "/binary PATH BYTES",
        "Write bytes that are always the same",
    ),
    (
        "ask",
        "/ask TEXT",
        "Ask for a permission and say what was chosen",
    ),
    ("plan", "/plan N", "Show a plan of N steps that advances"),
    ("think", "/think N", "Send N thoughts"),
    (
        "usage",
        "/usage USED SIZE",
        "Report the use of the context window",
    ),
    ("mode", "/mode NAME", "Change the session's mode"),
    ("markdown", "/markdown", "A sample of Markdown"),
    (
        "unicode",
        "/unicode",
        "Wide, joined, combining and right-to-left characters",
    ),
    ("image", "/image", "Send a small picture"),
    ("ansi", "/ansi", "Hostile escape sequences"),
    ("unknown", "/unknown", "An update kind that nobody knows"),
    ("error", "/error", "Answer the prompt with an error"),
    ("crash", "/crash", "Exit with code 3 at once"),
    ("hang", "/hang", "Be silent until cancelled"),
    ("tour", "/tour", "The tour that free text gets"),
];

/// Reads one prompt.
pub(crate) fn read(prompt: &str) -> Result<Order, Misread> {
    let trimmed = prompt.trim_start();
    let Some(rest) = trimmed.strip_prefix('/') else {
        return Ok(Order::Tour(prompt.trim().to_owned()));
    };
    let (name, rest) = split_word(rest);
    let Some((_, written, _)) = COMMANDS.iter().find(|(known, ..)| *known == name) else {
        return Err(Misread::NoSuchCommand(name.chars().take(40).collect()));
    };
    read_known(name, rest).unwrap_or(Err(Misread::Usage(written)))
}

/// `None` when the rest of the line does not fit the command.
fn read_known(name: &str, rest: &str) -> Option<Result<Order, Misread>> {
    Some(Ok(match name {
        "write" => with_text(rest, |path, text| Order::Write { path, text })?,
        "append" => with_text(rest, |path, text| Order::Append { path, text })?,
        "delete" => Order::Delete {
            path: one_path(rest)?,
        },
        "rename" => two_paths(rest, |from, to| Order::Rename { from, to })?,
        "chmod" => {
            let (sign, rest) = split_word(rest);
            let executable = match sign {
                "+x" => true,
                "-x" => false,
                _ => return None,
            };
            Order::Chmod {
                executable,
                path: one_path(rest)?,
            }
        }
        "symlink" => two_paths(rest, |target, path| Order::Symlink { target, path })?,
        "run" if !rest.trim().is_empty() => Order::Run(rest.trim().to_owned()),
        "say" => return read_say(rest),
        "files" => return read_files(rest),
        "binary" => return read_binary(rest),
        "ask" if !rest.trim().is_empty() => Order::Ask(rest.trim().to_owned()),
        "plan" => {
            return bounded(number(rest)?, 1_000, "a plan of 1000 steps")
                .map(|n| n.map(Order::Plan));
        }
        "think" => {
            return bounded(number(rest)?, MOST_CHUNKS, "a million thoughts")
                .map(|n| n.map(Order::Think));
        }
        "usage" => {
            let (used, size) = two_numbers(rest)?;
            Order::Usage { used, size }
        }
        "mode" => Order::Mode(one_path(rest)?),
        "markdown" => Order::Markdown,
        "unicode" => Order::Unicode,
        "image" => Order::Image,
        "ansi" => Order::Ansi,
        "unknown" => Order::Unknown,
        "error" => Order::Error,
        "crash" => Order::Crash,
        "hang" => Order::Hang,
        "tour" => Order::Tour(rest.trim().to_owned()),
        _ => return None,
    }))
}

fn read_say(rest: &str) -> Option<Result<Order, Misread>> {
    let (chunks, rest) = split_word(rest);
    let chunks: u64 = chunks.parse().ok()?;
    let pause = match rest.trim() {
        "" => None,
        text => Some(Duration::from_millis(
            text.parse::<u64>().ok()?.min(LONGEST_PAUSE_MS),
        )),
    };
    let chunks = bounded(chunks, MOST_CHUNKS, "a million chunks")?;
    Some(chunks.map(|chunks| Order::Say { chunks, pause }))
}

fn read_files(rest: &str) -> Option<Result<Order, Misread>> {
    let (count, bytes) = two_numbers(rest)?;
    if count > MOST_FILES || count.saturating_mul(bytes) > MOST_BYTES {
        return Some(Err(Misread::TooMuch("100000 files, 4 GiB in all")));
    }
    Some(Ok(Order::Files { count, bytes }))
}

fn read_binary(rest: &str) -> Option<Result<Order, Misread>> {
    let (path, rest) = path(rest)?;
    let bytes = bounded(number(rest)?, MOST_BYTES, "4 GiB")?;
    Some(bytes.map(|bytes| Order::Binary { path, bytes }))
}

fn bounded(number: u64, most: u64, words: &'static str) -> Option<Result<u64, Misread>> {
    Some(if number <= most {
        Ok(number)
    } else {
        Err(Misread::TooMuch(words))
    })
}

/// The first word and what follows the one blank after it.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest),
        None => (text, ""),
    }
}

/// A path and the rest; a path with blanks stands in double quotes.
fn path(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let (path, rest) = match text
        .strip_prefix('"')
        .and_then(|quoted| quoted.split_once('"'))
    {
        Some((path, rest)) => (path, rest.strip_prefix(char::is_whitespace).unwrap_or(rest)),
        None => split_word(text),
    };
    (!path.is_empty()).then(|| (path.to_owned(), rest))
}

fn one_path(text: &str) -> Option<String> {
    let (path, rest) = path(text)?;
    rest.trim().is_empty().then_some(path)
}

fn two_paths(text: &str, make: impl Fn(String, String) -> Order) -> Option<Order> {
    let (first, rest) = path(text)?;
    Some(make(first, one_path(rest)?))
}

fn with_text(text: &str, make: impl Fn(String, String) -> Order) -> Option<Order> {
    let (path, text) = path(text)?;
    Some(make(path, text.to_owned()))
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn two_numbers(text: &str) -> Option<(u64, u64)> {
    let (first, rest) = split_word(text);
    Some((first.parse().ok()?, number(rest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "one row per command")]
    fn every_command_of_the_table_is_read() {
        let table: Vec<(&str, Order)> = vec![
            ("hello there ", Order::Tour("hello there".into())),
            (
                "/write a/b.txt one two\nthree",
                Order::Write {
                    path: "a/b.txt".into(),
                    text: "one two\nthree".into(),
                },
            ),
            (
                "/write \"a b.txt\"  x",
                Order::Write {
                    path: "a b.txt".into(),
                    text: " x".into(),
                },
            ),
            (
                "/write empty",
                Order::Write {
                    path: "empty".into(),
                    text: String::new(),
                },
            ),
            (
                "/append a x",
                Order::Append {
                    path: "a".into(),
                    text: "x".into(),
                },
            ),
            ("/delete a", Order::Delete { path: "a".into() }),
            (
                "/rename a b",
                Order::Rename {
                    from: "a".into(),
                    to: "b".into(),
                },
            ),
            (
                "/chmod +x a",
                Order::Chmod {
                    executable: true,
                    path: "a".into(),
                },
            ),
            (
                "/chmod -x a",
                Order::Chmod {
                    executable: false,
                    path: "a".into(),
                },
            ),
            (
                "/symlink /etc a",
                Order::Symlink {
                    target: "/etc".into(),
                    path: "a".into(),
                },
            ),
            ("/run echo  a | wc", Order::Run("echo  a | wc".into())),
            (
                "/say 3",
                Order::Say {
                    chunks: 3,
                    pause: None,
                },
            ),
            (
                "/say 2000 5",
                Order::Say {
                    chunks: 2000,
                    pause: Some(Duration::from_millis(5)),
                },
            ),
            (
                "/files 3 10",
                Order::Files {
                    count: 3,
                    bytes: 10,
                },
            ),
            (
                "/binary x 10",
                Order::Binary {
                    path: "x".into(),
                    bytes: 10,
                },
            ),
            ("/ask may I?", Order::Ask("may I?".into())),
            ("/plan 3", Order::Plan(3)),
            ("/think 2", Order::Think(2)),
            (
                "/usage 10 200",
                Order::Usage {
                    used: 10,
                    size: 200,
                },
            ),
            ("/mode plan", Order::Mode("plan".into())),
            ("/markdown", Order::Markdown),
            ("/unicode", Order::Unicode),
            ("/ansi", Order::Ansi),
            ("/image", Order::Image),
            ("/unknown", Order::Unknown),
            ("/error", Order::Error),
            ("/crash", Order::Crash),
            ("/hang", Order::Hang),
            ("/tour", Order::Tour(String::new())),
        ];
        for (prompt, order) in table {
            assert_eq!(read(prompt), Ok(order), "{prompt}");
        }
    }

    #[test]
    fn a_command_that_does_not_fit_says_how_it_is_written() {
        for prompt in [
            "/write",
            "/rename a",
            "/rename a b c",
            "/chmod a",
            "/run",
            "/say x",
            "/say",
            "/say 3 x",
            "/files 3",
            "/binary x",
            "/ask ",
            "/plan",
            "/usage 1",
            "/mode",
        ] {
            assert!(
                matches!(read(prompt), Err(Misread::Usage(text)) if text.starts_with('/')),
                "{prompt}"
            );
        }
        assert_eq!(read("/fly home"), Err(Misread::NoSuchCommand("fly".into())));
        assert!(matches!(read("/files 100001 1"), Err(Misread::TooMuch(_))));
        assert!(matches!(
            read("/binary x 99999999999"),
            Err(Misread::TooMuch(_))
        ));
    }
}

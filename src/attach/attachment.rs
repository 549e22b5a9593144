//! A file that goes with a message: what kind it is, and the block that it is for the agent.
//!
//! Pure, but for [`read`].

use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::protocol::command::{Command, Prompt, What};
use crate::protocol::entry::Takes;

/// In bytes: what a file may weigh.
const LIMIT: u64 = 10 << 20;
/// With one message.
pub const MOST: usize = 10;

#[derive(Debug, Clone, PartialEq)]
pub struct Attachment {
    /// Absolute.
    pub path: String,
    /// The last part of its path.
    pub name: String,
    pub bytes: usize,
    pub kind: Kind,
    /// As ACP writes it.
    pub block: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Image,
    Audio,
    /// Text, and whatever else.
    File,
}

/// How files begin that are told by it, and what they are.
const BEGINNINGS: [(&[u8], Kind, &str); 7] = [
    (b"\x89PNG\r\n\x1a\n", Kind::Image, "image/png"),
    (b"\xff\xd8\xff", Kind::Image, "image/jpeg"),
    (b"GIF87a", Kind::Image, "image/gif"),
    (b"GIF89a", Kind::Image, "image/gif"),
    (b"ID3", Kind::Audio, "audio/mpeg"),
    (b"OggS", Kind::Audio, "audio/ogg"),
    (b"fLaC", Kind::Audio, "audio/flac"),
];

fn kind(bytes: &[u8]) -> (Kind, &'static str) {
    // A frame of its own around many kinds, named by its third word.
    match (bytes.starts_with(b"RIFF"), bytes.get(8..12)) {
        (true, Some(b"WEBP")) => return (Kind::Image, "image/webp"),
        (true, Some(b"WAVE")) => return (Kind::Audio, "audio/wav"),
        _ => (),
    }
    let known = BEGINNINGS
        .iter()
        .find(|(start, ..)| bytes.starts_with(start));
    match known {
        Some((_, kind, mime)) => (*kind, mime),
        None if std::str::from_utf8(bytes).is_ok() => (Kind::File, "text/plain"),
        None => (Kind::File, "application/octet-stream"),
    }
}

impl Attachment {
    /// `path` is absolute, as it is told to the agent.
    pub fn new(path: &str, bytes: &[u8]) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        let (kind, mime) = kind(bytes);
        let uri = format!("file://{path}");
        let block = match kind {
            Kind::Image => {
                json!({"type": "image", "mimeType": mime, "data": STANDARD.encode(bytes)})
            }
            Kind::Audio => {
                json!({"type": "audio", "mimeType": mime, "data": STANDARD.encode(bytes)})
            }
            Kind::File => match std::str::from_utf8(bytes) {
                Ok(text) => {
                    json!({"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": text}})
                }
                Err(_) => {
                    json!({"type": "resource", "resource": {"uri": uri, "mimeType": mime, "blob": STANDARD.encode(bytes)}})
                }
            },
        };
        Self {
            path: path.to_owned(),
            name,
            bytes: bytes.len(),
            kind,
            block,
        }
    }

    /// The agent takes what it is.
    pub fn is_taken(&self, takes: Takes) -> bool {
        match self.kind {
            Kind::Image => takes.image,
            Kind::Audio => takes.audio,
            Kind::File => takes.resource,
        }
    }

    /// `shot.png 42.1 kB`
    pub fn label(&self) -> String {
        match self.bytes {
            bytes @ 0..1000 => format!("{} {bytes} B", self.name),
            bytes => format!("{} {:.1} kB", self.name, bytes as f64 / 1e3),
        }
    }
}

impl Kind {
    /// More than one of them.
    pub fn words(self) -> &'static str {
        match self {
            Self::Image => "pictures",
            Self::Audio => "sound",
            Self::File => "files",
        }
    }
}

/// A path as it is typed, pasted or dropped: in quotes, or with backslashes before what a shell would take.
pub fn unquoted(path: &str) -> String {
    let path = path.trim();
    for quote in ['\'', '"'] {
        let inside = path.strip_prefix(quote);
        if let Some(inside) = inside.and_then(|rest| rest.strip_suffix(quote)) {
            return inside.to_owned();
        }
    }
    let mut out = String::new();
    let mut chars = path.chars();
    while let Some(char) = chars.next() {
        out.push(if char == '\\' {
            chars.next().unwrap_or(char)
        } else {
            char
        });
    }
    out
}

/// The words with what is attached to them.
pub fn message(text: &str, files: Vec<Attachment>) -> Command {
    if files.is_empty() {
        return Command::user_message(text);
    }
    let words = json!({"type": "text", "text": text});
    let blocks = std::iter::once(words).chain(files.into_iter().map(|file| file.block));
    Command::new(What::UserMessage(Prompt {
        text: text.to_owned(),
        blocks: Some(blocks.collect()),
    }))
}

/// From the disk; an error is a whole sentence.
pub fn read(path: &Path) -> Result<Attachment, String> {
    let shown = path.display();
    let refused = |error: std::io::Error| format!("{shown} cannot be read: {error}");
    // Not even opened unless it is a file: a pipe would wait for ever.
    let meta = std::fs::metadata(path).map_err(refused)?;
    if !meta.is_file() {
        return Err(format!("{shown} is no file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(refused)?;
    let mut most = file.take(LIMIT + 1);
    most.read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 > LIMIT {
        return Err(format!(
            "{shown} is larger than 10 MiB, the most that goes with a message"
        ));
    }
    Ok(Attachment::new(&shown.to_string(), &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_what_is_in_it_and_goes_as_the_block_for_that() {
        let png = b"\x89PNG\r\n\x1a\nrest";
        let table: [(&[u8], Kind, &str, &str); 5] = [
            (png, Kind::Image, "image", "image/png"),
            (b"RIFF....WEBPVP8", Kind::Image, "image", "image/webp"),
            (b"RIFF....WAVEfmt", Kind::Audio, "audio", "audio/wav"),
            ("grüß".as_bytes(), Kind::File, "resource", "text/plain"),
            (
                b"\xff\x00",
                Kind::File,
                "resource",
                "application/octet-stream",
            ),
        ];
        for (bytes, kind, form, mime) in table {
            let one = Attachment::new("/home/ana/a b", bytes);
            assert_eq!((one.kind, one.name.as_str()), (kind, "a b"));
            assert_eq!(one.block["type"], form);
            let inner = one.block.get("resource").unwrap_or(&one.block);
            assert_eq!(inner["mimeType"], mime);
        }
        let text = Attachment::new("/a.md", b"# A");
        assert_eq!(
            text.block["resource"],
            json!({"uri": "file:///a.md", "mimeType": "text/plain", "text": "# A"})
        );
        let takes = Takes {
            image: true,
            ..Takes::default()
        };
        assert!(Attachment::new("/a", png).is_taken(takes) && !text.is_taken(takes));
    }

    #[test]
    fn a_path_may_stand_in_quotes_or_with_backslashes() {
        for typed in ["a b.png", " 'a b.png' ", "\"a b.png\"", "a\\ b.png"] {
            assert_eq!(unquoted(typed), "a b.png", "{typed}");
        }
    }
}

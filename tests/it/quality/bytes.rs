//! R8: what an agent made stands here byte for byte, whatever the bytes are.

use std::collections::{BTreeMap, HashMap};

use ashore::protocol::hash::ContentHash;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use serde_json::json;

use crate::quality::count;
use crate::support::home::Home;
use crate::support::scripted::{Script, Scripted};

/// Sizes at which buffers end, and their neighbours.
const EDGES: [usize; 12] = [
    0, 1, 4095, 4096, 4097, 16384, 65535, 65536, 65537, 131_072, 262_143, 262_145,
];
/// What text tools stumble over: marks, line ends, NUL, bad UTF-8, magic numbers, things that look like a template.
const STARTS: [&[u8]; 10] = [
    b"",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\r\n\r\r\n",
    b"\0\0\0",
    b"\xc3\x28\xa0\xa1",
    b"\x1f\x8b\x08",
    b"\x89PNG\r\n\x1a\n",
    b"\x7fELF",
    b"${HOME} %s {{x}}",
];

/// Bytes that are no text, the same for the same number.
pub(crate) fn binary(number: usize) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(number as u64);
    let size = match number {
        _ if number < EDGES.len() => EDGES[number],
        _ => random.random_range(0..6000),
    };
    let mut bytes = vec![0; size];
    random.fill_bytes(&mut bytes);
    let start = STARTS[number % STARTS.len()];
    let start = &start[..start.len().min(size)];
    bytes[..start.len()].copy_from_slice(start);
    bytes
}

#[test]
fn random_binaries_come_down_byte_for_byte_and_only_once() {
    let home = Home::new();
    let all: BTreeMap<String, Vec<u8>> = (0..count("ASHORE_BINARIES", 200))
        .map(|number| (format!("d{}/b{number}.bin", number % 10), binary(number)))
        .collect();
    let line = |path: &String, bytes: &Vec<u8>| {
        let hash = ContentHash::of(bytes).to_string();
        let params = json!({"type": "file_created", "path": format!("/w/{path}"), "relativePath": path, "contentHash": hash,
            "storagePath": format!("files/{hash}"), "size": bytes.len(), "mode": "100644", "baseHash": null, "turn": 1});
        json!({"type": "notification", "timestamp": "2026-11-01T12:00:00Z",
            "notification": {"jsonrpc": "2.0", "method": "_posthog/file_sync", "params": params}})
        .to_string()
    };
    let blobs: HashMap<String, Vec<u8>> = all
        .values()
        .map(|bytes| (ContentHash::of(bytes).to_string(), bytes.clone()))
        .collect();
    let endpoint = Scripted::start(Script {
        lines: all.iter().map(|(path, bytes)| line(path, bytes)).collect(),
        blobs,
        ..Script::default()
    });
    let run = endpoint.run();
    let attach = || {
        let arguments = ["attach", &run, "--mirror", ".", "--format", "ndjson"];
        let mut command = home.ashore(&arguments);
        let done = command
            .env("ASHORE_TOKEN", "s3cret")
            .output()
            .expect("starts");
        let err = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(0), "{err}");
    };
    let asked = || {
        let heard = endpoint.heard.lock().expect("no panic");
        heard.iter().filter(|head| head.contains("/blobs/")).count()
    };
    attach();
    for (path, bytes) in &all {
        let here = std::fs::read(home.work().join(path)).expect(path);
        assert_eq!(ContentHash::of(&here), ContentHash::of(bytes), "{path}");
    }
    // Who has them asks for none of them again.
    let before = asked();
    attach();
    assert_eq!(asked(), before);
}

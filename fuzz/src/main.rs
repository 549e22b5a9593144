//! libFuzzer, feeding the target that `ASHORE_FUZZ` names. What the targets are is told in `tests/it/quality/targets.rs`.
//!
//! `ASHORE_FUZZ=texts` draws hostile texts instead, as many as `ASHORE_TEXTS` says (`tests/it/quality/texts.rs`): a million
//! of them need our code at speed, and this build has it.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

#[expect(dead_code, reason = "the tests ask for more")]
#[path = "../../tests/it/quality"]
mod quality {
    pub(crate) mod hostile;
    pub(crate) mod sequences;
    pub(crate) mod targets;
    pub(crate) mod texts;
    pub(crate) mod wire;
}

#[expect(dead_code, reason = "the tests ask for more")]
#[path = "../../tests/it/screens"]
mod screens {
    pub(crate) mod script;
}

use quality::targets::{TARGETS, Target};

/// What the environment says; a fuzzer has no settings.
#[expect(clippy::disallowed_methods, reason = "no part of the program")]
fn asked(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn wanted() -> Target {
    let wanted = asked("ASHORE_FUZZ");
    match TARGETS.iter().find(|(name, _)| *name == wanted) {
        Some((_, target)) => *target,
        None => panic!(
            "ASHORE_FUZZ={wanted}: texts, or one of {:?}",
            TARGETS.map(|(name, _)| name)
        ),
    }
}

/// Before libFuzzer begins; when texts are asked for, it never does.
#[expect(clippy::disallowed_methods, reason = "there is no terminal to restore")]
fn texts_instead() {
    if asked("ASHORE_FUZZ") != "texts" {
        return;
    }
    let most = asked("ASHORE_TEXTS").parse().expect("ASHORE_TEXTS=NUMBER");
    println!("{} texts drawn", quality::texts::run(most));
    std::process::exit(0);
}

fuzz_target!(init: texts_instead(), |data: &[u8]| {
    static TARGET: OnceLock<Target> = OnceLock::new();
    TARGET.get_or_init(wanted)(data);
});

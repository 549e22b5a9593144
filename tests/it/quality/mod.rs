//! The rows of the quality table: nothing lost, torn, doubled or escaped. A few of each here, all of them in `.ci/quality`.

mod bytes;
mod hostile;
mod kills;
pub(crate) mod paths;
mod printed;
mod race;
mod rounds;
mod sequences;
mod splits;
mod targets;
mod texts;
mod tmux;
mod wire;

/// How many: what the environment asks for (`.ci/quality` does), or a few.
pub(crate) fn count(name: &str, few: usize) -> usize {
    #[expect(clippy::disallowed_methods, reason = "a test has no settings")]
    let asked = std::env::var(name);
    match asked {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text}: not a number")),
        Err(_) => few,
    }
}

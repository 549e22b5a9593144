//! The ACP agents known by name: how each starts and which variables it needs (contract 10.3).
//!
//! Pure. Whether a program is there is asked through an argument.

use std::path::{Path, PathBuf};

/// An agent known by name.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    pub name: &'static str,
    /// Programs with their arguments; the first one found on the PATH is taken.
    programs: &'static [(&'static str, &'static [&'static str])],
    /// Variables of the caller that the agent needs to reach its model or its login.
    pub passes: &'static [&'static str],
    /// Variables it is always given.
    pub sets: &'static [(&'static str, &'static str)],
    /// How to get it, for the line that says it is missing.
    pub install: &'static str,
    /// What to run once to log in.
    pub login: &'static str,
}

/// The name of the built-in agent, which needs no network.
pub const DEMO: &str = "demo";

/// In the order in which they are tried when none is named.
pub const ALL: &[Preset] = &[
    Preset {
        name: "claude",
        programs: &[("claude-agent-acp", &[]), ("claude-code-acp", &[])],
        passes: &[
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "ANTHROPIC_BASE_URL",
            "ANTHROPIC_MODEL",
            "CLAUDE_CODE_EXECUTABLE",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CONFIG_DIR",
            "IS_SANDBOX",
        ],
        sets: &[("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")],
        install: "npm install -g @agentclientprotocol/claude-agent-acp",
        login: "claude /login",
    },
    Preset {
        name: "codex",
        programs: &[("codex-acp", &[])],
        passes: &[
            "CODEX_API_KEY",
            "CODEX_HOME",
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
        ],
        sets: &[],
        install: "npm install -g @agentclientprotocol/codex-acp",
        login: "codex login",
    },
    Preset {
        name: "gemini",
        programs: &[("gemini", &["--acp"])],
        passes: &[
            "GEMINI_API_KEY",
            "GOOGLE_API_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_CLOUD_LOCATION",
            "GOOGLE_CLOUD_PROJECT",
            "GOOGLE_GEMINI_BASE_URL",
            "GOOGLE_GENAI_USE_VERTEXAI",
        ],
        sets: &[],
        install: "npm install -g @google/gemini-cli",
        login: "gemini",
    },
    Preset {
        name: "opencode",
        programs: &[("opencode", &["acp"])],
        passes: &[
            "ANTHROPIC_API_KEY",
            "OPENAI_API_KEY",
            "OPENCODE_CONFIG",
            "OPENCODE_CONFIG_CONTENT",
            "OPENCODE_CONFIG_DIR",
            "OPENROUTER_API_KEY",
        ],
        sets: &[],
        install: "npm install -g opencode-ai",
        login: "opencode auth login",
    },
    Preset {
        name: DEMO,
        programs: &[],
        passes: &[],
        sets: &[],
        install: "it is built in",
        login: "it needs no login",
    },
];

/// A preset and where its program was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub preset: &'static Preset,
    pub program: Program,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// This very executable, as `demo-agent`.
    BuiltIn,
    At {
        path: PathBuf,
        arguments: &'static [&'static str],
    },
}

/// The preset of this name.
pub fn named(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}

/// Finds the preset's program on `path`, a PATH value. Entries that are not absolute are passed over: they would
/// mean another folder in the sandbox than they did where the value was made.
pub fn lookup(name: &str, path: &str, exists: impl Fn(&Path) -> bool) -> Option<Found> {
    let preset = named(name)?;
    if preset.name == DEMO {
        return Some(Found {
            preset,
            program: Program::BuiltIn,
        });
    }
    let folders = || path.split(':').map(Path::new).filter(|f| f.is_absolute());
    preset
        .programs
        .iter()
        .find_map(|(program, arguments)| {
            folders()
                .map(|folder| folder.join(program))
                .find(|at| exists(at))
                .map(|path| Program::At { path, arguments })
        })
        .map(|program| Found { preset, program })
}

/// The first installed one, else the built-in demo agent.
pub fn first(path: &str, exists: impl Fn(&Path) -> bool) -> Found {
    ALL.iter()
        .find_map(|preset| lookup(preset.name, path, &exists))
        .expect("the demo agent is built in and stands last")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_program_found_on_the_path_is_taken_and_demo_needs_none() {
        let there = |at: &Path| {
            ["/b/claude-code-acp", "/b/gemini", "/c/gemini"]
                .iter()
                .any(|have| Path::new(have) == at)
        };
        let found = lookup("claude", "/a:/b", there).expect("the old name is known");
        assert_eq!(
            found.program,
            Program::At {
                path: "/b/claude-code-acp".into(),
                arguments: &[]
            }
        );
        let gemini = lookup("gemini", "b:.:/c:/b", there).expect("found");
        assert_eq!(
            gemini.program,
            Program::At {
                path: "/c/gemini".into(),
                arguments: &["--acp"]
            }
        );
        assert_eq!(lookup("codex", "/a:/b", there), None);
        assert_eq!(lookup("nobody", "/a:/b", there), None);
        assert_eq!(first("/c", there).preset.name, "gemini");
        assert_eq!(first("", there).preset.name, DEMO);
        assert_eq!(first("", there).program, Program::BuiltIn);
    }
}

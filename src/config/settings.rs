//! The layers put together: what holds, and where each value comes from.
//!
//! Pure but for `load`, which reads the two files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::env::Env;
use crate::config::file::{self, Found, Setting, Whose};
use crate::config::places::Places;
use crate::protocol::run::Policy;

/// What holds for this start of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A configured name or a URL; `None` is the local endpoint.
    pub endpoint: Option<String>,
    pub endpoints: BTreeMap<String, Named>,
    pub project: i64,
    pub agent: Option<String>,
    pub agent_env: Vec<String>,
    pub permissions: Option<Policy>,
    pub idle_minutes: u64,
    pub ca_file: Option<PathBuf>,
    pub theme: Option<String>,
    /// `None`: as the terminal can.
    pub ascii: Option<bool>,
    pub motion: bool,
    pub vim: bool,
    pub mouse: bool,
    pub column: bool,
    pub title: bool,
    /// `None`: as the terminal can.
    pub links: Option<bool>,
    /// One of the words of `keys`; `None` is auto.
    pub notify: Option<String>,
    /// A program that is given the message instead; empty: none.
    pub notify_command: Vec<String>,
    /// One of the words of `keys`; `None` is auto.
    pub clipboard: Option<String>,
    /// A program that reads what is copied instead; empty: none.
    pub clipboard_command: Vec<String>,
    /// A shell's words; it finds the versions of a conflict in `$BASE`, `$LOCAL`, `$REMOTE` and writes `$MERGED`.
    pub merge_tool: Option<String>,
    pub ignore: Vec<String>,
    pub include: Vec<String>,
    /// In bytes.
    pub max_file: u64,
    /// In bytes.
    pub seed_limit: u64,
    /// Actions to keys, as written: `keys.<context>.<action>`.
    pub keys: BTreeMap<(String, String), Vec<String>>,
    /// `path = value` and where it was set, in order, for `config show`.
    pub origins: Vec<Origin>,
}

/// An endpoint with a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    pub url: Option<String>,
    pub project: Option<i64>,
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub key: String,
    pub value: String,
    pub from: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoint: None,
            endpoints: BTreeMap::new(),
            project: 1,
            agent: None,
            agent_env: Vec::new(),
            permissions: None,
            idle_minutes: 15,
            ca_file: None,
            theme: None,
            ascii: None,
            motion: true,
            vim: false,
            mouse: false,
            column: true,
            title: true,
            links: None,
            notify: None,
            notify_command: Vec::new(),
            clipboard: None,
            clipboard_command: Vec::new(),
            merge_tool: None,
            ignore: Vec::new(),
            include: Vec::new(),
            max_file: 256 << 20,
            seed_limit: 512 << 20,
            keys: BTreeMap::new(),
            origins: Vec::new(),
        }
    }
}

/// Reads the user's file and `.ashore.toml` in `directory`, then the environment.
pub fn load(
    places: &Places,
    config: Option<&Path>,
    directory: &Path,
    env: &Env,
) -> Result<Settings, file::Error> {
    let user = places.config_file(config, env);
    let project = directory.join(".ashore.toml");
    let user_values = file::load(&user, Whose::User)?;
    let project_values = file::load(&project, Whose::Project)?;
    if let Some(text) = env
        .get("ASHORE_PROJECT")
        .filter(|text| text.parse::<i64>().is_err())
    {
        return Err(file::Error::Variable {
            name: "ASHORE_PROJECT",
            text: text.to_owned(),
            wants: "a whole number",
        });
    }
    Ok(merge(
        &[(user, user_values), (project, project_values)],
        env,
    ))
}

/// Later layers win; the environment wins over files.
pub fn merge(layers: &[(PathBuf, Vec<Found>)], env: &Env) -> Settings {
    let mut settings = Settings::default();
    for (file, values) in layers {
        for found in values {
            set(&mut settings, found);
            let from = format!("{}:{}", file.display(), found.line);
            note(
                &mut settings,
                found.path.join("."),
                show(&found.value),
                from,
            );
        }
    }
    from_environment(&mut settings, env);
    settings
}

fn note(settings: &mut Settings, key: String, value: String, from: String) {
    settings.origins.retain(|origin| origin.key != key);
    settings.origins.push(Origin { key, value, from });
}

fn show(value: &Setting) -> String {
    match value {
        Setting::Text(text) => format!("{text:?}"),
        Setting::Flag(flag) => flag.to_string(),
        Setting::Number(number) => number.to_string(),
        Setting::Texts(texts) => format!("{texts:?}"),
    }
}

fn set(settings: &mut Settings, found: &Found) {
    let path: Vec<&str> = found.path.iter().map(String::as_str).collect();
    match (path.as_slice(), &found.value) {
        (["endpoint"], Setting::Text(text)) => settings.endpoint = Some(text.clone()),
        (["endpoints", name, key], value) => set_endpoint(
            settings.endpoints.entry((*name).to_owned()).or_default(),
            key,
            value,
        ),
        (["project"], Setting::Number(number)) => settings.project = signed(*number),
        (["agent", "name"], Setting::Text(text)) => settings.agent = Some(text.clone()),
        (["agent", "env"], Setting::Texts(texts)) => settings.agent_env.clone_from(texts),
        (["permissions"], Setting::Text(word)) => settings.permissions = policy(word),
        (["idle_minutes"], Setting::Number(number)) => settings.idle_minutes = *number,
        (["ca_file"], Setting::Text(text)) => settings.ca_file = Some(text.into()),
        (["theme"], Setting::Text(text)) => settings.theme = Some(text.clone()),
        (["ascii"], Setting::Flag(flag)) => settings.ascii = Some(*flag),
        (["motion"], Setting::Flag(flag)) => settings.motion = *flag,
        (["composer", "vim"], Setting::Flag(flag)) => settings.vim = *flag,
        (["mouse"], Setting::Flag(flag)) => settings.mouse = *flag,
        (["layout", "column"], Setting::Flag(flag)) => settings.column = *flag,
        (["title"], Setting::Flag(flag)) => settings.title = *flag,
        (["links"], Setting::Flag(flag)) => settings.links = Some(*flag),
        (["notify"], value) => {
            (settings.notify, settings.notify_command) = word_or_command(value);
        }
        (["clipboard"], value) => {
            (settings.clipboard, settings.clipboard_command) = word_or_command(value);
        }
        (["merge_tool"], Setting::Text(tool)) => settings.merge_tool = Some(tool.clone()),
        // The project's ignore rules come on top of the user's.
        (["mirror", "ignore"], Setting::Texts(texts)) => {
            settings.ignore.extend(texts.iter().cloned())
        }
        (["mirror", "include"], Setting::Texts(texts)) => {
            settings.include.extend(texts.iter().cloned())
        }
        (["mirror", "max_file_mib"], Setting::Number(number)) => {
            settings.max_file = number.saturating_mul(1 << 20)
        }
        (["mirror", "seed_limit_mib"], Setting::Number(number)) => {
            settings.seed_limit = number.saturating_mul(1 << 20)
        }
        (["keys", context, action], Setting::Texts(keys)) => {
            settings
                .keys
                .insert(((*context).to_owned(), (*action).to_owned()), keys.clone());
        }
        (path, value) => {
            unreachable!("`keys` lets only known keys with their types through: {path:?} {value:?}")
        }
    }
}

fn set_endpoint(named: &mut Named, key: &str, value: &Setting) {
    match (key, value) {
        ("url", Setting::Text(text)) => named.url = Some(text.clone()),
        ("project", Setting::Number(number)) => named.project = Some(signed(*number)),
        ("token_file", Setting::Text(text)) => named.token_file = Some(text.into()),
        (key, value) => {
            unreachable!("`keys` lets only known keys with their types through: {key} {value:?}")
        }
    }
}

fn from_environment(settings: &mut Settings, env: &Env) {
    for (variable, key) in [
        ("ASHORE_ENDPOINT", "endpoint"),
        ("ASHORE_PROJECT", "project"),
        ("ASHORE_AGENT", "agent.name"),
    ] {
        let Some(value) = env.get(variable) else {
            continue;
        };
        match key {
            "endpoint" => settings.endpoint = Some(value.to_owned()),
            "agent.name" => settings.agent = Some(value.to_owned()),
            _ => match value.parse() {
                Ok(number) => settings.project = number,
                Err(_) => continue,
            },
        }
        note(
            settings,
            key.to_owned(),
            value.to_owned(),
            format!("${variable}"),
        );
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn policy(word: &str) -> Option<Policy> {
    match word {
        "auto" => Some(Policy::Auto),
        "ask" => Some(Policy::Ask),
        "deny" => Some(Policy::Deny),
        _ => None,
    }
}

/// The later one holds, whichever it is.
fn word_or_command(value: &Setting) -> (Option<String>, Vec<String>) {
    match value {
        Setting::Text(word) => (Some(word.clone()), Vec::new()),
        Setting::Texts(command) => (None, command.clone()),
        Setting::Flag(_) | Setting::Number(_) => (None, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_over_files_and_says_so() {
        let found = file::parse(
            Path::new("c.toml"),
            "endpoint = \"work\"\ntheme = \"light\"",
            Whose::User,
        )
        .expect("fits");
        let env: Env = [("ASHORE_ENDPOINT", "http://x:1")].into_iter().collect();
        let settings = merge(&[("c.toml".into(), found)], &env);
        assert_eq!(settings.endpoint.as_deref(), Some("http://x:1"));
        assert_eq!(settings.theme.as_deref(), Some("light"));
        assert_eq!(
            settings.origins.last().map(|origin| origin.from.as_str()),
            Some("$ASHORE_ENDPOINT")
        );
    }

    #[test]
    fn a_program_takes_the_place_of_a_word_and_only_the_user_may_name_one() {
        let text = "notify=['notify-send', 'Ashore', '{}']\nclipboard=['wl-copy']\n";
        let found = file::parse(Path::new("c.toml"), text, Whose::User).expect("fits");
        let settings = merge(&[("c.toml".into(), found)], &Env::default());
        assert_eq!(settings.notify_command, ["notify-send", "Ashore", "{}"]);
        assert_eq!((settings.notify, settings.clipboard), (None, None));
        assert_eq!(settings.clipboard_command, ["wl-copy"]);
        let project = file::parse(Path::new("c.toml"), text, Whose::Project);
        let refused = project.expect_err("is wrong").to_string();
        assert!(refused.contains("cannot be set by a project"), "{refused}");
        let empty = file::parse(Path::new("c.toml"), "notify=[]", Whose::User);
        let refused = empty.expect_err("is wrong").to_string();
        assert!(refused.contains("or a program"), "{refused}");
    }

    #[test]
    fn every_known_key_finds_its_field() {
        let text = "endpoint='a'\nproject=1\npermissions='ask'\nidle_minutes=1\nca_file='c'\ntheme='t'\nascii=true\nmotion=false\nmouse=true\n\
            title=false\nlinks=true\nnotify='bell'\nclipboard='file'\nmerge_tool='m'\n\
            [endpoints.w]\nurl='u'\nproject=3\ntoken_file='f'\n[agent]\nname='n'\nenv=['E']\n[keys.edit]\nsend='enter'\n\
            [composer]\nvim=true\n[layout]\ncolumn=false\n[mirror]\nignore=['i']\ninclude=['j']\nmax_file_mib=1\nseed_limit_mib=2\n";
        let found = file::parse(Path::new("c.toml"), text, Whose::User).expect("fits");
        assert_eq!(found.len(), crate::config::keys::KEYS.len());
        let settings = merge(&[("c.toml".into(), found)], &Env::default());
        assert_eq!(
            (settings.max_file, settings.seed_limit, settings.column),
            (1 << 20, 2 << 20, false)
        );
        assert_eq!(settings.merge_tool.as_deref(), Some("m"));
    }
}

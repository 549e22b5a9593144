//! Reads one TOML file into values with the line each stands on; an unknown key is an error, never skipped.
//!
//! `parse` is pure; `load` reads the file.

use std::path::{Path, PathBuf};

use toml_edit::{Item, Table, Value};

use crate::config::keys::{self, Holds};

/// One value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub path: Vec<String>,
    pub value: Setting,
    /// Counted from 1.
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    Text(String),
    Flag(bool),
    Number(u64),
    Texts(Vec<String>),
}

/// A file that cannot be taken as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {file}: {source}", file = file.display())]
    Read {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{name} is `{text}`, and wants {wants}")]
    Variable {
        name: &'static str,
        text: String,
        wants: &'static str,
    },
    #[error("{file}:{line}  {what}", file = file.display())]
    Wrong {
        file: PathBuf,
        line: usize,
        what: String,
    },
}

/// Whose file it is: a project's may set less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    User,
    Project,
}

/// A missing file has no values.
pub fn load(file: &Path, whose: Whose) -> Result<Vec<Found>, Error> {
    match std::fs::read_to_string(file) {
        Ok(text) => parse(file, &text, whose),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Read {
            file: file.to_owned(),
            source,
        }),
    }
}

/// `file` is for messages only.
pub fn parse(file: &Path, text: &str, whose: Whose) -> Result<Vec<Found>, Error> {
    let wrong = |line, what| Error::Wrong {
        file: file.to_owned(),
        line,
        what,
    };
    let line_of = |at: Option<std::ops::Range<usize>>| {
        at.map_or(1, |at| {
            1 + text[..at.start.min(text.len())].matches('\n').count()
        })
    };
    let document = toml_edit::Document::parse(text.to_owned()).map_err(|error| {
        wrong(
            line_of(error.span()),
            format!("this is not TOML: {}", error.message()),
        )
    })?;
    let mut found = Vec::new();
    walk(
        document.as_table(),
        &mut Vec::new(),
        &mut |path, item, span| {
            let line = line_of(span);
            let names: Vec<&str> = path.iter().map(String::as_str).collect();
            let value = check(&names, item, whose).map_err(|what| wrong(line, what))?;
            found.push(Found {
                path: path.to_vec(),
                value,
                line,
            });
            Ok(())
        },
    )?;
    Ok(found)
}

type Span = Option<std::ops::Range<usize>>;

fn walk(
    table: &Table,
    path: &mut Vec<String>,
    each: &mut impl FnMut(&[String], &Item, Span) -> Result<(), Error>,
) -> Result<(), Error> {
    for (name, item) in table.iter() {
        path.push(name.to_owned());
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let span = table
            .key(name)
            .and_then(toml_edit::Key::span)
            .or_else(|| item.span());
        match item {
            Item::Table(inner) if keys::is_table(&names) => walk(inner, path, each)?,
            Item::Value(Value::InlineTable(inner)) if keys::is_table(&names) => {
                walk(&inner.clone().into_table(), path, each)?
            }
            Item::None | Item::Value(_) | Item::Table(_) | Item::ArrayOfTables(_) => {
                each(path, item, span)?
            }
        }
        path.pop();
    }
    Ok(())
}

fn check(path: &[&str], item: &Item, whose: Whose) -> Result<Setting, String> {
    let name = path.join(".");
    let Some(key) = keys::find(path) else {
        let hint = keys::nearest(path)
            .map_or_else(String::new, |near| format!(". Did you mean `{near}`?"));
        return Err(format!("there is no key `{name}`{hint}"));
    };
    if whose == Whose::Project && !key.project {
        return Err(format!(
            "`{name}` cannot be set by a project: put it into your own config"
        ));
    }
    let texts = || {
        item.as_array().and_then(|list| {
            list.iter()
                .map(|text| text.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        })
    };
    let number = || {
        item.as_integer()
            .and_then(|number| u64::try_from(number).ok())
    };
    match key.holds {
        Holds::Text => item
            .as_str()
            .map(|text| Setting::Text(text.to_owned()))
            .ok_or_else(|| format!("`{name}` wants a text")),
        Holds::Word(words) => item
            .as_str()
            .filter(|word| words.contains(word))
            .map(|word| Setting::Text(word.to_owned()))
            .ok_or_else(|| format!("`{name}` is one of {}", words.join(", "))),
        Holds::WordOrCommand(words) => item
            .as_str()
            .filter(|word| words.contains(word))
            .map(|word| Setting::Text(word.to_owned()))
            .or_else(|| texts().filter(|list| !list.is_empty()).map(Setting::Texts))
            .ok_or_else(|| {
                let words = words.join(", ");
                format!("`{name}` is one of {words}, or a program with its arguments as a list")
            }),
        Holds::Flag => item
            .as_bool()
            .map(Setting::Flag)
            .ok_or_else(|| format!("`{name}` is true or false")),
        Holds::Number => number()
            .map(Setting::Number)
            .ok_or_else(|| format!("`{name}` wants a whole number")),
        Holds::Texts => texts()
            .map(Setting::Texts)
            .ok_or_else(|| format!("`{name}` wants a list of texts")),
        Holds::TextOrTexts => item
            .as_str()
            .map(|text| vec![text.to_owned()])
            .or_else(texts)
            .map(Setting::Texts)
            .ok_or_else(|| format!("`{name}` wants a text or a list of texts")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str, whose: Whose) -> String {
        parse(Path::new("c.toml"), text, whose)
            .expect_err("is wrong")
            .to_string()
    }

    #[test]
    fn an_unknown_key_names_file_line_and_the_nearest_name() {
        assert_eq!(
            wrong("\n[mirror]\nignroe = []\n", Whose::User),
            "c.toml:3  there is no key `mirror.ignroe`. Did you mean `mirror.ignore`?"
        );
    }

    #[test]
    fn a_wrong_type_and_broken_toml_are_named_with_their_line() {
        assert_eq!(
            wrong("theme = 3", Whose::User),
            "c.toml:1  `theme` wants a text"
        );
        assert_eq!(
            wrong("permissions = \"yolo\"", Whose::User),
            "c.toml:1  `permissions` is one of auto, ask, deny"
        );
        assert!(wrong("a\n= = 3", Whose::User).starts_with("c.toml:"));
        assert!(wrong("project = -1", Whose::User).contains("whole number"));
    }

    #[test]
    fn a_project_may_set_ignore_but_no_agent() {
        assert!(parse(Path::new("c"), "[mirror]\nignore = [\"x\"]", Whose::Project).is_ok());
        assert!(
            wrong("[agent]\nname = \"x\"", Whose::Project).contains("cannot be set by a project")
        );
    }

    #[test]
    fn values_are_found_in_tables_and_inline_tables() {
        let found = parse(
            Path::new("c"),
            "project = 2\nendpoints.work = { url = \"http://x\" }\n[keys.edit]\nsend = \"enter\"\n",
            Whose::User,
        )
        .expect("fits");
        let paths: Vec<String> = found.iter().map(|one| one.path.join(".")).collect();
        assert_eq!(paths, ["project", "endpoints.work.url", "keys.edit.send"]);
    }
}

//! What is never mirrored, and why: `.git`, `.ashore`, conflict copies, what gitignore files name, the config's list.
//!
//! Each folder has its level: what the rules above and in it come to. A walk and a look at a single path go down the same
//! levels, so that they cannot differ. Reads gitignore files only when they are plain files of a sane size; never follows
//! a link to one.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::mirror::{exclude, ground};
use crate::protocol::path::RelPath;

/// A gitignore file above this is somebody's mistake or attack: it is passed over.
const LONGEST_FILE: u64 = 1 << 20;
pub(super) const NAME: &str = ".gitignore";

/// Why a path is not mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// A copy of theirs that stands beside a conflict.
    ConflictCopy,
    /// A pattern of the config's `ignore` list.
    Config(String),
    /// A pattern of a gitignore file.
    Gitignore { file: PathBuf, pattern: String },
    /// A pattern that stood in a gitignore file before the agent changed it.
    Before { file: PathBuf, pattern: String },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConflictCopy => f.write_str("a conflict copy stays here"),
            Self::Config(pattern) => write!(f, "ignored by `{pattern}` in the config"),
            Self::Gitignore { file, pattern } => {
                write!(f, "ignored by `{pattern}` in {}", file.display())
            }
            Self::Before { file, pattern } => {
                let file = file.display();
                write!(
                    f,
                    "ignored by `{pattern}`, which stood in {file} before the agent changed it"
                )
            }
        }
    }
}

/// A pattern of the config that cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` in `{list}` is no pattern: {source}")]
pub struct BadPattern {
    pub list: &'static str,
    pub pattern: String,
    #[source]
    pub source: ignore::Error,
}

/// The rules of one root.
pub struct Rules {
    root: PathBuf,
    ignore: Gitignore,
    include: Gitignore,
    /// The includes that name a place, cut at their first wild part: a walk must go down there.
    places: Vec<Vec<String>>,
    /// What stands above the root, up to the repository's top, from there down; last the user's own file.
    above: Vec<Gitignore>,
    below: Mutex<HashMap<String, Arc<File>>>,
    /// By their folder, earlier texts of gitignore files that the present ones let more through than.
    opened: RwLock<HashMap<String, Vec<Gitignore>>>,
    /// Paths that no gitignore file puts out: what git tracks, what a run was seeded with.
    kept: RwLock<BTreeSet<String>>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("root", &self.root).finish()
    }
}

impl Rules {
    /// `root` is absolute. `ignore` and `include` are gitignore patterns; an included path is mirrored whatever
    /// a gitignore file says, but never `.git`, `.ashore` or a conflict copy. An include without a slash does not
    /// reach into a folder that is itself ignored: name the folder too.
    pub fn new(root: &Path, ignore: &[String], include: &[String]) -> Result<Self, BadPattern> {
        Ok(Self {
            root: root.to_owned(),
            ignore: patterns(root, "ignore", ignore)?,
            include: patterns(root, "include", include)?,
            places: include.iter().filter_map(|line| place(line)).collect(),
            above: above(root),
            below: Mutex::default(),
            opened: RwLock::default(),
            kept: RwLock::default(),
        })
    }

    /// From here on no gitignore file puts these out, as git goes on with a file that it tracks. The config's list and
    /// the form of a conflict copy still do.
    pub fn keep<'p>(&self, paths: impl IntoIterator<Item = &'p RelPath>) {
        let paths = paths.into_iter().map(|path| path.as_str().to_owned());
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.extend(paths);
    }

    /// What this gitignore file said before the agent changed it, the oldest first; what any of these keeps back stays so.
    pub(crate) fn opened(&self, file: &RelPath, texts: &[String]) {
        let folder = file.parent();
        let folder = folder.as_ref().map_or("", RelPath::as_str);
        let at = self.root.join(folder);
        let texts = texts.iter().map(|text| parse(&at, text)).collect();
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        opened.insert(folder.to_owned(), texts);
        opened.retain(|_, texts| !texts.is_empty());
        drop(opened);
        self.forget();
    }

    fn is_kept(&self, path: &RelPath) -> bool {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.contains(path.as_str())
    }

    fn is_above_kept(&self, folder: &RelPath) -> bool {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let start = format!("{folder}/");
        let next = kept.range(start.clone()..).next();
        next.is_some_and(|path| path.starts_with(&start))
    }

    /// Why this path is not mirrored; `None` when it is. A folder above it may be the reason.
    pub fn why(&self, path: &RelPath, is_dir: bool) -> Option<Why> {
        let level = match path.parent() {
            Some(folder) => self.level(&folder),
            None => self.top(true),
        };
        level.judge(self, path, is_dir).why(self, path)
    }

    /// What a gitignore file says of it, where that does not count because it is kept.
    pub(crate) fn overruled(&self, path: &RelPath, is_dir: bool) -> Option<Why> {
        let level = match path.parent() {
            Some(folder) => self.level(&folder),
            None => self.top(true),
        };
        let out = level.judge(self, path, is_dir).out;
        let by_git = |why: &Why| matches!(why, Why::Gitignore { .. } | Why::Before { .. });
        out.filter(|why| by_git(why) && self.is_kept(path))
    }

    /// What holds in the root; `own`: it may have a gitignore file.
    pub(crate) fn top(&self, own: bool) -> Level {
        let level = Level::default();
        if own {
            level.with(self.at(""), 0)
        } else {
            level
        }
    }

    /// What holds in this folder.
    pub(crate) fn level(&self, folder: &RelPath) -> Level {
        let mut level = self.top(true);
        let text = folder.as_str();
        let ends = text.match_indices('/').map(|(end, _)| end);
        for end in ends.chain([text.len()]) {
            let at = &text[..end];
            level = level.enter(self.judge(&level, at, true));
            level = level.with(self.at(at), end + 1);
        }
        level
    }

    /// Whether something below this ignored folder may be included all the same.
    pub fn leads_to_an_include(&self, folder: &RelPath) -> bool {
        let named = self
            .places
            .iter()
            .any(|place| place.iter().zip(folder.parts()).all(|(a, b)| a == b));
        named || self.is_above_kept(folder)
    }

    /// Reads the gitignore files again when next asked.
    pub fn forget(&self) {
        self.below
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// What a path in a folder of this level comes to.
    fn judge(&self, level: &Level, path: &str, is_dir: bool) -> Judged {
        if level.included || self.include.matched(path, is_dir).is_ignore() {
            return Judged {
                included: true,
                out: None,
            };
        }
        let out = match &level.out {
            Some(why) => Some(why.clone()),
            None => self.why_itself(level, path, is_dir),
        };
        Judged {
            included: false,
            out,
        }
    }

    fn why_itself(&self, level: &Level, path: &str, is_dir: bool) -> Option<Why> {
        match self.ignore.matched(path, is_dir) {
            Match::Ignore(glob) => return Some(Why::Config(glob.original().to_owned())),
            Match::Whitelist(_) => return None,
            Match::None => (),
        }
        let says = |of: &dyn Fn(usize) -> usize| self.says(level, path, is_dir, of);
        if let Some(why) = says(&|_| 0) {
            return Some(why);
        }
        // As they were at first, all of them; and each as it was at any time.
        let earlier = level.files.iter().map(|(_, file)| file.texts.len());
        let one = earlier
            .enumerate()
            .flat_map(|(at, count)| (1..count).map(move |text| (at, text)));
        let mut one = one.peekable();
        one.peek()?;
        let before = says(&|_| 1)
            .or_else(|| one.find_map(|(at, text)| says(&|file| if file == at { text } else { 0 })));
        before.map(|why| match why {
            Why::Gitignore { file, pattern } => Why::Before { file, pattern },
            other => other,
        })
    }

    /// What the gitignore files say, of each of the level's the text with this number, or the present one where it has none.
    fn says(
        &self,
        level: &Level,
        path: &str,
        is_dir: bool,
        text: &dyn Fn(usize) -> usize,
    ) -> Option<Why> {
        for (at, (cut, file)) in level.files.iter().enumerate().rev() {
            let file = file.texts.get(text(at)).unwrap_or(&file.texts[0]);
            if let Some(answer) = verdict(file, Path::new(&path[*cut..]), is_dir) {
                return answer;
            }
        }
        if self.above.is_empty() {
            return None;
        }
        let full = self.root.join(path);
        self.above
            .iter()
            .find_map(|file| verdict(file, &full, is_dir))
            .flatten()
    }

    /// The gitignore file of a folder, by its path.
    pub(crate) fn at(&self, folder: &str) -> Arc<File> {
        let mut below = self.below.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = below.get(folder) {
            return Arc::clone(known);
        }
        let at = self.root.join(folder);
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let before = opened.get(folder).cloned().unwrap_or_default();
        let now = read(&at, &at.join(NAME));
        let read = Arc::new(File {
            texts: [now].into_iter().chain(before).collect(),
        });
        below.insert(folder.to_owned(), Arc::clone(&read));
        read
    }
}

/// The gitignore file of one folder.
#[derive(Debug)]
pub(crate) struct File {
    /// The present one, and behind it those that were opened, the oldest first.
    texts: Vec<Gitignore>,
}

impl File {
    fn is_empty(&self) -> bool {
        self.texts.len() == 1 && self.texts[0].is_empty()
    }
}

/// What the rules come to in one folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Level {
    /// From the top down, each with the length of its folder's path and slash.
    files: Vec<(usize, Arc<File>)>,
    included: bool,
    out: Option<Why>,
}

/// What they come to for one path in it.
#[derive(Debug)]
pub(crate) struct Judged {
    included: bool,
    /// It, or a folder above it, is named.
    out: Option<Why>,
}

impl Judged {
    /// Why this path, of which it was said, is not mirrored.
    pub(crate) fn why(&self, rules: &Rules, path: &RelPath) -> Option<Why> {
        if is_conflict_copy(path.name()) {
            return Some(Why::ConflictCopy);
        }
        match &self.out {
            Some(Why::Gitignore { .. } | Why::Before { .. }) if rules.is_kept(path) => None,
            out => out.clone(),
        }
    }
}

impl Level {
    pub(crate) fn judge(&self, rules: &Rules, path: &RelPath, is_dir: bool) -> Judged {
        rules.judge(self, path.as_str(), is_dir)
    }

    /// One folder down, of which this was said.
    pub(crate) fn enter(&self, judged: Judged) -> Self {
        Self {
            files: self.files.clone(),
            included: judged.included,
            out: judged.out,
        }
    }

    /// With the folder's own gitignore file; `cut` is the length of the folder's path and its slash.
    pub(crate) fn with(mut self, file: Arc<File>, cut: usize) -> Self {
        if !file.is_empty() {
            self.files.push((cut, file));
        }
        self
    }
}

/// `Some(None)`: a line says it is not ignored, and that is the end of it.
fn verdict(file: &Gitignore, full: &Path, is_dir: bool) -> Option<Option<Why>> {
    match file.matched(full, is_dir) {
        Match::None => None,
        Match::Whitelist(_) => Some(None),
        Match::Ignore(glob) => Some(Some(Why::Gitignore {
            file: glob.from().map(Path::to_owned).unwrap_or_default(),
            pattern: glob.original().to_owned(),
        })),
    }
}

/// `NAME.remote-<mark>-<seq>` and `NAME.late-<mark>-<seq>`, and the name of a late save in the sandbox: exactly what is made.
pub fn is_conflict_copy(name: &str) -> bool {
    let Some((_, tail)) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else {
        return false;
    };
    if tail == "late-sandbox-0" {
        return true;
    }
    let of = tail.strip_prefix("remote-").or(tail.strip_prefix("late-"));
    let Some((mark, seq)) = of.and_then(|of| of.split_once('-')) else {
        return false;
    };
    is_mark(mark) && seq.bytes().all(|b| b.is_ascii_digit()) && seq.parse::<u64>().is_ok()
}

/// What stands for a run in the name of a copy: the first eight digits of a UUID.
pub(crate) fn is_mark(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn patterns(root: &Path, list: &'static str, lines: &[String]) -> Result<Gitignore, BadPattern> {
    let mut builder = GitignoreBuilder::new(root);
    let bad = |pattern: &str, source| BadPattern {
        list,
        pattern: pattern.to_owned(),
        source,
    };
    for line in lines {
        builder
            .add_line(None, line)
            .map_err(|source| bad(line, source))?;
    }
    builder.build().map_err(|source| bad("", source))
}

/// The parts of an anchored pattern before its first wild one.
fn place(pattern: &str) -> Option<Vec<String>> {
    let bare = pattern.trim_end_matches('/');
    if !bare.contains('/') {
        return None;
    }
    let wild = |part: &&str| !part.contains(['*', '?', '[', '\\', '{']);
    let parts = bare.trim_start_matches('/').split('/');
    Some(parts.take_while(wild).map(str::to_owned).collect())
}

/// The text of a gitignore file that counts as one.
pub(super) fn text_of(file: &Path) -> Option<String> {
    let mut file = is_plain(file).then(|| ground::open(file).ok())??;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn is_plain(file: &Path) -> bool {
    ground::stat(file).is_ok_and(|stat| stat.is_file() && stat.size <= LONGEST_FILE)
}

fn parse(base: &Path, text: &str) -> Gitignore {
    let mut builder = GitignoreBuilder::new(base);
    for line in text.lines() {
        if let Err(error) = builder.add_line(Some(base.join(NAME)), line) {
            tracing::debug!(%error, "a line that is no pattern");
        }
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

fn read(base: &Path, file: &Path) -> Gitignore {
    if !is_plain(file) {
        return Gitignore::empty();
    }
    let mut builder = GitignoreBuilder::new(base);
    // A line that is no pattern is passed over, as git does; so is a file that cannot be read.
    if let Some(error) = builder.add(file) {
        tracing::debug!(%error, file = %file.display(), "a gitignore file has lines that are no patterns");
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

fn above(root: &Path) -> Vec<Gitignore> {
    let mut found = Vec::new();
    if let Some(top) = root
        .ancestors()
        .find(|at| ground::stat(&at.join(".git")).is_ok())
    {
        let between = root
            .ancestors()
            .skip(1)
            .take_while(|at| at.starts_with(top));
        found.extend(between.map(|at| read(at, &at.join(".gitignore"))));
        let exclude = exclude::file_of(top).unwrap_or_else(|| top.join(".git/info/exclude"));
        found.push(read(top, &exclude));
        found.push(GitignoreBuilder::new(top).build_global().0);
    }
    found.retain(|file| !file.is_empty());
    found
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]
mod tests {
    use super::*;

    fn rules(
        files: &[(&str, &str)],
        ignore: &[&str],
        include: &[&str],
    ) -> (tempfile::TempDir, Rules) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let at = dir.path().join(name);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(at, text).unwrap();
        }
        let own = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        let rules = Rules::new(dir.path(), &own(ignore), &own(include)).unwrap();
        (dir, rules)
    }

    fn ignored(rules: &Rules, path: &str) -> bool {
        rules.why(&path.parse().unwrap(), false).is_some()
    }

    #[test]
    fn gitignore_files_count_from_the_deepest_up_and_a_folder_takes_all_below_it() {
        let (_dir, rules) = rules(
            &[
                (".gitignore", "*.log\n/target/\n"),
                ("sub/.gitignore", "!keep.log\nonly-here\n"),
            ],
            &[],
            &[],
        );
        for (path, want) in [
            ("a.log", true),
            ("sub/a.log", true),
            ("sub/keep.log", false),
            ("sub/only-here", true),
            ("only-here", false),
            ("target/debug/x", true),
            ("sub/target/x", false),
            ("src/a.rs", false),
        ] {
            assert_eq!(ignored(&rules, path), want, "{path}");
        }
    }

    #[test]
    fn the_reason_names_the_file_and_the_pattern() {
        let (dir, rules) = rules(&[(".gitignore", "*.log\n")], &["big/"], &[]);
        let why = |path: &str| rules.why(&path.parse().unwrap(), false).unwrap();
        assert_eq!(
            why("x/a.log"),
            Why::Gitignore {
                file: dir.path().join(".gitignore"),
                pattern: "*.log".to_owned()
            }
        );
        assert_eq!(why("big/a").to_string(), "ignored by `big/` in the config");
    }

    #[test]
    fn an_include_wins_over_gitignore_but_not_over_a_conflict_copy() {
        let (_dir, rules) = rules(
            &[(".gitignore", ".env\nbuild/\n*.remote-*\n")],
            &[],
            &[".env", "build/keep/**", "*"],
        );
        assert!(!ignored(&rules, ".env"));
        assert!(!ignored(&rules, "build/keep/a"));
        assert!(ignored(&rules, "a.rs.remote-7d0c2f9e-12"));
        assert!(rules.leads_to_an_include(&"build".parse().unwrap()));
        assert!(!rules.leads_to_an_include(&"other".parse().unwrap()));
    }

    #[test]
    fn what_is_kept_no_gitignore_puts_out_but_the_config_does() {
        let (_dir, rules) = rules(&[(".gitignore", "build/\n*.log\n")], &["own.log"], &[]);
        let paths = [
            "build/deep/kept",
            "a.log",
            "own.log",
            "b.log.remote-7d0c2f9e-1",
        ];
        let paths = paths.map(|path| path.parse::<RelPath>().unwrap());
        rules.keep(&paths);
        let out: Vec<bool> = paths
            .iter()
            .map(|path| rules.why(path, false).is_some())
            .collect();
        assert_eq!(out, [false, false, true, true]);
        assert!(ignored(&rules, "build/deep/other") && ignored(&rules, "b.log"));
        for (folder, leads) in [
            ("build", true),
            ("build/deep", true),
            ("buil", false),
            ("build/dee", false),
        ] {
            assert_eq!(
                rules.leads_to_an_include(&folder.parse().unwrap()),
                leads,
                "{folder}"
            );
        }
    }

    #[test]
    fn a_changed_gitignore_counts_after_forget() {
        let (dir, rules) = rules(&[(".gitignore", "a\n")], &[], &[]);
        assert!(ignored(&rules, "a"));
        std::fs::write(dir.path().join(".gitignore"), "b\n").unwrap();
        rules.forget();
        assert!(!ignored(&rules, "a"));
        assert!(ignored(&rules, "b"));
    }

    #[test]
    fn a_root_inside_a_repository_obeys_the_files_above_it() {
        let (dir, _) = rules(
            &[
                (".git/HEAD", "x"),
                (".gitignore", "*.o\n/sub/gone\n"),
                ("sub/a", ""),
            ],
            &[],
            &[],
        );
        let rules = Rules::new(&dir.path().join("sub"), &[], &[]).unwrap();
        assert!(ignored(&rules, "x.o"));
        assert!(ignored(&rules, "gone"));
        assert!(!ignored(&rules, "a"));
    }

    #[test]
    fn only_the_exact_form_is_a_conflict_copy() {
        for (name, want) in [
            ("a.remote-12345678-9", true),
            ("a.remote-x.late-12345678-9", true),
            ("a.late-x.remote-12345678-9", true),
            ("a.late-sandbox-0", true),
            ("a.late-sandbox-1", false),
            ("a.remote-sandbox-0", false),
            ("x.late-notes", false),
            ("x.late-notes-1", false),
            ("x.remote-eu-1", false),
            ("a.b.remote-x_-_-0", false),
            ("a.remote-1234567A-9", false),
            ("a.remote-12345678-+9", false),
            ("a.remote-123456789-9", false),
            ("a.remote-1234-", false),
            ("a.remote-x-1.txt", false),
            ("remote-x-1", false),
        ] {
            assert_eq!(is_conflict_copy(name), want, "{name}");
        }
    }
}

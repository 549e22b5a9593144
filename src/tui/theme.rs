//! Roles to styles: the only file that knows colours.
//!
//! Pure. The rest of the screen asks for a [`Role`]; a theme file says what that looks like, and the depth of the
//! terminal says how much of it can be shown.

use ratatui::style::{Color, Modifier, Style};

use crate::tui::tty::report::Scheme;

/// What a piece of text is, not how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Text,
    Dim,
    Accent,
    User,
    Agent,
    Thought,
    Tool,
    Added,
    Removed,
    Success,
    Warning,
    Error,
    Selection,
    Border,
    Link,
    Heading,
    Code,
    Keyword,
    String,
    Comment,
    Number,
    Name,
    /// What is looked for, and the one of them that is looked at.
    Match,
    Here,
}

impl Role {
    /// Every role with its word in a theme file, in the order of the enum.
    pub const ALL: [(Role, &'static str); 24] = [
        (Self::Text, "text"),
        (Self::Dim, "dim"),
        (Self::Accent, "accent"),
        (Self::User, "user"),
        (Self::Agent, "agent"),
        (Self::Thought, "thought"),
        (Self::Tool, "tool"),
        (Self::Added, "added"),
        (Self::Removed, "removed"),
        (Self::Success, "success"),
        (Self::Warning, "warning"),
        (Self::Error, "error"),
        (Self::Selection, "selection"),
        (Self::Border, "border"),
        (Self::Link, "link"),
        (Self::Heading, "heading"),
        (Self::Code, "code"),
        (Self::Keyword, "keyword"),
        (Self::String, "string"),
        (Self::Comment, "comment"),
        (Self::Number, "number"),
        (Self::Name, "name"),
        (Self::Match, "match"),
        (Self::Here, "here"),
    ];
}

/// How many colours the terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Depth {
    /// `NO_COLOR`: bold, dim and reverse only.
    None,
    #[default]
    Sixteen,
    Many,
    True,
}

/// A style for every role.
#[derive(Debug, Clone, PartialEq)]
pub struct Theme {
    pub name: String,
    /// The grounds that it can be read on.
    pub grounds: Vec<[u8; 3]>,
    styles: [Style; Role::ALL.len()],
    depth: Depth,
}

/// A colour as the output of a command names it: a number from 0 to 255, or its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shade {
    Number(u8),
    Rgb(u8, u8, u8),
}

/// Which theme is shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    One(Box<Theme>),
    /// As the terminal's ground is; dark when that is unknown.
    ByScheme {
        dark: Box<Theme>,
        light: Box<Theme>,
    },
}

impl Choice {
    /// The word of the config for choosing by the terminal's ground.
    pub const AUTO: &'static str = "auto";

    /// Ashore's own two.
    pub fn auto(depth: Depth) -> Self {
        Self::ByScheme {
            dark: Box::new(Theme::built_in("dark", depth)),
            light: Box::new(Theme::built_in("light", depth)),
        }
    }

    pub fn pick(&self, scheme: Option<Scheme>) -> &Theme {
        match (self, scheme) {
            (Self::One(theme), _) => theme,
            (Self::ByScheme { light, .. }, Some(Scheme::Light)) => light,
            (Self::ByScheme { dark, .. }, Some(Scheme::Dark) | None) => dark,
        }
    }
}

/// What is wrong with a theme file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTheme {
    #[error("the theme is not TOML: {0}")]
    Toml(String),
    #[error("the theme has no table [roles]")]
    NoRoles,
    #[error("`grounds` is a list of colours such as \"#1e1e2e\" or \"black\"")]
    Grounds,
    #[error("the theme does not say what `{0}` looks like")]
    Missing(&'static str),
    #[error("the theme names a role that does not exist: `{0}`")]
    Unknown(String),
    #[error("`{role}` has a word that is no colour and no style: `{word}`")]
    Word { role: String, word: String },
}

/// The themes that are part of the program: name and file.
pub const BUILT_IN: [(&str, &str); 9] = [
    ("dark", include_str!("../../themes/dark.toml")),
    ("light", include_str!("../../themes/light.toml")),
    ("ansi", include_str!("../../themes/ansi.toml")),
    (
        "high-contrast",
        include_str!("../../themes/high-contrast.toml"),
    ),
    (
        "colour-blind",
        include_str!("../../themes/colour-blind.toml"),
    ),
    ("dracula", include_str!("../../themes/dracula.toml")),
    ("gruvbox", include_str!("../../themes/gruvbox.toml")),
    (
        "solarized-light",
        include_str!("../../themes/solarized-light.toml"),
    ),
    ("catppuccin", include_str!("../../themes/catppuccin.toml")),
];

impl Theme {
    /// A built-in theme; the dark one when there is none of this name.
    pub fn built_in(name: &str, depth: Depth) -> Self {
        let file = BUILT_IN
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(BUILT_IN[0].1, |(_, file)| file);
        Self::parse(file, depth).expect("a test parses every built-in theme")
    }

    /// Reads a theme file and brings it down to what the terminal shows.
    pub fn parse(file: &str, depth: Depth) -> Result<Self, BadTheme> {
        let table: toml::Table = file
            .parse()
            .map_err(|error: toml::de::Error| BadTheme::Toml(error.message().to_owned()))?;
        let roles = table
            .get("roles")
            .and_then(toml::Value::as_table)
            .ok_or(BadTheme::NoRoles)?;
        if let Some(name) = roles
            .keys()
            .find(|name| Role::ALL.iter().all(|(_, word)| word != name))
        {
            return Err(BadTheme::Unknown(name.clone()));
        }
        let mut styles = [Style::default(); Role::ALL.len()];
        for (style, (_, word)) in styles.iter_mut().zip(Role::ALL) {
            let text = roles.get(word).and_then(toml::Value::as_str);
            *style = style_of(word, text.ok_or(BadTheme::Missing(word))?, depth)?;
        }
        let name = table.get("name").and_then(toml::Value::as_str);
        Ok(Self {
            name: name.unwrap_or("unnamed").to_owned(),
            grounds: grounds(&table)?,
            styles,
            depth,
        })
    }

    /// The scheme that it is made for; `None` when it is made for both, or does not say.
    pub fn scheme(&self) -> Option<Scheme> {
        let mut schemes = self.grounds.iter().map(|ground| Scheme::of_ground(*ground));
        let first = schemes.next()?;
        schemes.all(|other| other == first).then_some(first)
    }

    /// What of it the terminal shows.
    pub(crate) fn shade(&self, shade: Shade) -> Option<Color> {
        let colour = match shade {
            Shade::Number(number) => Color::Indexed(number),
            Shade::Rgb(red, green, blue) => Color::Rgb(red, green, blue),
        };
        reduce(colour, self.depth)
    }

    pub fn style(&self, role: Role) -> Style {
        self.styles[role as usize]
    }
}

/// As the file names them; a theme of a user need not.
fn grounds(table: &toml::Table) -> Result<Vec<[u8; 3]>, BadTheme> {
    let Some(value) = table.get("grounds") else {
        return Ok(Vec::new());
    };
    let list = value.as_array().ok_or(BadTheme::Grounds)?;
    let shown = |value: &toml::Value| shown(colour(value.as_str()?)?);
    let all: Option<Vec<_>> = list.iter().map(shown).collect();
    all.ok_or(BadTheme::Grounds)
}

/// What a colour looks like; the sixteen as xterm shows them.
fn shown(colour: Color) -> Option<[u8; 3]> {
    match colour {
        Color::Rgb(red, green, blue) => Some([red, green, blue]),
        Color::Indexed(index) => Some(indexed(index)),
        named => {
            let found = NAMES.iter().find(|(_, known, _)| *known == named);
            found.map(|(_, _, shown)| *shown)
        }
    }
}

fn style_of(role: &str, text: &str, depth: Depth) -> Result<Style, BadTheme> {
    let bad = |word: &str| BadTheme::Word {
        role: role.to_owned(),
        word: word.to_owned(),
    };
    let mut style = Style::default();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        style = match word {
            "default" => style,
            "bold" => style.add_modifier(Modifier::BOLD),
            "dim" => style.add_modifier(Modifier::DIM),
            "italic" => style.add_modifier(Modifier::ITALIC),
            "underline" => style.add_modifier(Modifier::UNDERLINED),
            "reverse" => style.add_modifier(Modifier::REVERSED),
            "on" => {
                let word = words.next().ok_or_else(|| bad("on"))?;
                match reduce(colour(word).ok_or_else(|| bad(word))?, depth) {
                    Some(colour) => style.bg(colour),
                    None => style,
                }
            }
            _ => match reduce(colour(word).ok_or_else(|| bad(word))?, depth) {
                Some(colour) => style.fg(colour),
                // Without colours, what was set back must stay set back.
                None if word == "bright-black" => style.add_modifier(Modifier::DIM),
                None => style,
            },
        };
    }
    Ok(style)
}

fn colour(word: &str) -> Option<Color> {
    if let Some((_, colour, _)) = NAMES.iter().find(|(name, ..)| *name == word) {
        return Some(*colour);
    }
    if let Some(hex) = word.strip_prefix('#') {
        let value = u32::from_str_radix(hex, 16).ok()?;
        let [_, red, green, blue] = value.to_be_bytes();
        return (hex.len() == 6).then_some(Color::Rgb(red, green, blue));
    }
    word.parse().ok().map(Color::Indexed)
}

/// The sixteen, with what they usually look like.
const NAMES: [(&str, Color, [u8; 3]); 16] = [
    ("black", Color::Black, [0, 0, 0]),
    ("red", Color::Red, [205, 0, 0]),
    ("green", Color::Green, [0, 205, 0]),
    ("yellow", Color::Yellow, [205, 205, 0]),
    ("blue", Color::Blue, [0, 0, 238]),
    ("magenta", Color::Magenta, [205, 0, 205]),
    ("cyan", Color::Cyan, [0, 205, 205]),
    ("white", Color::Gray, [229, 229, 229]),
    ("bright-black", Color::DarkGray, [127, 127, 127]),
    ("bright-red", Color::LightRed, [255, 0, 0]),
    ("bright-green", Color::LightGreen, [0, 255, 0]),
    ("bright-yellow", Color::LightYellow, [255, 255, 0]),
    ("bright-blue", Color::LightBlue, [92, 92, 255]),
    ("bright-magenta", Color::LightMagenta, [255, 0, 255]),
    ("bright-cyan", Color::LightCyan, [0, 255, 255]),
    ("bright-white", Color::White, [255, 255, 255]),
];

/// The nearest colour the terminal has.
fn reduce(colour: Color, depth: Depth) -> Option<Color> {
    match (depth, colour) {
        (Depth::None, _) => None,
        (Depth::Many, Color::Rgb(red, green, blue)) => {
            let step = |value: u8| (u16::from(value) * 5 + 127) / 255;
            let index = 16 + 36 * step(red) + 6 * step(green) + step(blue);
            Some(Color::Indexed(u8::try_from(index).unwrap_or(15)))
        }
        (Depth::Sixteen, Color::Rgb(red, green, blue)) => Some(nearest([red, green, blue])),
        (Depth::Sixteen, Color::Indexed(index)) => Some(nearest(indexed(index))),
        _ => Some(colour),
    }
}

/// A tint of grey goes by brightness, a colour by its hue: by numbers alone a pale red is nearer to grey than to red,
/// and a pale green to yellow.
fn nearest(wanted: [u8; 3]) -> Color {
    let levels = wanted.map(i32::from);
    let most = levels.into_iter().max().unwrap_or(0);
    let spread = most - levels.into_iter().min().unwrap_or(0);
    // Saturated by more than 28 in a hundred.
    if spread * 25 > most * 7 {
        let names = HUES[hue(levels, most, spread)];
        return names[usize::from(most >= BRIGHT)];
    }
    let distance = |shown: &[u8; 3]| -> u32 {
        let levels = wanted.iter().zip(shown);
        levels.map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum()
    };
    let greys = NAMES
        .iter()
        .filter(|(_, _, shown)| shown[0] == shown[1] && shown[1] == shown[2]);
    greys
        .min_by_key(|(_, _, shown)| distance(shown))
        .map_or(Color::Reset, |(_, colour, _)| *colour)
}

/// The strongest of its levels is at least this in a bright colour.
const BRIGHT: i32 = 220;

/// The sixteen's colours around the circle, from red on, with their bright ones.
const HUES: [[Color; 2]; 6] = [
    [Color::Red, Color::LightRed],
    [Color::Yellow, Color::LightYellow],
    [Color::Green, Color::LightGreen],
    [Color::Cyan, Color::LightCyan],
    [Color::Blue, Color::LightBlue],
    [Color::Magenta, Color::LightMagenta],
];

/// Which sixth of the circle, red in the middle of the first.
fn hue([red, green, blue]: [i32; 3], most: i32, spread: i32) -> usize {
    let degrees = match most {
        _ if most == red => (60 * (green - blue) / spread).rem_euclid(360),
        _ if most == green => 120 + 60 * (blue - red) / spread,
        _ => 240 + 60 * (red - green) / spread,
    };
    usize::try_from((degrees + 30) / 60 % 6).unwrap_or(0)
}

/// What xterm shows for a colour number.
fn indexed(index: u8) -> [u8; 3] {
    match index {
        0..=15 => NAMES[usize::from(index)].2,
        16..=231 => {
            let value = index - 16;
            let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            [level(value / 36), level(value / 6 % 6), level(value % 6)]
        }
        232..=255 => [8 + 10 * (index - 232); 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_in_themes_parses_and_names_every_role() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/themes");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let theme = Theme::parse(&std::fs::read_to_string(&path).unwrap(), Depth::True);
            let theme = theme.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(
                Some(theme.name.as_str()),
                path.file_stem().unwrap().to_str()
            );
            assert!(BUILT_IN.iter().any(|(name, _)| *name == theme.name));
            seen += 1;
        }
        assert_eq!(seen, BUILT_IN.len());
    }

    #[test]
    fn the_roles_stand_in_the_order_of_the_table() {
        for (index, (role, _)) in Role::ALL.iter().enumerate() {
            assert_eq!(*role as usize, index);
        }
    }

    #[test]
    fn without_colours_no_colour_is_left() {
        for (name, _) in BUILT_IN {
            let theme = Theme::built_in(name, Depth::None);
            for (role, _) in Role::ALL {
                assert_eq!(theme.style(role).fg, None);
                assert_eq!(theme.style(role).bg, None);
            }
        }
    }

    #[test]
    fn a_colour_comes_down_to_what_the_terminal_has() {
        let table = [
            ("#ff0000", Depth::Sixteen, Some(Color::LightRed)),
            ("196", Depth::Sixteen, Some(Color::LightRed)),
            ("#ff0000", Depth::Many, Some(Color::Indexed(196))),
            ("#ff0000", Depth::True, Some(Color::Rgb(255, 0, 0))),
            ("#ff0000", Depth::None, None),
            ("#ff6e6e", Depth::Sixteen, Some(Color::LightRed)),
            ("#ebdbb2", Depth::Sixteen, Some(Color::Gray)),
            ("#9399b2", Depth::Sixteen, Some(Color::DarkGray)),
            ("#a6e3a1", Depth::Sixteen, Some(Color::LightGreen)),
            ("#ffb86c", Depth::Sixteen, Some(Color::LightYellow)),
            ("#ff79c6", Depth::Sixteen, Some(Color::LightMagenta)),
            ("#89dceb", Depth::Sixteen, Some(Color::LightCyan)),
            ("#5b60b0", Depth::Sixteen, Some(Color::Blue)),
        ];
        for (word, depth, shown) in table {
            assert_eq!(style_of("text", word, depth).unwrap().fg, shown, "{word}");
        }
    }

    /// Relative luminance, WCAG 2.2.
    fn luminance(colour: [u8; 3]) -> f64 {
        let [red, green, blue] = colour.map(|level| {
            let level = f64::from(level) / 255.0;
            if level <= 0.040_45 {
                level / 12.92
            } else {
                ((level + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// At least this much between letters and ground: AA for what is read, 3 for what stands back and for lines, and
    /// for the one theme that has to do on every ground; AAA where contrast is what a theme is for.
    fn wanted(theme: &Theme, role: Role) -> f64 {
        let back = matches!(
            role,
            Role::Dim | Role::Thought | Role::Comment | Role::Border
        );
        match theme.name.as_str() {
            "high-contrast" => 7.0,
            "ansi" => 3.0,
            _ if back => 3.0,
            _ => 4.5,
        }
    }

    #[test]
    fn contrast_is_measured_as_wcag_does() {
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 0.01);
        assert!((contrast([0x77; 3], [255; 3]) - 4.48).abs() < 0.01);
    }

    #[test]
    fn every_theme_can_be_read_on_its_grounds() {
        for (name, _) in BUILT_IN {
            let theme = Theme::built_in(name, Depth::True);
            assert!(!theme.grounds.is_empty(), "{name}");
            for ground in &theme.grounds {
                // What a terminal writes with by itself is the other end.
                let own = match Scheme::of_ground(*ground) {
                    Scheme::Dark => [255; 3],
                    Scheme::Light => [0; 3],
                };
                for (role, word) in Role::ALL {
                    let style = theme.style(role);
                    assert!(!style.add_modifier.contains(Modifier::DIM), "{name} {word}");
                    let letters = style.fg.map_or(own, |colour| shown(colour).unwrap());
                    let behind = style.bg.map_or(*ground, |colour| shown(colour).unwrap());
                    let found = contrast(letters, behind);
                    let wanted = wanted(&theme, role);
                    assert!(found >= wanted, "{name} {word}: {found:.2} < {wanted}");
                }
            }
        }
    }

    #[test]
    fn each_theme_knows_what_it_is_for_and_nothing_is_told_by_colour_alone_that_some_do_not_see() {
        let table = [
            ("dark", Some(Scheme::Dark)),
            ("light", Some(Scheme::Light)),
            ("ansi", None),
            ("high-contrast", Some(Scheme::Dark)),
            ("colour-blind", Some(Scheme::Dark)),
            ("dracula", Some(Scheme::Dark)),
            ("gruvbox", Some(Scheme::Dark)),
            ("solarized-light", Some(Scheme::Light)),
            ("catppuccin", Some(Scheme::Dark)),
        ];
        assert_eq!(table.map(|(name, _)| name), BUILT_IN.map(|(name, _)| name));
        for (name, scheme) in table {
            assert_eq!(
                Theme::built_in(name, Depth::True).scheme(),
                scheme,
                "{name}"
            );
        }
        // The terminal's own sixteen and no other.
        for name in ["dark", "light", "ansi"] {
            let theme = Theme::built_in(name, Depth::True);
            for (role, word) in Role::ALL {
                let style = theme.style(role);
                for colour in [style.fg, style.bg].into_iter().flatten() {
                    assert!(
                        NAMES.iter().any(|(_, known, _)| *known == colour),
                        "{name} {word}"
                    );
                }
            }
        }
        // Without red and green, seen by blue and brightness: good and bad still differ.
        let theme = Theme::built_in("colour-blind", Depth::True);
        for (good, bad) in [(Role::Added, Role::Removed), (Role::Success, Role::Error)] {
            let [good, bad] = [good, bad].map(|role| shown(theme.style(role).fg.unwrap()).unwrap());
            assert!(good[2].abs_diff(bad[2]) > 128, "{good:?} {bad:?}");
        }
    }

    #[test]
    fn what_was_added_and_what_was_removed_differ_however_few_colours_there_are() {
        for (name, _) in BUILT_IN {
            for depth in [Depth::Sixteen, Depth::Many, Depth::True] {
                let theme = Theme::built_in(name, depth);
                for (good, bad) in [(Role::Added, Role::Removed), (Role::Success, Role::Error)] {
                    let [good, bad] = [good, bad].map(|role| theme.style(role).fg);
                    assert_ne!(good, bad, "{name} {depth:?}");
                }
            }
        }
    }

    #[test]
    fn a_bad_theme_is_refused_with_a_sentence() {
        let whole = BUILT_IN[0].1;
        let table = [
            ("name = ", "the theme is not TOML: "),
            ("name = 'x'", "the theme has no table [roles]"),
            (
                "[roles]\ntext = 'red'",
                "the theme does not say what `dim` looks like",
            ),
            (
                &whole.replace("[\"black\"]", "[\"blakc\"]"),
                "`grounds` is a list of colours",
            ),
            (
                &whole.replace("dim =", "dimm ="),
                "the theme names a role that does not exist: `dimm`",
            ),
            (
                &whole.replace("\"reverse\"", "\"revers\""),
                "`selection` has a word that is no colour and no style: `revers`",
            ),
        ];
        for (file, sentence) in table {
            let error = Theme::parse(file, Depth::True).unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
    }
}

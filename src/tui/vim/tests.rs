//! What vim's keys do to a draft.

use proptest::prelude::*;

use super::*;

/// A draft with `|` where the cursor stands.
fn draft(text: &str) -> (Vim, Composer) {
    let at = text.find('|').expect("a cursor");
    let mut composer = Composer::new(text.replace('|', ""), Vec::new());
    composer.go(at);
    let vim = Vim {
        mode: Mode::Normal,
        ..Vim::default()
    };
    (vim, composer)
}

fn shown(composer: &Composer) -> String {
    let mut text = composer.text().to_owned();
    text.insert(composer.cursor(), '|');
    text
}

/// As hands do it: in insert mode characters are written, and ^ is Esc.
fn type_keys(vim: &mut Vim, composer: &mut Composer, keys: &str) {
    for key in keys.chars() {
        match (key, vim.mode) {
            ('␛', _) => {
                vim.escape(composer);
            }
            (_, Mode::Normal) => {
                vim.press(composer, key);
            }
            (_, Mode::Insert) => {
                composer.insert(&key.to_string());
            }
        }
    }
}

/// Before, keys, after.
const TABLE: &[(&str, &str, &str)] = &[
    ("|one two three", "w", "one |two three"),
    ("|one two three", "2w", "one two |three"),
    ("one two thr|ee", "b", "one two |three"),
    ("|one.two three", "W", "one.two |three"),
    ("|one.two", "w", "one|.two"),
    ("|one two", "e", "on|e two"),
    ("on|e two", "e", "one tw|o"),
    ("  one tw|o", "0", "|  one two"),
    ("  one tw|o", "^", "  |one two"),
    ("|one two", "$", "one tw|o"),
    ("|one two", "fo", "one tw|o"),
    ("|one two", "ft", "one |two"),
    ("|one two", "tw", "one |two"),
    ("one tw|o", "Fn", "o|ne two"),
    ("|a,b,c,d", "f,;", "a,b|,c,d"),
    ("|a,b,c,d", "2f,,", "a|,b,c,d"),
    ("|one two three", "dw", "|two three"),
    ("|one two three", "d2w", "|three"),
    ("|one two three", "2dw", "|three"),
    ("one |two", "dw", "one| "),
    ("one |two\nx", "dw", "one| \nx"),
    ("|one two", "cwsix␛", "si|x two"),
    ("one t|wo three", "diw", "one | three"),
    ("one t|wo three", "daw", "one |three"),
    ("one t|wo three", "ciw2␛", "one |2 three"),
    ("one two t|hree", "db", "one two |hree"),
    ("one t|wo", "D", "one |t"),
    ("one t|wo", "C!␛", "one t|!"),
    ("|one two", "dtt", "|two"),
    ("|one two", "dft", "|wo"),
    ("a\n|b\nc", "dd", "a\n|c"),
    ("a\nb\n|c", "dd", "a\n|b"),
    ("|a\nb\nc", "2dd", "|c"),
    ("|a\nb\nc", "dj", "|c"),
    ("a\nb\n|c", "dgg", "|"),
    ("a\n|b\nc", "dG", "|a"),
    ("a\n|b\nc", "ddp", "a\nc\n|b"),
    ("a\n|b\nc", "yyP", "a\n|b\nb\nc"),
    ("|one two", "ywP", "one| one two"),
    ("|abc", "xp", "b|ac"),
    ("|abc", "2x", "|c"),
    ("ab|c", "X", "a|c"),
    ("|abc", "rx", "|xbc"),
    ("|abc", "3rx", "xx|x"),
    ("|abc", "4rx", "|abc"),
    ("|aBc", "3~", "Ab|C"),
    ("|one", "aX␛", "o|Xne"),
    ("on|e", "AX␛", "one|X"),
    ("  on|e", "IX␛", "  |Xone"),
    ("a|b\nc", "ox␛", "ab\n|x\nc"),
    ("ab\n|c", "Ox␛", "ab\n|x\nc"),
    ("|one", "sX␛", "|Xne"),
    ("o|ne", "Sx␛", "|x"),
    ("|a\n  b", "J", "a| b"),
    ("|one two", "dwu", "|one two"),
    ("a\nb|c", "k", "|a\nbc"),
    ("|ab\nc", "j", "ab\n|c"),
    ("a\n|b", "gg", "|a\nb"),
    ("|a\nb", "G", "a\n|b"),
    ("|漢字 x", "x", "|字 x"),
    ("|one", "d␛x", "|ne"),
    ("|one", "dz", "|one"),
];

#[test]
fn the_keys_do_what_they_do_in_vim() {
    for (before, keys, after) in TABLE {
        let (mut vim, mut composer) = draft(before);
        type_keys(&mut vim, &mut composer, keys);
        assert_eq!(shown(&composer), *after, "{keys} from {before:?}");
    }
}

#[test]
fn a_large_paste_is_a_word_and_goes_whole() {
    let paste = "line\n".repeat(40);
    let (mut vim, mut composer) = draft("a |");
    composer.paste(&paste);
    composer.insert(" b");
    type_keys(&mut vim, &mut composer, "0wdw");
    assert_eq!(composer.text(), "a b");
    type_keys(&mut vim, &mut composer, "P");
    assert_eq!(composer.text(), format!("a {paste} b"));
    assert_eq!(composer.units().filter(|unit| unit.is_token).count(), 1);
}

proptest! {
    #[test]
    fn whatever_is_pressed_the_cursor_stands_on_a_character_of_the_draft(
        keys in "[hjklwWbBeE0^$fFtT;,gGdcyDCYxXsSr~pPuJiIaAoO1-9\u{1b} z漢\u{301}]{0,40}",
        text in "[ab_. 漢\n]{0,20}",
    ) {
        let mut composer = Composer::new(text, Vec::new());
        composer.paste(&"x\n".repeat(20));
        composer.go(0);
        let mut vim = Vim { mode: Mode::Normal, ..Vim::default() };
        type_keys(&mut vim, &mut composer, &keys.replace('\u{1b}', "␛"));
        let (at, text) = (composer.cursor(), composer.text());
        prop_assert!(at == text.len() || composer.units().any(|unit| unit.at == at));
        vim.escape(&mut composer);
        let at = composer.cursor();
        let ends = at == composer.line_end_of(at) && at > composer.line_start_of(at);
        prop_assert!(!ends, "{:?} at {at}", composer.text());
    }
}

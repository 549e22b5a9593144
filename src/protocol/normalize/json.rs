//! Parses JSON that a careless writer has cut in the middle of a character.
//!
//! Pure. Repairs unpaired surrogate escapes and nothing else.

use serde_json::Value;

/// `None` when it is no JSON even after the repair.
pub(super) fn parse(text: &str) -> Option<Value> {
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(_) => serde_json::from_str(&repaired(text)?).ok(),
    }
}

/// The text with every unpaired `\uD800`–`\uDFFF` escape replaced; `None` when it has none.
fn repaired(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut changed = false;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match unit(rest) {
            Some(0xD800..=0xDBFF)
                if matches!(rest.get(6..).and_then(unit), Some(0xDC00..=0xDFFF)) =>
            {
                12
            }
            Some(0xD800..=0xDFFF) => {
                out.push_str("\\ufffd");
                changed = true;
                rest = &rest[6..];
                continue;
            }
            Some(_) => 6,
            // The backslash and what it escapes, so that `\\u` is not read as an escape of a unit.
            None => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out.push_str(rest);
    changed.then_some(out)
}

/// The UTF-16 unit of the `\uXXXX` that stands at the start.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let all_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    all_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_character_becomes_the_mark_of_one_and_a_whole_one_stays() {
        for (text, read) in [
            (r#""half \ud83e""#, "half \u{fffd}"),
            (r#""\udd80 rest""#, "\u{fffd} rest"),
            (r#""\ud83e\ud83e\udd80""#, "\u{fffd}🦀"),
            (r#""\ud83ex\\ud83e""#, "\u{fffd}x\\ud83e"),
            (r#""\ud83e\n""#, "\u{fffd}\n"),
            (r#""\uD83Eé\uDD80""#, "\u{fffd}é\u{fffd}"),
        ] {
            assert_eq!(parse(text), Some(Value::from(read)), "{text}");
        }
    }

    #[test]
    fn what_is_broken_otherwise_stays_broken() {
        for text in ["{", r#""\ud83e"#, r#""\u12"#, "\\", r#""\ud83e" x"#, "\\é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

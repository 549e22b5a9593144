//! Cuts a message to the size of a journal line (contract 10.1).
//!
//! Pure. Does not keep what it cuts off: the sender stores the whole message as a blob first.

use serde_json::{Value, json};

/// No string is cut below this many bytes: ids, kinds and paths stay whole.
const SHORTEST: usize = 256;

/// [`crate::protocol::line::fit`] tells what this does.
pub(super) fn fit(mut message: Value, limit: usize) -> (Value, bool) {
    if size(&message) <= limit {
        return (message, false);
    }
    while smallest(&message) > limit {
        if !null_the_largest(&mut message) {
            return (remains(&message, limit), true);
        }
    }
    let longest = common_length(&message, limit);
    cut_strings(&mut message, longest);
    (message, true)
}

/// In bytes, as JSON.
pub(super) fn size(value: &Value) -> usize {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).expect("a counter takes every write");
    counter.0
}

struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What this character takes inside a JSON string.
fn escaped(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

fn escaped_length(text: &str) -> usize {
    text.chars().map(escaped).sum()
}

/// The length of every string value, escaped, without its quotes. Keys are not cut.
fn string_lengths(value: &Value, lengths: &mut Vec<usize>) {
    match value {
        Value::String(text) => lengths.push(escaped_length(text)),
        Value::Array(list) => list.iter().for_each(|one| string_lengths(one, lengths)),
        Value::Object(map) => map.values().for_each(|one| string_lengths(one, lengths)),
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

/// The size when every string were as short as cutting can make it.
fn smallest(message: &Value) -> usize {
    let mut lengths = Vec::new();
    string_lengths(message, &mut lengths);
    let saved: usize = lengths.iter().map(|l| l.saturating_sub(SHORTEST)).sum();
    size(message) - saved
}

/// The greatest common length at which the message fits. Asks that `smallest` fits.
fn common_length(message: &Value, limit: usize) -> usize {
    let mut lengths = Vec::new();
    string_lengths(message, &mut lengths);
    let whole = size(message);
    let fits = |at: usize| {
        let saved: usize = lengths.iter().map(|l| l.saturating_sub(at)).sum();
        whole - saved <= limit
    };
    let (mut low, mut high) = (SHORTEST, whole);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

fn cut_strings(value: &mut Value, longest: usize) {
    match value {
        Value::String(text) => cut(text, longest),
        Value::Array(list) => list.iter_mut().for_each(|one| cut_strings(one, longest)),
        Value::Object(map) => map.values_mut().for_each(|one| cut_strings(one, longest)),
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

/// Cuts between characters and says so with an ellipsis.
fn cut(text: &mut String, longest: usize) {
    const MARK: char = '…';
    if escaped_length(text) <= longest {
        return;
    }
    let mut room = longest - MARK.len_utf8();
    let mut end = 0;
    for c in text.chars() {
        if escaped(c) > room {
            break;
        }
        room -= escaped(c);
        end += c.len_utf8();
    }
    text.truncate(end);
    text.push(MARK);
}

/// Nulls the largest object or array outside the envelope; false when there is none.
fn null_the_largest(message: &mut Value) -> bool {
    let mut largest: Option<(usize, Vec<&str>)> = None;
    for path in [&[][..], &["params"], &["params", "update"], &["result"]] {
        let Some(map) = walk(message, path).and_then(Value::as_object) else {
            continue;
        };
        for (key, child) in map {
            let envelope = matches!(
                (path, key.as_str()),
                ([], "params" | "result") | (["params"], "update")
            );
            let taken = size(child);
            let container = child.is_object() || child.is_array();
            if container && !envelope && largest.as_ref().is_none_or(|(most, _)| taken > *most) {
                let place = path.iter().copied().chain([key.as_str()]).collect();
                largest = Some((taken, place));
            }
        }
    }
    let Some((_, path)) = largest else {
        return false;
    };
    let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
    let place = path
        .iter()
        .try_fold(message, |at, key| at.get_mut(key.as_str()));
    place.map(|place| *place = Value::Null).is_some()
}

fn walk<'a>(message: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(message, |at, key| at.get(*key))
}

/// For a message that is made of nothing but names and small things: its method and id, if they fit.
fn remains(message: &Value, limit: usize) -> Value {
    let mut left = json!({"jsonrpc": "2.0"});
    for key in ["id", "method"] {
        if let Some(value) = message.get(key).filter(|value| size(value) <= SHORTEST) {
            left[key] = value.clone();
        }
    }
    if size(&left) <= limit {
        left
    } else {
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_fits_stays_as_it_is() {
        let message = json!({"method": "m", "params": {"text": "x".repeat(100)}});
        assert_eq!(fit(message.clone(), 1000), (message, false));
    }

    #[test]
    fn the_longest_strings_are_cut_first_and_the_short_ones_stay() {
        let message = json!({"method": "session/update", "params": {"update": {
            "sessionUpdate": "tool_call_update", "toolCallId": "t1",
            "content": [{"type": "diff", "path": "a", "oldText": "é\"".repeat(5000), "newText": "short"}]}}});
        let (cut, was_cut) = fit(message, 4000);
        assert!(
            was_cut && size(&cut) <= 4000 && size(&cut) > 3900,
            "{}",
            size(&cut)
        );
        let diff = &cut["params"]["update"]["content"][0];
        assert_eq!(diff["newText"], "short");
        assert!(diff["oldText"].as_str().is_some_and(|t| t.ends_with('…')));
        assert_eq!(cut["params"]["update"]["toolCallId"], "t1");
    }

    #[test]
    fn a_tree_of_small_things_becomes_null() {
        let message = json!({"method": "session/update", "params": {"update": {
            "sessionUpdate": "tool_call_update", "toolCallId": "t1", "status": "completed",
            "rawOutput": vec![123_456_789; 10_000]}}});
        let (cut, _) = fit(message, 4000);
        assert_eq!(
            cut["params"]["update"],
            json!({"sessionUpdate": "tool_call_update", "toolCallId": "t1", "status": "completed", "rawOutput": null})
        );
    }

    #[test]
    fn names_alone_can_be_too_much_and_still_fit() {
        let mut message = json!({"id": 7, "method": "x"});
        for i in 0..5000 {
            message[format!("{i:0100}")] = json!(i);
        }
        let (cut, was_cut) = fit(message, 1000);
        assert!(was_cut);
        assert_eq!(cut, json!({"jsonrpc": "2.0", "id": 7, "method": "x"}));
    }

    proptest! {
        #[test]
        fn whatever_comes_fits_afterwards(texts in prop::collection::vec(".{0,600}", 0..20), limit in 1024_usize..4096) {
            let message = json!({"method": "m", "params": {"update": {"content": texts}}});
            let (cut, was_cut) = fit(message.clone(), limit);
            prop_assert!(size(&cut) <= limit);
            prop_assert_eq!(was_cut, size(&message) > limit);
        }
    }
}

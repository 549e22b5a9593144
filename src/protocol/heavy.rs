//! A prompt too heavy for a journal line: each heavy block travels as a blob, with a stand-in at its place (contract 10.1).
//!
//! Pure. The stand-in is the block with its strings cut, for those who only look; its `_meta.ashore.blob` names the content
//! which is the whole block, as JSON.

use serde_json::{Value, json};

use crate::protocol::amend::{Amend, Amendment};
use crate::protocol::command::{Command, Prompt, What};
use crate::protocol::cut;
use crate::protocol::hash::ContentHash;

/// In bytes of JSON: a block above this is heavy.
const HEAVY: usize = 64 << 10;
/// In bytes of JSON: what all blocks of a prompt may weigh, well below a journal line.
const TOGETHER: usize = 128 << 10;
/// In bytes of JSON: a stand-in's own weight.
const STAND_IN: usize = 4 << 10;

/// A block that left its prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    pub hash: ContentHash,
    pub bytes: Vec<u8>,
}

/// The prompt with stand-ins, and what they stand for; `None` when it is light as it is.
fn lighten(prompt: &Prompt) -> Option<(Prompt, Vec<Whole>)> {
    let mut blocks = match &prompt.blocks {
        Some(blocks) => blocks.clone(),
        None if prompt.text.len() > HEAVY / 2 => {
            vec![json!({"type": "text", "text": prompt.text})]
        }
        None => return None,
    };
    let mut weights: Vec<usize> = blocks.iter().map(cut::size).collect();
    let mut wholes = Vec::new();
    while let Some((at, weight)) = heaviest(&weights)
        && (weight > HEAVY || (weight > STAND_IN && weights.iter().sum::<usize>() > TOGETHER))
    {
        let (light, whole) = stand_in(std::mem::take(&mut blocks[at]));
        weights[at] = 0;
        blocks[at] = light;
        wholes.push(whole);
    }
    let text = Value::String(prompt.text.clone());
    let (text, was_cut) = if cut::size(&text) > HEAVY {
        cut::fit(text, STAND_IN)
    } else {
        (text, false)
    };
    if wholes.is_empty() && !was_cut {
        return None;
    }
    let light = Prompt {
        text: text.as_str().unwrap_or_default().to_owned(),
        blocks: Some(blocks),
    };
    Some((light, wholes))
}

/// The same of a command; of a message and of the new words of one.
pub fn lighten_command(command: &Command) -> Option<(Command, Vec<Whole>)> {
    let mut light = command.clone();
    let prompt = match &mut light.what {
        What::UserMessage(prompt) => prompt,
        What::Amend(Amendment {
            how: Amend::Edit(prompt),
            ..
        }) => prompt,
        _ => return None,
    };
    let (lighter, wholes) = lighten(prompt)?;
    *prompt = lighter;
    Some((light, wholes))
}

/// The content that is the whole of this block, if it is a stand-in.
pub fn whole_of(block: &Value) -> Option<ContentHash> {
    block.pointer("/_meta/ashore/blob")?.as_str()?.parse().ok()
}

fn heaviest(weights: &[usize]) -> Option<(usize, usize)> {
    let numbered = weights.iter().copied().enumerate();
    numbered.max_by_key(|(_, weight)| *weight)
}

fn stand_in(mut block: Value) -> (Value, Whole) {
    let bytes = block.to_string().into_bytes();
    let whole = Whole {
        hash: ContentHash::of(&bytes),
        bytes,
    };
    // A piece of encoded bytes is no smaller picture.
    for place in ["/data", "/resource/blob"] {
        if let Some(encoded) = block.pointer_mut(place) {
            *encoded = json!("");
        }
    }
    let (mut light, _) = cut::fit(block, STAND_IN);
    if !light.is_object() {
        light = json!({"type": "text", "text": ""});
    }
    light["_meta"] = json!({"ashore": {"blob": whole.hash}});
    (light, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(blocks: Vec<Value>) -> Prompt {
        Prompt {
            text: String::new(),
            blocks: Some(blocks),
        }
    }

    fn image(weight: usize) -> Value {
        json!({"type": "image", "mimeType": "image/png", "data": "A".repeat(weight)})
    }

    /// Each stand-in's whole again in its place.
    fn restored(light: &Prompt, wholes: &[Whole]) -> Vec<Value> {
        let blocks = light.blocks.iter().flatten();
        let put_back = |block: &Value| match whole_of(block) {
            Some(hash) => {
                let whole = wholes.iter().find(|whole| whole.hash == hash).unwrap();
                serde_json::from_slice(&whole.bytes).unwrap()
            }
            None => block.clone(),
        };
        blocks.map(put_back).collect()
    }

    #[test]
    fn what_is_light_stays_as_it_is() {
        let short = Prompt {
            text: "hi".to_owned(),
            blocks: None,
        };
        assert_eq!(lighten(&short), None);
        assert_eq!(lighten(&prompt(vec![image(60_000)])), None);
    }

    #[test]
    fn a_heavy_block_leaves_a_stand_in_and_comes_back_whole() {
        let blocks = vec![json!({"type": "text", "text": "see"}), image(300_000)];
        let (light, wholes) = lighten(&prompt(blocks.clone())).unwrap();
        let shown = light.blocks.as_ref().unwrap();
        assert_eq!(shown[0], blocks[0]);
        assert_eq!(shown[1]["mimeType"], "image/png");
        assert_eq!(shown[1]["data"], "");
        assert_eq!(restored(&light, &wholes), blocks);
    }

    #[test]
    fn long_words_become_a_block_and_show_their_beginning() {
        let text = "naïve \"words\"\n".repeat(40_000);
        let words = Prompt {
            text: text.clone(),
            blocks: None,
        };
        let (light, wholes) = lighten(&words).unwrap();
        assert!(light.text.starts_with("naïve") && light.text.len() < STAND_IN);
        assert!(cut::size(&light.params()) < 3 * STAND_IN);
        assert_eq!(
            restored(&light, &wholes),
            [json!({"type": "text", "text": text})]
        );
    }

    #[test]
    fn many_blocks_that_are_heavy_together_fit_a_line() {
        let blocks: Vec<Value> = (0..20).map(|more| image(50_000 + more)).collect();
        let (light, wholes) = lighten(&prompt(blocks.clone())).unwrap();
        assert!(cut::size(&light.params()) <= TOGETHER + 1024);
        assert!(wholes.len() < 20, "what fits stays");
        assert_eq!(restored(&light, &wholes), blocks);
    }
}

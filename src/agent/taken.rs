//! What an agent is given of a prompt: blocks of a kind that it has not said it takes become text.
//!
//! Pure. Who writes the first message of a run cannot know yet what its agent takes; ACP forbids to send it the rest.

use serde_json::{Value, json};

use crate::protocol::entry::Takes;

/// The blocks as this agent may have them, and a sentence for each that it is not given.
pub(crate) fn taken(blocks: Vec<Value>, takes: Takes) -> (Vec<Value>, Vec<String>) {
    let mut left_out = Vec::new();
    let blocks = blocks.into_iter().map(|block| {
        let kind = match block["type"].as_str() {
            Some("image") if !takes.image => "pictures",
            Some("audio") if !takes.audio => "sound",
            Some("resource") if !takes.resource => match unfolded(&block["resource"]) {
                Some(text) => return text,
                None => "files",
            },
            _ => return block,
        };
        let name = name(&block);
        left_out.push(format!(
            "this agent takes no {kind} with a message: {name} was not given to it"
        ));
        let words = format!("[The user attached {name}, which could not be given to you.]");
        json!({"type": "text", "text": words})
    });
    (blocks.collect(), left_out)
}

/// A file of text as text: nothing of it is lost.
fn unfolded(resource: &Value) -> Option<Value> {
    let text = resource["text"].as_str()?;
    let uri = resource["uri"].as_str().unwrap_or("a file");
    let words = format!("The user attached {uri}:\n\n{text}");
    Some(json!({"type": "text", "text": words}))
}

/// The last part of its address, else its kind.
fn name(block: &Value) -> &str {
    let of = block.get("resource").unwrap_or(block);
    let last = of["uri"].as_str().and_then(|uri| uri.rsplit('/').next());
    let kind = of["mimeType"].as_str();
    last.filter(|name| !name.is_empty())
        .or(kind)
        .unwrap_or("something")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_given_what_it_takes_and_text_in_place_of_the_rest() {
        let words = json!({"type": "text", "text": "look"});
        let image = json!({"type": "image", "mimeType": "image/png", "data": "AA=="});
        let link = json!({"type": "resource_link", "uri": "file:///a.md", "name": "a.md"});
        let notes = json!({"type": "resource", "resource": {"uri": "file:///b/notes.md", "text": "# Notes"}});
        let bytes =
            json!({"type": "resource", "resource": {"uri": "file:///b/x.bin", "blob": "AA=="}});
        let all = vec![words.clone(), image, link.clone(), notes, bytes];
        let takes = Takes {
            image: true,
            audio: true,
            resource: true,
        };
        assert_eq!(taken(all.clone(), takes), (all.clone(), Vec::new()));
        let text = |text: &str| json!({"type": "text", "text": text});
        let (given, said) = taken(all, Takes::default());
        assert_eq!(
            given,
            [
                words,
                text("[The user attached image/png, which could not be given to you.]"),
                link,
                text("The user attached file:///b/notes.md:\n\n# Notes"),
                text("[The user attached x.bin, which could not be given to you.]"),
            ]
        );
        assert_eq!(
            said,
            [
                "this agent takes no pictures with a message: image/png was not given to it",
                "this agent takes no files with a message: x.bin was not given to it",
            ]
        );
    }
}

//! `cargo bench`: one line a figure, each a ratio to something that runs beside it in the same run.
//!
//! A runner of our own: criterion measures one thing at a time and tells it in several lines; here two things take
//! turns (A, B, A, B, …), the medians are compared, and processes, terminals and memory are measured as well.
//! `cargo bench -- P5 P16` runs some; `cargo bench -- --small` runs all on a tenth, to see that they work.

mod attach;
mod bulk;
mod data;
mod decode;
mod edits;
mod endpoint;
mod land;
mod live;
mod load;
mod measure;
mod picture;
mod post;
mod program;
mod reference;
mod replay;
mod stream;
mod terminal;

use std::path::Path;

use ashore::protocol::ids::{ProjectId, RunRef};

use crate::measure::Figure;

/// Makes figures; its argument is what the sizes are divided by.
type Measure = fn(usize) -> Vec<Figure>;

const FIGURES: [(&str, Measure); 13] = [
    ("P1", live::figures),
    ("P2", decode::figures),
    ("P3", replay::figures),
    // And P9.
    ("P4", attach::figures),
    ("P5", picture::figures),
    // And P7.
    ("P6", load::figures),
    ("P8", program::first_frame),
    ("P10", bulk::figures),
    ("P11", land::figures),
    ("P16", stream::figures),
    ("P17", program::idle),
    ("POST", post::figures),
    ("EDITS", edits::figures),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [child, folder, lines] = words.as_slice()
        && child == replay::CHILD
    {
        return replay::be_child(Path::new(folder), lines.parse().expect("a number"));
    }
    let scale = if words.iter().any(|word| word == "--small") {
        10
    } else {
        1
    };
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    for (name, figures) in FIGURES {
        if wanted.is_empty() || wanted.iter().any(|word| word.eq_ignore_ascii_case(name)) {
            for figure in figures(scale) {
                println!("{figure}");
            }
        }
    }
}

/// The run that all figures are about.
pub(crate) fn at() -> RunRef {
    RunRef {
        project: ProjectId(1),
        task: "1b9e".parse().expect("a name"),
        run: data::SESSION.parse().expect("a name"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a file of the bench's own, which nobody else reads"
)]
pub(crate) fn write(file: &Path, bytes: &[u8]) {
    std::fs::write(file, bytes).expect("a temp folder can be written to");
}

//! When a picture is the one before, moved up or down in a part of its rows.
//!
//! Pure. It finds where letting the terminal move rows leaves less to be written; a wrong guess would cost bytes, never
//! a wrong picture, since what differs afterwards is written in any case.

use std::ops::Range;

use ratatui::buffer::{Buffer, Cell};

/// Farthest that rows are moved.
const FARTHEST: usize = 12;
/// Cells that must be saved before rows are moved: about what the sequences for it cost.
const WORTH: isize = 40;

/// Rows of a region move by so many: up when positive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) region: Range<usize>,
    pub(super) by: isize,
}

/// The best one, if any is worth it.
pub(super) fn find(front: &Buffer, next: &Buffer) -> Option<Shift> {
    let rows = usize::from(front.area.height);
    let stays: Vec<isize> = (0..rows)
        .map(|row| differ(line(next, row), line(front, row)))
        .collect();
    if stays.iter().sum::<isize>() <= WORTH {
        return None;
    }
    let blank: Vec<isize> = (0..rows).map(|row| filled(line(next, row))).collect();
    let mut best: Option<(isize, Shift)> = None;
    for distance in 1..=FARTHEST.min(rows.saturating_sub(1)) {
        for up in [true, false] {
            let found = by(front, next, &stays, &blank, distance, up);
            if let Some(found) = found
                && found.0 > best.as_ref().map_or(WORTH, |best| best.0)
            {
                best = Some(found);
            }
        }
    }
    best.map(|(_, shift)| shift)
}

/// The region that gains most by this distance, and how much: a run of rows of the new picture that stood that far
/// away in the old one, and the rows beyond it that become blank.
fn by(
    front: &Buffer,
    next: &Buffer,
    stays: &[isize],
    blank: &[isize],
    distance: usize,
    up: bool,
) -> Option<(isize, Shift)> {
    let rows = stays.len();
    let last = rows - distance;
    // `row` counts the places that are filled by moving, from the end they move to.
    let gain = |row: usize| {
        let (to, from) = if up {
            (row, row + distance)
        } else {
            (row + distance, row)
        };
        stays[to] - differ(line(next, to), line(front, from))
    };
    let gained = sums((0..last).map(gain));
    let lost = sums(blank.iter().zip(stays).map(|(blank, stays)| blank - stays));
    let mut best: Option<(isize, Range<usize>)> = None;
    for begin in 0..last {
        for end in begin + 1..=last {
            let blanked = if up { end } else { begin };
            let saved = gained[end] - gained[begin] - (lost[blanked + distance] - lost[blanked]);
            if best.as_ref().is_none_or(|(most, _)| saved > *most) {
                best = Some((saved, begin..end + distance));
            }
        }
    }
    let (saved, region) = best?;
    let by = isize::try_from(distance).unwrap_or(0);
    let by = if up { by } else { -by };
    Some((saved, Shift { region, by }))
}

/// What stands before each place, and all of it.
fn sums(values: impl Iterator<Item = isize>) -> Vec<isize> {
    let mut sum = 0;
    let rest = values.map(|value| {
        sum += value;
        sum
    });
    std::iter::once(0).chain(rest).collect()
}

/// Moves the rows, as the terminal does it.
pub(super) fn apply(front: &mut Buffer, shift: &Shift) {
    let columns = usize::from(front.area.width);
    let region = shift.region.start * columns..shift.region.end * columns;
    let Some(cells) = front.content.get_mut(region) else {
        return;
    };
    let gone = (shift.by.unsigned_abs() * columns).min(cells.len());
    if shift.by > 0 {
        cells.rotate_left(gone);
        let stays = cells.len() - gone;
        cells[stays..].fill(Cell::EMPTY);
    } else {
        cells.rotate_right(gone);
        cells[..gone].fill(Cell::EMPTY);
    }
}

pub(super) fn line(buffer: &Buffer, row: usize) -> &[Cell] {
    let columns = usize::from(buffer.area.width);
    &buffer.content[row * columns..(row + 1) * columns]
}

fn differ(one: &[Cell], other: &[Cell]) -> isize {
    let pairs = one.iter().zip(other);
    let count = pairs.filter(|(one, other)| one != other).count();
    isize::try_from(count).unwrap_or(isize::MAX)
}

fn filled(line: &[Cell]) -> isize {
    let count = line.iter().filter(|cell| **cell != Cell::EMPTY).count();
    isize::try_from(count).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(lines: &[&str]) -> Buffer {
        Buffer::with_lines(lines.iter().map(|line| format!("{line:<30}")))
    }

    const TEXT: [&str; 8] = [
        "a head that stays where it is",
        "the tide comes in, the boat",
        "lies at anchor, and nobody is",
        "ashore but the gulls and we",
        "wait for the wind to turn the",
        "other way, which it does when",
        "nobody looks: that is all",
        "a foot that stays where it is",
    ];

    #[test]
    fn what_moved_between_a_head_and_a_foot_is_found_both_ways() {
        let moved = |rows: [usize; 6]| {
            let mut lines = vec![TEXT[0]];
            lines.extend(rows.map(|row| TEXT.get(row).copied().unwrap_or("")));
            lines.push(TEXT[7]);
            picture(&lines)
        };
        let old = picture(&TEXT);
        for (new, by) in [
            (moved([2, 3, 4, 5, 6, 9]), 1),
            (moved([3, 4, 5, 6, 9, 9]), 2),
            (moved([9, 1, 2, 3, 4, 5]), -1),
        ] {
            let shift = find(&old, &new).expect("there is one");
            assert_eq!((shift.region.clone(), shift.by), (1..7, by));
            let mut front = old.clone();
            apply(&mut front, &shift);
            assert_eq!(front, new);
        }
    }

    #[test]
    fn what_is_another_picture_or_hardly_another_is_not_moved() {
        let old = picture(&TEXT);
        assert_eq!(find(&old, &old), None);
        let mut lines = TEXT;
        lines[3] = "ashore but the gulls";
        assert_eq!(find(&old, &picture(&lines)), None);
        lines = ["x0x1x2x3x4x5x6x7x8x9x0x1x2x3x4"; 8];
        assert_eq!(find(&old, &picture(&lines)), None);
    }
}

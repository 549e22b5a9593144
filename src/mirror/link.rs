//! Whether a symlink may stand in a mirrored tree: relative, and staying inside the root.
//!
//! Pure. Judges the text of the target where the link stands; what is behind it is never looked at.

use crate::protocol::path::{BadPath, RelPath};

/// Why a link is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    #[error("a link to an absolute path")]
    Absolute,
    #[error("a link that leaves the directory")]
    Escapes,
    #[error("a link with `..` behind a name, which may lead anywhere")]
    Winding,
    #[error("a link to a place that is not mirrored ({0})")]
    Place(BadPath),
}

/// Takes the target when it leads to a place inside the root. `..` is lawful only in front: behind a name that may
/// itself be a link it could lead out.
pub fn check(at: &RelPath, target: &str) -> Result<(), BadLink> {
    if target.starts_with('/') {
        return Err(BadLink::Absolute);
    }
    if target.is_empty() {
        return Err(BadLink::Place(BadPath::Empty));
    }
    let parts: Vec<&str> = target
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .collect();
    let ups = parts.iter().take_while(|part| **part == "..").count();
    if parts[ups..].contains(&"..") {
        return Err(BadLink::Winding);
    }
    let depth = at.parts().count() - 1;
    let Some(kept) = depth.checked_sub(ups) else {
        return Err(BadLink::Escapes);
    };
    let place: Vec<&str> = at
        .parts()
        .take(kept)
        .chain(parts[ups..].iter().copied())
        .collect();
    match place.join("/").parse::<RelPath>() {
        // The root itself, seen from below.
        Ok(_) | Err(BadPath::Empty) => Ok(()),
        Err(bad) => Err(BadLink::Place(bad)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_inside_or_is_refused() {
        let table = [
            ("a", "b", Ok(())),
            ("d/a", "../b", Ok(())),
            ("d/a", "..", Ok(())),
            ("d/a", "./x//y/", Ok(())),
            ("a", "/etc/passwd", Err(BadLink::Absolute)),
            ("a", "../x", Err(BadLink::Escapes)),
            ("d/a", "../../x", Err(BadLink::Escapes)),
            ("d/a", "x/../../y", Err(BadLink::Winding)),
            ("a", ".git/config", Err(BadLink::Place(BadPath::Git))),
            ("d/a", "../.GIT", Err(BadLink::Place(BadPath::Git))),
            ("a", "", Err(BadLink::Place(BadPath::Empty))),
        ];
        for (at, target, want) in table {
            assert_eq!(
                check(&at.parse().unwrap(), target),
                want,
                "{at} -> {target}"
            );
        }
    }
}

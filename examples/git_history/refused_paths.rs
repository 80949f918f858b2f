//! The changes that cannot become events because no stream can have the path's name.
//!
//! Git allows any bytes but NUL in a path. A stream's name is UTF-8, 255 bytes at most, without
//! control characters and without white space at its ends. A program that must keep such files
//! would escape or hash their paths; this one leaves them out, counts them and says so.

use std::collections::BTreeMap;
use std::fmt;

use es::{InvalidIdentifier, StreamId};

use crate::file_changed;

/// How many different paths are kept to be shown, of each kind.
const SHOWN_MAX: usize = 3;

/// Why a path cannot name a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    NotUtf8,
    TooLong,
    ControlCharacter,
    OuterWhiteSpace,
    Other,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NotUtf8 => "not UTF-8",
            Refusal::TooLong => "longer than 255 bytes",
            Refusal::ControlCharacter => "has a control character",
            Refusal::OuterWhiteSpace => "begins or ends with white space",
            Refusal::Other => "not a stream's name",
        })
    }
}

/// The stream of a path, or why it has none.
pub(crate) fn stream_of(path: &[u8]) -> Result<StreamId, Refusal> {
    let path = std::str::from_utf8(path).map_err(|_| Refusal::NotUtf8)?;
    file_changed::stream(path).map_err(|refused| match refused {
        InvalidIdentifier::TooLong { .. } => Refusal::TooLong,
        InvalidIdentifier::ControlCharacter { .. } => Refusal::ControlCharacter,
        InvalidIdentifier::OuterWhiteSpace { .. } => Refusal::OuterWhiteSpace,
        _ => Refusal::Other,
    })
}

/// Changes that were left out, by kind.
#[derive(Debug, Default)]
pub(crate) struct RefusedPaths {
    kinds: BTreeMap<Refusal, RefusedKind>,
}

/// Changes that were left out for the same reason.
#[derive(Debug, Default)]
pub(crate) struct RefusedKind {
    /// How many.
    pub(crate) changes: i64,
    /// The first few paths.
    pub(crate) shown: Vec<Vec<u8>>,
}

impl RefusedPaths {
    /// Counts one change.
    pub(crate) fn add(&mut self, refusal: Refusal, path: &[u8]) {
        let kind = self.kinds.entry(refusal).or_default();
        kind.changes += 1;
        if kind.shown.len() < SHOWN_MAX && !kind.shown.iter().any(|shown| shown == path) {
            kind.shown.push(path.to_owned());
        }
    }

    /// How many changes of each kind.
    pub(crate) fn counts(&self) -> BTreeMap<Refusal, i64> {
        self.kinds.iter().map(|(refusal, kind)| (*refusal, kind.changes)).collect()
    }

    /// The kinds there are.
    pub(crate) fn kinds(&self) -> &BTreeMap<Refusal, RefusedKind> {
        &self.kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_refused_for_the_first_rule_it_breaks() {
        assert!(stream_of("src/żółw.rs".as_bytes()).is_ok());
        assert_eq!(stream_of(b"a\xff"), Err(Refusal::NotUtf8));
        assert_eq!(stream_of(&[b'a'; 256]), Err(Refusal::TooLong));
        assert_eq!(stream_of(b"a\nb"), Err(Refusal::ControlCharacter));
        assert_eq!(stream_of(b"a "), Err(Refusal::OuterWhiteSpace));
    }

    #[test]
    fn every_change_is_counted_and_every_path_shown_once() {
        let mut refused = RefusedPaths::default();
        for path in [b"a ", b"a ", b"b "] {
            refused.add(Refusal::OuterWhiteSpace, path);
        }
        let kind = &refused.kinds()[&Refusal::OuterWhiteSpace];
        assert_eq!(kind.changes, 3);
        assert_eq!(kind.shown, [b"a ", b"b "]);
    }
}

//! Versions of one stream: what is there, and what a writer expects to be there.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{RangeFrom, RangeFull, RangeInclusive, RangeToInclusive};

use crate::position::NegativeNumber;

/// How many events a stream holds, which is also the version of its last event: 1, 2, 3…
///
/// [`Version::NONE`] (0) is the version of a stream without events.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(i64);

impl Version {
    /// The version of a stream without events.
    pub const NONE: Version = Version(0);

    /// The version of a stream's first event.
    pub const FIRST: Version = Version(1);

    /// The largest version a store can hold.
    pub const MAX: Version = Version(i64::MAX);

    /// The number, as stored; never negative.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The version `count` events later, [`Version::MAX`] at most.
    #[must_use]
    pub fn saturating_add(self, count: usize) -> Version {
        Version(self.0.saturating_add_unsigned(u64::try_from(count).unwrap_or(u64::MAX)))
    }

    /// The version one event later.
    #[must_use]
    pub fn next(self) -> Version {
        self.saturating_add(1)
    }

    /// The version one event earlier, [`Version::NONE`] at least.
    #[must_use]
    pub fn previous(self) -> Version {
        Version((self.0 - 1).max(0))
    }
}

impl From<u32> for Version {
    fn from(version: u32) -> Self {
        Version(version.into())
    }
}

/// Fails for a negative number.
impl TryFrom<i64> for Version {
    type Error = NegativeNumber;

    fn try_from(version: i64) -> Result<Self, NegativeNumber> {
        if version < 0 { Err(NegativeNumber(version)) } else { Ok(Version(version)) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a writer believes about a stream when it appends.
///
/// `Exact(Version::NONE)` and [`ExpectedVersion::NoStream`] mean the same and compare equal.
///
/// ```
/// use es::{ExpectedVersion, Version};
///
/// assert!(ExpectedVersion::exact(3).accepts(Version::from(3)));
/// assert!(!ExpectedVersion::NoStream.accepts(Version::from(3)));
/// assert_eq!(ExpectedVersion::exact(0), ExpectedVersion::NoStream);
/// ```
#[derive(Debug, Clone, Copy)]
pub enum ExpectedVersion {
    /// Append whatever the version is.
    Any,
    /// Append only if the stream has no events yet.
    NoStream,
    /// Append only if the stream is at this version.
    Exact(Version),
}

impl ExpectedVersion {
    /// [`ExpectedVersion::Exact`] from a plain number.
    pub fn exact(version: impl Into<Version>) -> Self {
        ExpectedVersion::Exact(version.into())
    }

    /// The one version this admits; `None` for [`ExpectedVersion::Any`].
    pub fn required(self) -> Option<Version> {
        match self {
            ExpectedVersion::Any => None,
            ExpectedVersion::NoStream => Some(Version::NONE),
            ExpectedVersion::Exact(version) => Some(version),
        }
    }

    /// Whether an append may go on when the stream is at `actual`.
    pub fn accepts(self, actual: Version) -> bool {
        self.required().is_none_or(|required| required == actual)
    }

    /// Whether every version is admitted.
    pub fn is_any(self) -> bool {
        self.required().is_none()
    }

    /// Whether only a stream without events is admitted.
    pub fn is_no_stream(self) -> bool {
        self.required() == Some(Version::NONE)
    }

    /// Whether one version above [`Version::NONE`] is admitted.
    pub fn is_exact(self) -> bool {
        self.required().is_some_and(|required| required > Version::NONE)
    }
}

impl PartialEq for ExpectedVersion {
    fn eq(&self, other: &Self) -> bool {
        self.required() == other.required()
    }
}

impl Eq for ExpectedVersion {}

impl Hash for ExpectedVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.required().hash(state);
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.required() {
            None => f.write_str("any version"),
            Some(Version::NONE) => f.write_str("no stream"),
            Some(version) => write!(f, "version {version}"),
        }
    }
}

/// A run of versions of one stream, both ends included.
///
/// ```
/// use es::{Version, VersionRange};
///
/// let page = VersionRange::from(Version::from(11)..=Version::from(20));
/// assert!(page.contains(Version::from(11)) && !page.contains(Version::from(21)));
/// assert!(VersionRange::from(..).contains(Version::FIRST));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionRange {
    first: Version,
    last: Version,
}

impl VersionRange {
    /// Every version.
    pub const ALL: VersionRange = VersionRange { first: Version::FIRST, last: Version::MAX };

    /// The first version asked for.
    pub fn first(self) -> Version {
        self.first
    }

    /// The last version asked for; the stream may end before it.
    pub fn last(self) -> Version {
        self.last
    }

    /// Whether `version` lies in the run.
    pub fn contains(self, version: Version) -> bool {
        (self.first..=self.last).contains(&version)
    }
}

impl From<RangeFull> for VersionRange {
    fn from(_: RangeFull) -> Self {
        VersionRange::ALL
    }
}

impl From<RangeFrom<Version>> for VersionRange {
    fn from(range: RangeFrom<Version>) -> Self {
        VersionRange { first: range.start, ..VersionRange::ALL }
    }
}

impl From<RangeToInclusive<Version>> for VersionRange {
    fn from(range: RangeToInclusive<Version>) -> Self {
        VersionRange { last: range.end, ..VersionRange::ALL }
    }
}

impl From<RangeInclusive<Version>> for VersionRange {
    fn from(range: RangeInclusive<Version>) -> Self {
        VersionRange { first: *range.start(), last: *range.end() }
    }
}

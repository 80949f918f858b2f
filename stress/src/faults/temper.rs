//! What an event does to a handler: its type says so, the same in every process.

use fastrand::Rng;

/// What an event does to a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Temper {
    Tame,
    /// The first attempt fails.
    Once(Manner),
    /// Every attempt fails.
    Always(Manner),
}

/// How a handler fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// With an error of its own.
    Error,
    /// With a statement the database refuses, which may end the transaction.
    Statement,
    Panic,
    /// It waits for something that never comes.
    Hang,
    /// It waits for a statement that takes very long.
    Block,
    /// It ends its process.
    Abort,
}

const MANNERS: [(Manner, &str, &str); 6] = [
    (Manner::Error, "ErrorOnce", "ErrorAlways"),
    (Manner::Statement, "StatementOnce", "StatementAlways"),
    (Manner::Panic, "PanicOnce", "PanicAlways"),
    (Manner::Hang, "HangOnce", "HangAlways"),
    (Manner::Block, "BlockOnce", "BlockAlways"),
    (Manner::Abort, "AbortOnce", "AbortAlways"),
];

/// How many of each are planted in a minute: those that are got over, and those that are parked.
const PER_MINUTE: [(Manner, u32, u32); 6] = [
    (Manner::Error, 12, 6),
    (Manner::Statement, 8, 3),
    (Manner::Panic, 8, 3),
    (Manner::Hang, 3, 1),
    (Manner::Block, 3, 1),
    (Manner::Abort, 3, 1),
];

const TAME: &str = "Tame";

impl Temper {
    /// The type of an event of this temper.
    pub(super) fn event_type(self) -> &'static str {
        let find = |wanted| MANNERS.iter().find(|(manner, ..)| *manner == wanted);
        match self {
            Temper::Tame => TAME,
            Temper::Once(manner) => find(manner).map_or(TAME, |(_, once, _)| once),
            Temper::Always(manner) => find(manner).map_or(TAME, |(_, _, always)| always),
        }
    }

    /// The temper of an event of this type.
    pub(super) fn of(event_type: &str) -> Self {
        for (manner, once, always) in MANNERS {
            if event_type == once {
                return Temper::Once(manner);
            }
            if event_type == always {
                return Temper::Always(manner);
            }
        }
        Temper::Tame
    }

    /// How this attempt fails, counted from 1, if it does.
    pub(super) fn at(self, attempt: u32) -> Option<Manner> {
        match self {
            Temper::Always(manner) => Some(manner),
            Temper::Once(manner) if attempt <= 1 => Some(manner),
            _ => None,
        }
    }

    /// Those to plant in a run of this many seconds, in random order; one of each at least.
    pub(super) fn plan(seconds: u64, rng: &mut Rng) -> Vec<Temper> {
        let scaled = |per_minute: u32| (u64::from(per_minute) * seconds).div_ceil(60).max(1);
        let mut tempers = Vec::new();
        for (manner, once, always) in PER_MINUTE {
            tempers.extend((0..scaled(once)).map(|_| Temper::Once(manner)));
            tempers.extend((0..scaled(always)).map(|_| Temper::Always(manner)));
        }
        rng.shuffle(&mut tempers);
        tempers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_says_the_temper() {
        assert_eq!(Temper::of(Temper::Tame.event_type()), Temper::Tame);
        for (manner, ..) in MANNERS {
            for temper in [Temper::Once(manner), Temper::Always(manner)] {
                assert_eq!(Temper::of(temper.event_type()), temper);
            }
        }
    }

    #[test]
    fn a_short_run_has_one_of_each() {
        let plan = Temper::plan(5, &mut Rng::with_seed(1));
        for (manner, ..) in MANNERS {
            assert!(plan.contains(&Temper::Once(manner)) && plan.contains(&Temper::Always(manner)));
        }
    }

    #[test]
    fn only_the_first_attempt_fails_once() {
        assert_eq!(Temper::Once(Manner::Hang).at(1), Some(Manner::Hang));
        assert_eq!(Temper::Once(Manner::Hang).at(2), None);
        assert_eq!(Temper::Always(Manner::Hang).at(9), Some(Manner::Hang));
        assert_eq!(Temper::Tame.at(1), None);
    }
}

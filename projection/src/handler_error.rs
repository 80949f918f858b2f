//! What a handler says of its own errors, and what the library says of its handler.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// Why a handler could not handle an event; any error converts with `?`.
///
/// Whose fault it is is read from the error and its causes, however they are wrapped, and asked of
/// the transaction where they say nothing. [`Permanent`] and [`Retryable`] say it.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// Trying again would not help: the [policy](crate::FailurePolicy) decides at once, without the
/// attempts that are left.
///
/// ```
/// use projection::{HandlerError, Permanent};
///
/// fn amount(text: &str) -> Result<i64, HandlerError> {
///     Ok(text.parse().map_err(Permanent::new)?)
/// }
/// assert!(amount("many").is_err());
/// ```
pub struct Permanent(Mark);

/// Another attempt may succeed, and this one does not count: a service that the handler calls is
/// away. The event is tried again, with growing pauses, as after a deadlock; if it still fails
/// after [`attempts_max`](crate::ProjectionOptions::with_attempts_max) attempts, the
/// [policy](crate::FailurePolicy) decides.
pub struct Retryable(Mark);

impl Permanent {
    /// Marks an error.
    pub fn new(error: impl Into<HandlerError>) -> Self {
        Permanent(Mark { verdict: Said::Permanent, error: error.into() })
    }
}

impl Retryable {
    /// Marks an error.
    pub fn new(error: impl Into<HandlerError>) -> Self {
        Retryable(Mark { verdict: Said::Retryable, error: error.into() })
    }
}

/// What a handler has said of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Permanent,
    Retryable,
}

/// A layer of its own: an error that wraps another transparently hides the outermost one only.
#[derive(Debug)]
struct Mark {
    verdict: Said,
    error: HandlerError,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Mark {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

macro_rules! marked {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0.error).finish()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Error for $name {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
    };
}

marked!(Permanent);
marked!(Retryable);

/// What the handler has said of `error`; the outermost word counts.
pub(crate) fn said(error: &(dyn Error + 'static)) -> Option<Said> {
    chain(error).find_map(|error| error.downcast_ref::<Mark>().map(|mark| mark.verdict))
}

/// A handler panicked. Its transaction was rolled back, and what becomes of the event is up to the
/// projection's [`FailurePolicy`](crate::FailurePolicy), as after any other error of the handler.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the handler panicked: {message}")]
#[non_exhaustive]
pub struct HandlerPanicked {
    /// What the panic said, if it was text.
    pub message: String,
}

/// A handler took longer than it may. Its future was dropped and its connection closed; what
/// becomes of the event is up to the projection's [`FailurePolicy`](crate::FailurePolicy).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the handler took longer than {time_max:?}: let it do less, or raise the limit with \
     ProjectionOptions::with_time_max"
)]
#[non_exhaustive]
pub struct HandlerTimedOut {
    /// The limit.
    pub time_max: Duration,
}

/// The processes that handled an event ended, each in the middle of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{attempts} processes ended in the middle of handling it, or were killed there")]
#[non_exhaustive]
pub struct HandlerNeverEnded {
    /// How many attempts were counted.
    pub attempts: u32,
}

/// The error and its causes.
pub(crate) fn chain<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error with its causes, fit to be stored: of bounded length, and without the character that
/// some databases refuse. A layer that says what its cause says is left out.
pub(crate) fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = chain(error).map(ToString::to_string).collect();
    texts.dedup();
    es::adapter::error_text(&texts.join(": ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Error)]
    #[error(transparent)]
    struct Transparent<E: Error + 'static>(E);

    #[derive(Debug, Error)]
    #[error("a layer")]
    struct Layer<E: Error + 'static>(#[source] E);

    #[derive(Debug, Error)]
    #[error("boom")]
    struct Boom;

    #[test]
    fn a_mark_is_found_however_the_error_is_wrapped() {
        assert_eq!(said(&Boom), None);
        assert_eq!(said(&Permanent::new(Boom)), Some(Said::Permanent));
        assert_eq!(said(&Layer(Transparent(Retryable::new(Boom)))), Some(Said::Retryable));
        assert_eq!(said(&Transparent(Permanent::new(Boom))), Some(Said::Permanent));
        assert_eq!(said(&Permanent::new(Retryable::new(Boom))), Some(Said::Permanent));
    }

    #[test]
    fn a_layer_that_repeats_its_cause_is_left_out_of_the_text() {
        assert_eq!(error_text(&Layer(Permanent::new(Boom))), "a layer: boom");
    }

    #[test]
    fn a_text_to_be_stored_is_short_and_without_the_zero_character() {
        #[derive(Debug, Error)]
        #[error("{0}")]
        struct Text(String);
        assert_eq!(error_text(&Text("a\0b".into())), "a\u{fffd}b");
        let cut = error_text(&Text("ä".repeat(5_000)));
        assert!(
            cut.len() <= es::limits::ERROR_BYTES_MAX && cut.starts_with("äää"),
            "{}",
            cut.len()
        );
    }
}

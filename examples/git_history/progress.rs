//! The look of the progress bars, which go to the error output and only to a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar from 0 to `length`.
pub(crate) fn bar(what: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{msg:>18} {bar:32} {human_pos} of {human_len}, {per_sec}, {eta} left",
    )
    .expect("the template is valid");
    ProgressBar::new(length).with_style(style).with_message(what)
}

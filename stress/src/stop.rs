//! Ctrl-C: the first one asks to stop, the second one does not ask.

use tokio_util::sync::CancellationToken;

use crate::EXIT_INTERRUPTED;

/// A token that the first Ctrl-C cancels. The second ends the program at once.
pub(crate) fn on_ctrl_c() -> CancellationToken {
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        eprintln!("stopping after the current transactions; Ctrl-C again stops at once");
        asked.cancel();
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(EXIT_INTERRUPTED.into());
        }
    });
    stop
}

//! What the commands do to the machine they run on.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as its tests do")]

mod private_server;

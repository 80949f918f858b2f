//! A place in the handler where a worker can be caught in the middle of a batch.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::{Partition, ProjectionName};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a handler stands at the gate at most.
const STAND_MAX: Duration = Duration::from_secs(1);

/// A place in the handler of one worker; open unless somebody waits there.
#[derive(Debug, Default, Clone)]
pub(super) struct Gate {
    trap: Arc<Mutex<Option<Trap>>>,
}

#[derive(Debug)]
struct Trap {
    caught: oneshot::Sender<Caught>,
    release: oneshot::Receiver<()>,
}

/// Who stands at the gate, with an open transaction that has written.
#[derive(Debug, Clone)]
pub(super) struct Caught {
    pub(super) projection: ProjectionName,
    pub(super) partition: Partition,
}

impl Gate {
    /// Closes it for the next who comes; gives who that is, and what lets them go on.
    pub(super) fn close(&self) -> (oneshot::Receiver<Caught>, oneshot::Sender<()>) {
        let (caught, who) = oneshot::channel();
        let (go_on, release) = oneshot::channel();
        *self.trap.lock().expect("nobody panics who holds it") = Some(Trap { caught, release });
        (who, go_on)
    }

    /// Opens it for everybody.
    pub(super) fn open(&self) {
        self.take();
    }

    /// Goes through, or stands there until told to go on.
    pub(super) async fn pass(&self, caught: impl FnOnce() -> Caught) {
        let Some(trap) = self.take() else {
            return;
        };
        if trap.caught.send(caught()).is_ok() {
            // The one who closed the gate may be gone.
            let _ = timeout(STAND_MAX, trap.release).await;
        }
    }

    fn take(&self) -> Option<Trap> {
        self.trap.lock().expect("nobody panics who holds it").take()
    }
}

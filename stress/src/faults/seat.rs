//! Where one worker after the other sits, seen from outside.

use std::sync::{Mutex, MutexGuard};

use es::WorkerId;
use tokio::sync::{mpsc, oneshot};

use super::gate::Gate;
use super::proxy::Proxy;

/// A seat, as those see it who do something to the worker there.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) name: String,
    /// Between the worker and the server, if there is one.
    pub(super) proxy: Option<Proxy>,
    /// In the handlers of a worker of this process.
    pub(super) gate: Gate,
    /// Whether the worker is a process of its own.
    pub(super) is_child: bool,
    /// Held by those who want the worker to stay, or not to.
    pub(super) peace: tokio::sync::Mutex<()>,
    kills: mpsc::Sender<oneshot::Sender<()>>,
    worker: Mutex<Option<WorkerId>>,
}

/// What comes to the worker of a seat: each asks to be told when the worker is dead.
pub(super) type Kills = mpsc::Receiver<oneshot::Sender<()>>;

impl Seat {
    pub(super) fn new(name: String, proxy: Option<Proxy>, is_child: bool) -> (Self, Kills) {
        let (kills, to_kill) = mpsc::channel(1);
        let (gate, peace) = (Gate::default(), tokio::sync::Mutex::new(()));
        (Seat { name, proxy, gate, is_child, peace, kills, worker: Mutex::new(None) }, to_kill)
    }

    /// Who sits there.
    pub(super) fn worker(&self) -> Option<WorkerId> {
        self.lock().clone()
    }

    pub(super) fn sit_down(&self, id: WorkerId) {
        *self.lock() = Some(id);
    }

    pub(super) fn get_up(&self) {
        *self.lock() = None;
    }

    /// Kills the worker; `false` if there was none.
    pub(super) async fn kill(&self) -> bool {
        let (dead, is_dead) = oneshot::channel();
        self.kills.send(dead).await.is_ok() && is_dead.await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Option<WorkerId>> {
        self.worker.lock().expect("nobody panics who holds it")
    }
}

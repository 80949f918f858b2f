//! What a connection needs before it goes back to its pool: done in the background, with a limit.
//!
//! A timer for each made appends by eight writers cost about a tenth more of the processor's time, so
//! one thread looks after all of them. It sleeps until the oldest is due, and ends when nothing is
//! left to watch. A task of a runtime would stand still with that runtime, whatever runs on others.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::{AbortHandle, Abortable};
use sqlx_core::rt;

/// How long a connection may take on its way back to its pool.
pub const RETURN_TIME_MAX: Duration = Duration::from_secs(5);

static TASKS: Mutex<Tasks> = Mutex::new(Tasks { oldest_first: VecDeque::new(), is_watched: false });

struct Tasks {
    oldest_first: VecDeque<Task>,
    is_watched: bool,
}

struct Task {
    due: Instant,
    /// Gone as soon as the task has ended, or its runtime has.
    running: Weak<()>,
    abort: AbortHandle,
}

/// Runs what a connection needs before it goes back, and drops it after [`RETURN_TIME_MAX`].
pub fn in_background(task: impl Future<Output = ()> + Send + 'static) {
    let (abort, registration) = AbortHandle::new_pair();
    let running = Arc::new(());
    let due = Instant::now() + RETURN_TIME_MAX;
    let is_watched = tasks().push(Task { due, running: Arc::downgrade(&running), abort });
    if !is_watched && thread::Builder::new().name("es-sqlx".to_owned()).spawn(watch).is_err() {
        // The next one tries again.
        tasks().is_watched = false;
    }
    rt::spawn(async move {
        // An aborted task is dropped, and its connection is closed with it.
        Abortable::new(task, registration).await.ok();
        drop(running);
    });
}

/// Drops what is due, until there is nothing to wait for.
fn watch() {
    loop {
        // Nobody must wait for the lock while this thread sleeps.
        let due = tasks().next_due(Instant::now());
        let Some(due) = due else { return };
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn tasks() -> MutexGuard<'static, Tasks> {
    TASKS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tasks {
    /// Adds a task, and says whether a thread looks after it already: if not, one is to be started.
    fn push(&mut self, task: Task) -> bool {
        self.forget_ended();
        self.oldest_first.push_back(task);
        std::mem::replace(&mut self.is_watched, true)
    }

    /// Aborts what is due now. When the next one is; `None`, and nobody watches any more, if there
    /// is none.
    fn next_due(&mut self, now: Instant) -> Option<Instant> {
        loop {
            self.forget_ended();
            let Some(oldest) = self.oldest_first.front() else {
                self.is_watched = false;
                return None;
            };
            if oldest.due > now {
                return Some(oldest.due);
            }
            oldest.abort.abort();
            self.oldest_first.pop_front();
        }
    }

    fn forget_ended(&mut self) {
        while self.oldest_first.front().is_some_and(|task| task.running.strong_count() == 0) {
            self.oldest_first.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(due: Instant) -> (Task, Arc<()>) {
        let running = Arc::new(());
        let (abort, _) = AbortHandle::new_pair();
        (Task { due, running: Arc::downgrade(&running), abort }, running)
    }

    #[test]
    fn only_what_is_due_and_has_not_ended_is_aborted() {
        let mut tasks = Tasks { oldest_first: VecDeque::new(), is_watched: false };
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let ((ended, _), (hung, _hangs)) = (task(now), task(now + second));
        let (later, runs) = task(now + second * 3);
        let aborts = [&ended, &hung, &later].map(|task| task.abort.clone());
        assert!(!tasks.push(ended), "nobody watches yet");
        assert!(tasks.push(hung));
        assert!(tasks.push(later));
        assert_eq!(tasks.next_due(now), Some(now + second));
        assert_eq!(tasks.next_due(now + second * 2), Some(now + second * 3));
        assert_eq!(aborts.each_ref().map(AbortHandle::is_aborted), [false, true, false]);
        drop(runs);
        assert_eq!(tasks.next_due(now + second * 4), None);
        assert!(!aborts[2].is_aborted(), "it has ended by itself");
        assert!(!tasks.push(task(now).0), "the next one is to be watched again");
    }

    /// The runtime of the first task ends, and with it nothing but that task.
    #[test]
    fn a_task_that_hangs_is_dropped_whatever_becomes_of_other_runtimes() {
        let runtime = || tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let hang = || {
            let (dropped, is_dropped) = std::sync::mpsc::channel::<()>();
            in_background(async move {
                std::future::pending::<()>().await;
                drop(dropped);
            });
            is_dropped
        };
        let other = runtime();
        let of_other = other.block_on(async { hang() });
        drop(other);
        assert!(of_other.recv().is_err(), "it is gone with its runtime");
        let since = Instant::now();
        runtime().block_on(async {
            let is_dropped = hang();
            for _ in 0..1_000 {
                in_background(async {});
            }
            assert!(since.elapsed() < RETURN_TIME_MAX / 2, "the others do not wait for it");
            while !matches!(is_dropped.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected))
            {
                assert!(since.elapsed() < RETURN_TIME_MAX * 6, "it still hangs");
                tokio::task::yield_now().await;
            }
        });
        assert!(since.elapsed() >= RETURN_TIME_MAX, "it has its time");
    }
}

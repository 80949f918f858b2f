//! The readers: each follows the log from its start, on a connection of its own.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use es::{EventFilter, EventSource, EventStore, Partition, PartitionCount, Position, ReadLimit};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::failure::Failure;
use crate::plan::WANTED_TYPES;
use crate::sighting::{Sighting, Trail};

/// Into how many partitions the partitioned reader is divided.
pub(crate) const PARTITIONS: PartitionCount = PartitionCount::of(4);

const EVENTS_MAX: NonZeroU32 = NonZeroU32::new(200).expect("it is not zero");

/// How many positions a filtered read may pass over; few, so that the limit is met.
const POSITIONS_MAX: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");

/// How long a reader waits when there is nothing new.
const PAUSE: Duration = Duration::from_millis(10);

/// How long one read may take.
const READ_MAX: Duration = Duration::from_mins(1);

/// How many reads in a row may fail because the database is busy or the connection was lost.
const SETBACKS_MAX: u32 = 20;

/// Which events a reader reads, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Unfiltered,
    Filtered,
    Partition(Partition),
    /// Checkpoints the last position it saw, as if positions were committed in order.
    Naive,
}

impl Role {
    /// One of each, and all partitions.
    pub(crate) fn all() -> Vec<Role> {
        let mut roles = vec![Role::Unfiltered, Role::Filtered, Role::Naive];
        roles.extend(Partition::split(PARTITIONS).map(Role::Partition));
        roles
    }

    fn filter(self) -> EventFilter {
        match self {
            Role::Unfiltered | Role::Naive => EventFilter::default(),
            Role::Filtered => EventFilter::default().with_event_types(WANTED_TYPES),
            Role::Partition(partition) => EventFilter::default().with_partition(partition),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Unfiltered => f.write_str("unfiltered reader"),
            Role::Filtered => f.write_str("filtered reader"),
            Role::Partition(partition) => write!(f, "reader of partition {partition}"),
            Role::Naive => f.write_str("naive reader"),
        }
    }
}

/// A reader on its way through the log.
pub(crate) struct Reader<B> {
    pub(crate) backend: Arc<B>,
    pub(crate) role: Role,
    /// The end of the log, once it is known.
    pub(crate) goal: watch::Receiver<Option<Position>>,
    pub(crate) halt: CancellationToken,
}

impl<B: Backend> Reader<B> {
    /// Reads until the goal is reached; gives what it saw.
    pub(crate) async fn run(self) -> anyhow::Result<(Role, Trail)> {
        let (mut trail, mut after, mut setbacks) = (Trail::new(), Position::START, 0);
        while !self.is_over(after) {
            let followed = self.follow(&mut trail, &mut after, &mut setbacks).await;
            let error = match followed {
                Ok(()) => break,
                Err(Failure::Retryable(error)) if setbacks >= SETBACKS_MAX => return Err(error),
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Conflict) => bail!("a read met a version conflict"),
                Err(Failure::Retryable(error)) => error,
            };
            tracing::warn!("{}: {error:#}", self.role);
            setbacks += 1;
            sleep(PAUSE * setbacks).await;
        }
        Ok((self.role, trail))
    }

    /// Reads on one connection, as long as it lasts.
    async fn follow(
        &self,
        trail: &mut Trail,
        after: &mut Position,
        setbacks: &mut u32,
    ) -> Result<(), Failure> {
        let mut conn = self.backend.source().acquire().await?;
        while !self.is_over(*after) {
            let read = timeout(READ_MAX, self.read(&mut conn, *after)).await;
            let (seen, through) = read.map_err(|_| anyhow!("no answer within {READ_MAX:?}"))??;
            *setbacks = 0;
            if through == *after && seen.is_empty() {
                sleep(PAUSE).await;
            }
            trail.extend(seen);
            *after = through;
        }
        Ok(())
    }

    async fn read(
        &self,
        conn: &mut B::Connection,
        after: Position,
    ) -> Result<(Trail, Position), Failure> {
        if self.role == Role::Naive {
            return self.read_naively(conn, after).await;
        }
        let limit = ReadLimit::new(EVENTS_MAX).with_positions_max(POSITIONS_MAX);
        let store = self.backend.source().store();
        let batch = store.read_events(conn, after, &self.role.filter(), limit).await?;
        let through = batch.complete_through;
        if through < after {
            return Err(anyhow!("a read after {after} is complete through {through}").into());
        }
        let seen = batch.events.iter().map(Sighting::of).collect::<anyhow::Result<Trail>>()?;
        Ok((seen, through))
    }

    async fn read_naively(
        &self,
        conn: &mut B::Connection,
        after: Position,
    ) -> Result<(Trail, Position), Failure> {
        let goal = *self.goal.borrow();
        let rows = B::read_naively(conn, after, EVENTS_MAX.get())
            .await
            .map_err(|error| Failure::of_statement(&**self.backend.source(), error))?;
        let seen = Sighting::of_rows(rows)?;
        let last = seen.last().and_then(|last| Position::try_from(last.position).ok());
        // It sees no end but that there is nothing more.
        let through = last.or(goal).unwrap_or(after);
        Ok((seen, through))
    }

    fn is_over(&self, after: Position) -> bool {
        self.halt.is_cancelled() || self.goal.borrow().is_some_and(|goal| after >= goal)
    }
}

//! The one kind of event this program appends: a commit changed a file.

use es::{Event, InvalidEvent, InvalidIdentifier, StreamId};
use serde::{Deserialize, Serialize};

use crate::git_log::{Commit, TouchedFile};

/// The bounded context of every stream here; `read_stream_lengths.sql` names it too.
const BOUNDED_CONTEXT: &str = "Git";

/// The aggregate type of every stream here; `read_stream_lengths.sql` names it too.
const AGGREGATE_TYPE: &str = "File";

/// What the event says, as JSON. The file's path is the aggregate id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileChanged {
    /// Lines added; null for a binary file, which git does not count in lines.
    pub(crate) added: Option<i64>,
    /// Lines deleted; null for a binary file.
    pub(crate) deleted: Option<i64>,
    /// The author's name.
    pub(crate) author: String,
    /// The commit.
    pub(crate) hash: String,
}

impl FileChanged {
    pub(crate) const EVENT_TYPE: &str = "FileChanged";

    /// The event of `file` in `commit`, at the time the author gave, or now if an event cannot hold
    /// that time.
    pub(crate) fn event(commit: &Commit, file: &TouchedFile) -> Result<Event, InvalidEvent> {
        let changed = FileChanged {
            added: file.added,
            deleted: file.deleted,
            author: commit.author.clone(),
            hash: commit.hash.clone(),
        };
        let event = Event::json(FileChanged::EVENT_TYPE, &changed)?;
        Ok(match commit.authored_at {
            Some(authored_at) => event.with_created_at(authored_at),
            None => event,
        })
    }

    /// Whether git took the file for binary.
    pub(crate) fn is_binary(&self) -> bool {
        self.added.is_none()
    }
}

/// The stream of a file.
pub(crate) fn stream(path: &str) -> Result<StreamId, InvalidIdentifier> {
    StreamId::new(BOUNDED_CONTEXT, AGGREGATE_TYPE, path)
}

//! Which events a reader wants: what is not said wants all.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::written_as;
use crate::error::StoreError;
use crate::filter::EventFilter;
use crate::partition::Partition;

type Names<'a> = Cow<'a, BTreeSet<String>>;

#[derive(Default, Serialize, Deserialize)]
#[serde(rename = "EventFilter", default)]
struct FilterForm<'a> {
    bounded_contexts: Names<'a>,
    aggregate_types: Names<'a>,
    event_types: Names<'a>,
    partition: Partition,
}

impl<'a> From<&'a EventFilter> for FilterForm<'a> {
    fn from(filter: &'a EventFilter) -> Self {
        let names = |names: Option<&'a BTreeSet<String>>| names.map(Cow::Borrowed);
        FilterForm {
            bounded_contexts: names(filter.bounded_contexts()).unwrap_or_default(),
            aggregate_types: names(filter.aggregate_types()).unwrap_or_default(),
            event_types: names(filter.event_types()).unwrap_or_default(),
            partition: filter.partition(),
        }
    }
}

impl TryFrom<FilterForm<'_>> for EventFilter {
    type Error = StoreError;

    fn try_from(form: FilterForm<'_>) -> Result<Self, StoreError> {
        let filter = EventFilter::default()
            .with_bounded_contexts(form.bounded_contexts.into_owned())
            .with_aggregate_types(form.aggregate_types.into_owned())
            .with_event_types(form.event_types.into_owned())
            .with_partition(form.partition);
        filter.check()?;
        Ok(filter)
    }
}

written_as! {
    EventFilter => FilterForm<'_>;
}

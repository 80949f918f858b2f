//! Numbers: positions, versions, epochs, and partitions with how many there are.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::written_as;
use crate::checkpoint::Epoch;
use crate::partition::Partition;
use crate::partition_count::{InvalidPartition, PartitionCount};
use crate::position::Position;
use crate::version::{ExpectedVersion, Version};

macro_rules! numbers {
    ($($name:ty => $number:ty;)*) => {
        $(impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.get().serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let number = <$number>::deserialize(deserializer)?;
                Self::try_from(number).map_err(de::Error::custom)
            }
        })*
    };
}

numbers! {
    Position => i64;
    Version => i64;
    Epoch => i64;
    PartitionCount => u16;
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Partition")]
struct PartitionForm {
    index: u16,
    total: PartitionCount,
}

impl From<&Partition> for PartitionForm {
    fn from(partition: &Partition) -> Self {
        PartitionForm { index: partition.index(), total: partition.total() }
    }
}

impl TryFrom<PartitionForm> for Partition {
    type Error = InvalidPartition;

    fn try_from(form: PartitionForm) -> Result<Self, InvalidPartition> {
        Partition::new(form.index, form.total)
    }
}

/// `"any"`, `"no_stream"` or `{"exact":3}`.
#[derive(Serialize, Deserialize)]
#[serde(rename = "ExpectedVersion", rename_all = "snake_case")]
enum ExpectedVersionForm {
    Any,
    NoStream,
    Exact(Version),
}

impl From<&ExpectedVersion> for ExpectedVersionForm {
    fn from(expected: &ExpectedVersion) -> Self {
        match *expected {
            ExpectedVersion::Any => ExpectedVersionForm::Any,
            ExpectedVersion::NoStream => ExpectedVersionForm::NoStream,
            ExpectedVersion::Exact(version) => ExpectedVersionForm::Exact(version),
        }
    }
}

impl From<ExpectedVersionForm> for ExpectedVersion {
    fn from(form: ExpectedVersionForm) -> Self {
        match form {
            ExpectedVersionForm::Any => ExpectedVersion::Any,
            ExpectedVersionForm::NoStream => ExpectedVersion::NoStream,
            ExpectedVersionForm::Exact(version) => ExpectedVersion::Exact(version),
        }
    }
}

written_as! {
    Partition => PartitionForm;
    ExpectedVersion => ExpectedVersionForm;
}

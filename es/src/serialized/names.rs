//! Names: texts.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::checkpoint::ProjectionName;
use crate::projection_state::WorkerId;
use crate::schema::SqlName;

macro_rules! texts {
    ($($name:ty => $checked:expr;)*) => {
        $(impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $checked(&text).map_err(de::Error::custom)
            }
        })*
    };
}

texts! {
    ProjectionName => ProjectionName::new;
    WorkerId => WorkerId::new;
    SqlName => |text: &str| text.parse::<SqlName>();
}

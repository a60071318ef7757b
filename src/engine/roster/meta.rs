//! Whose devices a roster holds, and where they are enrolled.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::RosterError;

/// The format that is written here.
pub(super) const FORMAT: u32 = 1;

/// Whose devices a roster holds, and where they are enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Meta {
    /// The format of everything else.
    pub format: u32,
    /// The public id of the crowd, hexadecimal.
    pub crowd: String,
    /// When it was made, RFC 3339.
    pub made: String,
    /// The target's URL; `None` until a run has used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The push topic the devices enrolled with; `None` until one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

/// What somebody expects of a roster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The target's URL.
    pub target: Option<String>,
    /// The push topic.
    pub topic: Option<String>,
}

impl Meta {
    /// Refuses a roster of another crowd.
    pub(super) fn check_crowd(&self, folder: &Path, crowd: &str) -> Result<(), RosterError> {
        if self.crowd == crowd {
            return Ok(());
        }
        Err(RosterError::OtherCrowd {
            folder: folder.to_owned(),
            found: self.crowd.clone(),
            expected: crowd.to_owned(),
        })
    }

    /// Takes on what is expected where nothing is known yet, and refuses what is not so.
    pub(super) fn agree(&mut self, folder: &Path, want: &Expected) -> Result<(), RosterError> {
        if let Some(expected) = &want.target {
            let found = self.target.get_or_insert_with(|| expected.clone());
            if found != expected {
                return Err(RosterError::OtherTarget {
                    folder: folder.to_owned(),
                    found: found.clone(),
                    expected: expected.clone(),
                });
            }
        }
        if let Some(expected) = &want.topic {
            let found = self.topic.get_or_insert_with(|| expected.clone());
            if found != expected {
                return Err(RosterError::OtherTopic {
                    folder: folder.to_owned(),
                    found: found.clone(),
                    expected: expected.clone(),
                });
            }
        }
        Ok(())
    }
}

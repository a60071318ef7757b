//! What few devices have beside what they share with their cohort.

/// What a device has come by in its life, and keeps whoever manages it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Acquired {
    /// `OSVersion`, if it was updated.
    pub(super) os_version: Option<String>,
    /// How often it was updated in this run.
    pub(super) updates: u8,
}

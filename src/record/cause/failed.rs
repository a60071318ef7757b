//! Causes of commands that failed for good, by their error codes. They explain no wait.

use crate::fact::{ErrorCode, ErrorEnds};
use crate::metric::Owner;

use super::{Cause, Rule};

pub(super) const RULES: [Rule; 1] = [Rule {
    cause: Cause::LicenseMissing,
    name: "license-missing",
    owner: Some(Owner::Operator),
    holds: |_| None,
    remedy: "buy or free licences of the app in Apple Business or School Manager, assign them to \
             the devices, and send the command again: it does not retry by itself",
}];

/// The domain of the management client, and its codes for an app without a licence: none for this
/// bundle identifier, no assignment, not found.
const LICENSE: (&str, [i64; 3]) = ("MCMDMErrorDomain", [12026, 12047, 12064]);

pub(super) fn of_error(error: &ErrorEnds) -> Option<Cause> {
    let (domain, codes) = LICENSE;
    let is_license = |error: &ErrorCode| error.domain == domain && codes.contains(&error.code);
    let any = is_license(&error.top) || error.deepest.as_ref().is_some_and(is_license);
    any.then_some(Cause::LicenseMissing)
}

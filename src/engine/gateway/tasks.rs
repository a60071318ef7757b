//! Tasks of the gateway: one that panics takes the gateway with it, so that nobody trusts what is left.

use tokio::task::JoinError;

/// Passes a task's panic on.
pub(in crate::engine) fn pass_on(joined: Result<(), JoinError>) {
    if let Err(error) = joined
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

//! The authority of the reference server: the identities it issues outlive a run of it.

use std::path::PathBuf;

use super::{Folder, State, StateError};
use crate::engine::pki::keys::KeyKind;

/// The name of its files.
const NAME: &str = "enrollment-ca";

impl State {
    /// The certificate of the authority that the reference server issues identities with, and its
    /// key, both as PEM. Made when it is first asked for: its key is RSA, which takes a while.
    pub fn enrollment_authority(&self) -> Result<(String, String), StateError> {
        let folder = Folder::open(&self.folder)?;
        folder.authority(KeyKind::Rsa2048, NAME, "mdmstorm enrolment CA")?;
        let read = |end: &str| {
            let text = folder.read(&format!("{NAME}.{end}"))?;
            Ok::<_, StateError>(text.expect("an authority that was opened has both files"))
        };
        Ok((read("pem")?, read("key")?))
    }

    /// Where that certificate is.
    pub fn enrollment_authority_path(&self) -> PathBuf {
        self.folder.join(format!("{NAME}.pem"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::authority::Authority;
    use crate::engine::clock::wall_now;

    #[test]
    fn the_authority_of_enrolment_is_made_when_asked_for_and_kept() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("state");
        let state = State::open(&dir).unwrap();
        assert!(!state.enrollment_authority_path().exists());
        let made = state.enrollment_authority().unwrap();
        assert!(state.enrollment_authority_path().exists());
        let again = State::open(&dir).unwrap().enrollment_authority().unwrap();
        assert_eq!(again, made);
        Authority::load(&made.0, &made.1, wall_now()).unwrap();
    }
}

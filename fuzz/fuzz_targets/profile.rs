//! Any enrolment profile: it is read or refused, and what was read is read again as it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mdmstorm::protocol::profile::{Document, Profile};

fuzz_target!(|data: &[u8]| {
    let Ok(Document::Profile(profile)) = Document::decode(data) else {
        return;
    };
    let again = Profile::decode(&profile.encode()).expect("what was written can be read");
    assert_eq!(again.mdm, profile.mdm);
    let _ = again.identity();
    let _ = profile.enrollment();
});

//! Any certificate: it is read or refused, and everything that is asked of it is answered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mdmstorm::engine::pki::certificate::Certificate;

fuzz_target!(|data: &[u8]| {
    let Ok(read) = Certificate::read(data) else {
        return;
    };
    let _ = (read.subject(), read.issuer(), read.common_name(), read.key_usage());
    let _ = (read.has_rsa_key(), read.is_authority(), read.validity(), read.is_signed_by(&read));
    // What was read is normal, and is read alike again.
    assert_eq!(Certificate::read(read.der()), Ok(read));
});

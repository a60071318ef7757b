//! Any file of an identity: it is read or refused, within bounded time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mdmstorm::engine::pki::pkcs12::Pkcs12;

fuzz_target!(|data: &[u8]| {
    if let Ok(read) = Pkcs12::read(data, "secret") {
        assert_eq!(read.certificate.public_key(), read.key.public_key());
    }
});

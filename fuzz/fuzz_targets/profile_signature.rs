//! Any profile, plain or signed: a plain one is given back as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mdmstorm::engine::pki::profile_signature;

fuzz_target!(|data: &[u8]| {
    match profile_signature::open(data) {
        Ok(opened) if opened.signer.is_none() => assert_eq!(opened.content, data),
        Ok(_) => assert_eq!(data.first(), Some(&0x30)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

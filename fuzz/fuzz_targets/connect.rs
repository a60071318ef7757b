//! Any head of a request to the CONNECT proxy: a target that is read is one that can be written, and
//! means the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mdmstorm::apns::connect::{HEAD_MAX, parse_connect};

fuzz_target!(|data: &[u8]| {
    let Ok(target) = parse_connect(data) else {
        return;
    };
    assert!(data.len() <= HEAD_MAX);
    assert!(data.starts_with(b"CONNECT "), "another method was taken");
    assert!(data.ends_with(b"\r\n\r\n"));
    assert!(!target.host.is_empty());
    assert!(!target.host.contains(|it: char| it.is_whitespace() || it.is_control()));
    let again = format!("CONNECT {target} HTTP/1.1\r\n\r\n");
    assert_eq!(parse_connect(again.as_bytes()), Ok(target));
});

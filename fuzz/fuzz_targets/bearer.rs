//! Any bearer tokens, one line each, on one connection of a provider without a certificate: none is
//! taken that is not signed, and a connection does not change its team.
//!
//! A signature counts as good when it begins with the byte 1; the corpus has both. Each line goes on
//! for a time that its first character gives, so that tokens get old.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use mdmstorm::apns::admission::Incoming;
use mdmstorm::apns::provider::{Environment, Provider};
use mdmstorm::ids::{Channel, DeviceId, hex_lower};
use mdmstorm::time::SimTime;
use mdmstorm_fuzz::{TOPIC, admission, check_refused, crowd};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut admission = admission();
    let mut provider = Provider::new(None, Environment::Production);
    let mut seconds = 0;
    // A rate of two a second for each of the devices from 3 on would hide what this is about.
    for (at, line) in text.split('\n').take(16).enumerate() {
        let device = DeviceId(3 + at as u32 % 7);
        let path = hex_lower(&crowd().token(Channel::device(device), 0).0);
        let wait = line.chars().next().map_or(0, |first| u32::from(first) % 64);
        seconds += u64::from(wait) * 60;
        let push = Incoming {
            method: "POST",
            path: &format!("/3/device/{path}"),
            authorization: Some(line),
            topic: Some(TOPIC),
            id: None,
            expiration: None,
            priority: None,
            push_type: None,
            collapse_id: None,
            has_duplicates: false,
            payload: b"{\"mdm\":\"magic\"}",
        };
        match admission.admit(SimTime::from_secs(seconds), &mut provider, &push) {
            Ok(_) => {
                let signature = line.rsplit('.').next().unwrap().trim();
                let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
                assert_eq!(signature.first(), Some(&1), "an unsigned token was taken");
            }
            Err(refused) => check_refused(&refused),
        }
    }
});

//! Any payload: it is read or refused, and admission and the reader of payloads agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mdmstorm::apns::admission::Incoming;
use mdmstorm::apns::provider::{Certificate, Environment, Provider};
use mdmstorm::ids::{Channel, DeviceId, hex_lower};
use mdmstorm::protocol::push::{self, MAX_PAYLOAD};
use mdmstorm::time::SimTime;
use mdmstorm_fuzz::{TOPIC, admission, check_refused, crowd};

fuzz_target!(|data: &[u8]| {
    let read = push::magic(data);
    let token = crowd().token(Channel::device(DeviceId(3)), 0);
    let path = format!("/3/device/{}", hex_lower(&token.0));
    let push = Incoming {
        method: "POST",
        path: &path,
        authorization: None,
        topic: None,
        id: None,
        expiration: None,
        priority: None,
        push_type: None,
        collapse_id: None,
        has_duplicates: false,
        payload: data,
    };
    let certificate = Certificate::for_topic(TOPIC);
    let mut provider = Provider::new(Some(certificate), Environment::Production);
    match admission().admit(SimTime::ZERO, &mut provider, &push) {
        Ok(admitted) => {
            assert!(data.len() <= MAX_PAYLOAD);
            assert_eq!(admitted.magic.as_deref(), read.unwrap().as_deref());
        }
        Err(refused) => {
            check_refused(&refused);
            assert!(read.is_err(), "{refused:?} although the payload is read");
        }
    }
    // What is written is read again.
    if let Ok(text) = std::str::from_utf8(data) {
        let written = push::payload(text);
        if written.len() <= MAX_PAYLOAD {
            assert_eq!(push::magic(&written).unwrap().as_deref(), Some(text));
        }
    }
});

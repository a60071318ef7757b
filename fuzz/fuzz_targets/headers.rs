//! Any method, path and headers, by any provider: admission answers, and what it lets in is a push to
//! one of the devices.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mdmstorm::apns::slot::Keep;
use mdmstorm::protocol::push::Reason;
use mdmstorm::time::SimTime;
use mdmstorm_fuzz::{DEVICES, TOPIC, Written, admission, check_refused};

fuzz_target!(|data: &[u8]| {
    let Some(written) = Written::read(data) else {
        return;
    };
    let (mut admission, mut provider) = (admission(), written.provider());
    let push = written.incoming();
    let owner = admission.owner(push.path);
    let now = SimTime::from_secs(5);
    // The rate is two in a second: the third push is one too many, if the first was let in.
    for nth in 1..=3 {
        match admission.admit(now, &mut provider, &push) {
            Ok(admitted) => {
                assert!(nth <= 2, "the rate was not looked at");
                assert_eq!(owner, Some(admitted.channel));
                assert!(admitted.channel.device.0 < DEVICES);
                assert_eq!(&*admitted.topic, TOPIC);
                match admitted.keep {
                    Keep::Until(until) => assert!(until >= now),
                    Keep::Never => {}
                }
            }
            Err(refused) => {
                check_refused(&refused);
                assert_eq!(refused.channel, owner);
                let is_rate = refused.refusal.reason == Reason::TooManyRequests;
                assert!(nth == 1 || nth == 3 || !is_rate);
                assert!(nth > 1 || !is_rate);
            }
        }
    }
});

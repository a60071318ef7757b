//! Any body of a server: as a property list, a command, a check-in and a report it is read or refused.
#![no_main]

use ::plist::Value;
use libfuzzer_sys::fuzz_target;
use mdmstorm::protocol::checkin::CheckIn;
use mdmstorm::protocol::command::Command;
use mdmstorm::protocol::plist;
use mdmstorm::protocol::status_report::StatusReport;

fuzz_target!(|data: &[u8]| {
    if let Ok(Value::Dictionary(read)) = plist::decode(data) {
        assert!(plist::decode(&plist::encode(&read)).is_ok());
    }
    let _ = Command::decode(data);
    let _ = CheckIn::decode(data);
    let _ = StatusReport::decode(data);
});

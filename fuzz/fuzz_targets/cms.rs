//! Any signed or enveloped message: it is read or refused by name, and a signature that is right is one
//! over what is inside.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mdmstorm::engine::pki::certificate::Certificate;
use mdmstorm::engine::pki::draft::self_signed;
use mdmstorm::engine::pki::enveloped_data;
use mdmstorm::engine::pki::keys::{DeviceKey, KeyKind};
use mdmstorm::engine::pki::name::Name;
use mdmstorm::engine::pki::signed_data;
use mdmstorm::time::WallTime;

static HOLDER: LazyLock<(DeviceKey, Certificate)> = LazyLock::new(|| {
    let key = DeviceKey::generate(KeyKind::Rsa2048).unwrap();
    let name = Name::common("device").to_der().unwrap();
    let certificate = self_signed(&key, &name, WallTime::from_unix_micros(0)).unwrap();
    (key, Certificate::read(&certificate).unwrap())
});

fuzz_target!(|data: &[u8]| {
    if let Ok(signed) = signed_data::read(data) {
        if let Ok(signer) = signed.verify(&[]) {
            assert!(signed.certificates().contains(&signer.certificate));
            let content = signed.content().unwrap_or_default();
            assert_eq!(signed.verify_detached(content, &[]), Ok(signer));
        }
        let _ = signed.verify_detached(b"beside", &[]);
    }
    let (key, certificate) = &*HOLDER;
    let _ = enveloped_data::is_enveloped(data);
    let _ = enveloped_data::open(data, key, certificate);
});

//! Any answer to GetCACert, GetCACaps and PKIOperation, and any PKIOperation to our own authority: no
//! answer counts that the authority did not sign.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mdmstorm::engine::authority::Authority;
use mdmstorm::engine::pki::certificate::Certificate;
use mdmstorm::engine::pki::draft::self_signed;
use mdmstorm::engine::pki::enveloped_data::Cipher;
use mdmstorm::engine::pki::keys::{DeviceKey, KeyKind};
use mdmstorm::engine::pki::name::Name;
use mdmstorm::engine::pki::request::Request;
use mdmstorm::engine::pki::scep::answer::PkiAnswer;
use mdmstorm::engine::pki::scep::authority::CaCertificates;
use mdmstorm::engine::pki::scep::capabilities::Capabilities;
use mdmstorm::engine::pki::scep::operation::Operation;
use mdmstorm::engine::pki::scep::request::{Asking, PkiRequest};
use mdmstorm::time::WallTime;

const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);

struct Rig {
    authority: Authority,
    known: CaCertificates,
    key: DeviceKey,
    certificate: Certificate,
}

impl Rig {
    fn asking(&self) -> Asking<'_> {
        Asking {
            authority: &self.known,
            cipher: Cipher::Aes128,
            key: &self.key,
            certificate: &self.certificate,
            at: NOW,
        }
    }
}

static RIG: LazyLock<Rig> = LazyLock::new(|| {
    let (authority, _) = Authority::create_of(KeyKind::Rsa2048, "SCEP", NOW).unwrap();
    let known = CaCertificates::read(authority.certificate()).unwrap();
    let key = DeviceKey::generate(KeyKind::Rsa2048).unwrap();
    let name = Name::common("device").to_der().unwrap();
    let certificate = Certificate::read(&self_signed(&key, &name, NOW).unwrap()).unwrap();
    Rig {
        authority,
        known,
        key,
        certificate,
    }
});
static SENT: LazyLock<PkiRequest> =
    LazyLock::new(|| PkiRequest::poll(RIG.key.public_key(), &RIG.asking()).unwrap());

fuzz_target!(|data: &[u8]| {
    let _ = Capabilities::read(data);
    if let Ok(known) = CaCertificates::read(data) {
        assert!(known.recipient().has_rsa_key());
    }
    assert!(PkiAnswer::read(data, &SENT, &RIG.asking()).is_err(), "a forged answer counts");
    let _ = Operation::read(data, &RIG.authority);
    let _ = Request::read(data);
});

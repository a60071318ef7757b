//! The server's SCEP side, and over the air, which rests on it.

use http::Request;
use mdmstorm::engine::authority::{Credential, Validity};
use mdmstorm::engine::clock::wall_now;
use mdmstorm::engine::pki::certificate::Certificate;
use mdmstorm::engine::pki::draft::self_signed;
use mdmstorm::engine::pki::enveloped_data::Cipher;
use mdmstorm::engine::pki::keys::{DeviceKey, KeyKind};
use mdmstorm::engine::pki::name::Name;
use mdmstorm::engine::pki::request::Wish;
use mdmstorm::engine::pki::scep::answer::PkiAnswer;
use mdmstorm::engine::pki::scep::authority::CaCertificates;
use mdmstorm::engine::pki::scep::request::{Asking, PkiRequest};
use mdmstorm::engine::pki::scep::{FailInfo, Purpose};
use mdmstorm::engine::pki::signed_data::{self, Signing, sign};
use mdmstorm::engine::serve::IdentityMode;
use mdmstorm::protocol::profile::{Document, Identity, Profile};
use mdmstorm::scenario::{AuthorityForm, Challenge, EmbeddedTarget, ReplyCipher};
use mdmstorm::time::WallTime;
use plist::Dictionary;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::rig::{Rig, idle};

/// A device with a key and what it knows of the authority.
struct Device {
    key: DeviceKey,
    certificate: Certificate,
    authority: CaCertificates,
}

impl Device {
    async fn new(rig: &Rig) -> Self {
        let answer = rig.fetch("/scep?operation=GetCACert").await;
        let authority = CaCertificates::read(&answer.body).unwrap();
        let key = DeviceKey::generate(KeyKind::Rsa2048).unwrap();
        let certificate = self_signed(&key, &subject(), wall_now()).unwrap();
        let certificate = Certificate::read(&certificate).unwrap();
        Self {
            key,
            certificate,
            authority,
        }
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            authority: &self.authority,
            cipher: Cipher::Aes128,
            key: &self.key,
            certificate: &self.certificate,
            at: wall_now(),
        }
    }

    async fn send(&self, rig: &Rig, sent: &PkiRequest) -> PkiAnswer {
        let post = Request::post("/scep?operation=PKIOperation");
        let answer = rig.ask(post, sent.message.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), "application/x-pki-message");
        PkiAnswer::read(&answer.body, sent, &self.asking()).unwrap()
    }

    fn request(&self, purpose: Purpose, challenge: Option<&str>) -> PkiRequest {
        let subject = subject();
        let wish = Wish {
            subject: &subject,
            challenge,
            ..Wish::default()
        };
        let csr = wish.sign(&self.key).unwrap();
        PkiRequest::ask(purpose, &csr, self.key.public_key(), &self.asking()).unwrap()
    }

    async fn ask(&self, rig: &Rig, challenge: Option<&str>) -> PkiAnswer {
        self.send(rig, &self.request(Purpose::Enroll, challenge))
            .await
    }

    fn credential(&self, certificate: Vec<u8>) -> Credential {
        Credential {
            chain: vec![CertificateDer::from(certificate)],
            key: PrivatePkcs8KeyDer::from(self.key.pkcs8().to_vec()).into(),
        }
    }
}

fn subject() -> Vec<u8> {
    Name::common("device").to_der().unwrap()
}

async fn started(rules: EmbeddedTarget) -> Rig {
    Rig::start_enrolling(IdentityMode::Signature, Some(rules)).await
}

fn issued(answer: PkiAnswer) -> Vec<u8> {
    let PkiAnswer::Issued { certificate, .. } = answer else {
        panic!("{answer:?}");
    };
    certificate
}

fn why_refused(answer: PkiAnswer) -> FailInfo {
    let PkiAnswer::Refused { why, .. } = answer else {
        panic!("{answer:?}");
    };
    why
}

#[tokio::test]
async fn a_device_gets_its_certificate_by_scep_and_enrols_with_it() {
    for (authority, reply_cipher) in [
        (AuthorityForm::Single, ReplyCipher::Aes256),
        (AuthorityForm::Chain, ReplyCipher::Des),
    ] {
        let mut rig = started(EmbeddedTarget {
            authority,
            reply_cipher,
            ..EmbeddedTarget::default()
        })
        .await;
        let capabilities = rig.fetch("/scep?operation=GetCACaps").await;
        assert!(capabilities.text().contains("POSTPKIOperation"));
        let Identity::Scep(scep) = rig.fetch("/enroll").await.profile().identity else {
            panic!("the usual way is SCEP");
        };
        let device = Device::new(&rig).await;
        assert!(device.authority.has_fingerprint(&scep.fingerprint.unwrap()));
        let challenge = scep.challenge.as_deref();
        let certificate = issued(device.ask(&rig, challenge).await);
        rig.credential = Some(device.credential(certificate));
        rig.enroll().await;
        let seen = rig.seen().await;
        assert_eq!(seen["devices"][0]["certificates"], 1);
        assert_eq!(seen["scep"]["issued"], 1);
    }
}

#[tokio::test]
async fn a_message_in_the_address_is_as_good_as_one_in_the_body() {
    use base64::Engine as _;
    let rig = started(EmbeddedTarget::default()).await;
    let device = Device::new(&rig).await;
    let sent = device.request(Purpose::Enroll, Some("mdmstorm"));
    let message = base64::engine::general_purpose::STANDARD.encode(&sent.message);
    let message = message.replace('+', "%2B").replace('=', "%3D");
    let path = format!("/scep?operation=PKIOperation&message={message}");
    let answer = rig.fetch(&path).await;
    let answer = PkiAnswer::read(&answer.body, &sent, &device.asking()).unwrap();
    issued(answer);
}

#[tokio::test]
async fn a_challenge_that_is_good_once_buys_one_certificate() {
    let rig = started(EmbeddedTarget {
        challenge: Challenge::OneTime,
        ..EmbeddedTarget::default()
    })
    .await;
    let Identity::Scep(scep) = rig.fetch("/enroll").await.profile().identity else {
        panic!("the usual way is SCEP");
    };
    let challenge = scep.challenge.as_deref();
    let first = Device::new(&rig).await;
    issued(first.ask(&rig, challenge).await);
    for challenge in [challenge, Some("made up"), None] {
        let device = Device::new(&rig).await;
        let refused = why_refused(device.ask(&rig, challenge).await);
        assert_eq!(refused, FailInfo::Request);
    }
    let seen = rig.seen().await;
    assert_eq!(seen["challenges"]["used"], 1);
    // The certificate it bought has enrolled nobody.
    assert_eq!(seen["challenges"]["burnt"], 1);
    assert_eq!(seen["scep"]["refused"], 3);
}

#[tokio::test]
async fn a_request_waits_as_often_as_the_rules_say_and_keeps_its_challenge() {
    let rig = started(EmbeddedTarget {
        challenge: Challenge::OneTime,
        pending: 2,
        ..EmbeddedTarget::default()
    })
    .await;
    let Identity::Scep(scep) = rig.fetch("/enroll").await.profile().identity else {
        panic!("the usual way is SCEP");
    };
    let device = Device::new(&rig).await;
    let challenge = scep.challenge.as_deref();
    assert_eq!(device.ask(&rig, challenge).await, PkiAnswer::Pending);
    // Some ask again, others poll.
    assert_eq!(device.ask(&rig, challenge).await, PkiAnswer::Pending);
    let poll = PkiRequest::poll(device.key.public_key(), &device.asking()).unwrap();
    issued(device.send(&rig, &poll).await);
    let over = device.send(&rig, &poll).await;
    assert_eq!(why_refused(over), FailInfo::CertificateId);
    let seen = rig.seen().await;
    assert_eq!(seen["scep"]["pending"], 2);
    assert_eq!(seen["challenges"]["used"], 1);
}

#[tokio::test]
async fn a_certificate_is_renewed_by_who_has_it_without_a_challenge() {
    let rig = started(EmbeddedTarget::default()).await;
    let mut device = Device::new(&rig).await;
    let stranger = device.request(Purpose::Renew, None);
    let refused = device.send(&rig, &stranger).await;
    assert_eq!(why_refused(refused), FailInfo::MessageCheck);
    let certificate = issued(device.ask(&rig, Some("mdmstorm")).await);
    device.certificate = Certificate::read(&certificate).unwrap();
    let renewal = device.request(Purpose::Renew, None);
    let renewed = issued(device.send(&rig, &renewal).await);
    assert_ne!(renewed, certificate);
    assert_eq!(rig.seen().await["scep"]["renewed"], 1);
}

#[tokio::test]
async fn a_slow_clock_signs_before_a_certificate_that_is_not_back_dated() {
    let mut rig = started(EmbeddedTarget {
        back_date: std::time::Duration::ZERO,
        ..EmbeddedTarget::default()
    })
    .await;
    let device = Device::new(&rig).await;
    let certificate = issued(device.ask(&rig, Some("mdmstorm")).await);
    let from = Validity::of_certificate(&certificate).unwrap().from;
    assert!((wall_now().unix_seconds() - from.unix_seconds()) < 60);
    rig.credential = Some(device.credential(certificate));
    let slow = wall_now().unix_micros() - 30 * 60 * 1_000_000;
    rig.clock = Some(WallTime::from_unix_micros(slow));
    let (status, why) = rig.device("/mdm", "", idle(&rig.udid)).await;
    let why = String::from_utf8(why).unwrap();
    assert_eq!(status, 400);
    assert!(why.contains("signed at"), "{why}");
    rig.clock = None;
    rig.enroll().await;
}

#[tokio::test]
async fn over_the_air_takes_three_phases() {
    let rig = started(EmbeddedTarget::default()).await;
    let first = rig.fetch("/ota/enroll").await;
    let Document::Service(service) = Document::decode(&first.body).unwrap() else {
        panic!("the first phase is a Profile Service payload");
    };
    assert!(service.url.ends_with("/ota/phase23"));
    let known = [("UDID", "UDID-1".to_owned()), ("SERIAL", "S1".to_owned())];
    let attributes = service.answer(&known.into_iter().collect());
    let phase = |credential: &Credential| {
        let body = signed_by(credential, &attributes);
        rig.ask(Request::post("/ota/phase23"), body)
    };
    let made = rig.other_device();
    let second = phase(&made).await;
    assert_eq!(second.status, 200, "{}", second.text());
    let identity = Profile::decode(&second.body).unwrap().identity().unwrap();
    let Identity::Scep(scep) = identity else {
        panic!("the identity is by SCEP");
    };
    let device = Device::new(&rig).await;
    let certificate = issued(device.ask(&rig, scep.challenge.as_deref()).await);
    let third = phase(&device.credential(certificate)).await.profile();
    assert_eq!(third.mdm.topic, rig.topic);
    let stranger = phase(&rig.stranger()).await;
    assert_eq!(stranger.status, 400);
    assert!(stranger.text().contains("vouches"), "{}", stranger.text());
    let unsigned = rig
        .ask(Request::post("/ota/phase23"), attributes.clone())
        .await;
    assert_eq!(unsigned.status, 400);
}

#[tokio::test]
async fn automated_enrolment_takes_machine_info_of_devices_it_knows() {
    use base64::Engine as _;
    let rig = started(EmbeddedTarget {
        minimum_os: Some("17.4".to_owned()),
        ..EmbeddedTarget::default()
    })
    .await;
    let machine = |version: &str| {
        let machine = Dictionary::from_iter([
            ("UDID", plist::Value::from("UDID-1")),
            ("PRODUCT", "iPad13,18".into()),
            ("OS_VERSION", version.into()),
            ("MDM_CAN_REQUEST_SOFTWARE_UPDATE", true.into()),
        ]);
        mdmstorm::protocol::plist::encode(&machine)
    };
    let known = rig.other_device();
    let post = async |body| rig.ask(Request::post("/ade"), body).await;
    let profile = post(signed_by(&known, &machine("17.4"))).await.profile();
    assert_eq!(profile.mdm.topic, rig.topic);
    let old = post(signed_by(&known, &machine("16.0"))).await;
    assert_eq!(old.status, 403);
    assert_eq!(old.json()["code"], "com.apple.softwareupdate.required");
    assert_eq!(old.json()["details"]["OSVersion"], "17.4");
    let body = signed_by(&known, &machine("16.0"));
    let plist = rig.ask(Request::post("/ade?form=plist"), body).await;
    assert_eq!(plist.status, 403);
    assert!(plist.text().contains("<key>code</key>"), "{}", plist.text());
    let stranger = post(signed_by(&rig.stranger(), &machine("17.4"))).await;
    assert_eq!(stranger.status, 400);
    let header =
        base64::engine::general_purpose::STANDARD.encode(signed_by(&known, &machine("18")));
    let older = Request::get("/ade").header("x-apple-aspen-deviceinfo", header);
    rig.ask(older, Vec::new()).await.profile();
    assert_eq!(rig.fetch("/ade").await.status, 400);
}

#[tokio::test]
async fn a_profile_is_signed_where_the_rules_say_so() {
    let rig = started(EmbeddedTarget {
        signed_profile: true,
        ..EmbeddedTarget::default()
    })
    .await;
    let answer = rig.fetch("/enroll").await;
    let signed = signed_data::read(&answer.body).unwrap();
    signed.verify(&[]).unwrap();
    let profile = Profile::decode(signed.content().unwrap()).unwrap();
    assert_eq!(profile.enrollment().unwrap().mdm.topic, rig.topic);
}

#[tokio::test]
async fn what_is_no_scep_is_refused_and_the_server_goes_on() {
    let rig = started(EmbeddedTarget::default()).await;
    for body in [
        &b""[..],
        b"<html>",
        &[0x30; 4096],
        &[0x30, 0x80].repeat(500),
    ] {
        let post = Request::post("/scep?operation=PKIOperation");
        assert_eq!(rig.ask(post, body.to_vec()).await.status, 400);
        let post = Request::post("/ade");
        assert_eq!(rig.ask(post, body.to_vec()).await.status, 400);
        let post = Request::post("/acme/new-account");
        assert_eq!(rig.ask(post, body.to_vec()).await.status, 400);
    }
    assert_eq!(rig.fetch("/scep?operation=Nothing").await.status, 400);
    let device = Device::new(&rig).await;
    issued(device.ask(&rig, Some("mdmstorm")).await);
}

fn signed_by(credential: &Credential, content: &[u8]) -> Vec<u8> {
    let key = DeviceKey::from_pkcs8(credential.key.secret_der()).unwrap();
    let signing = Signing {
        key: &key,
        certificate: &credential.chain[0],
        others: &[],
        at: wall_now(),
        attributes: &[],
    };
    sign(content, &signing).unwrap()
}

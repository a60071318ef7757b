//! What is made in the state folder, and what is refused there.

use super::*;

#[test]
fn the_folder_is_made_once_private_and_reused() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("state/mdmstorm");
    let made = State::open(&dir).unwrap();
    let again = State::open(&dir).unwrap();
    assert!(made.crowd == again.crowd && made.topic == again.topic);
    assert_eq!(made.push.chain, again.push.chain);
    assert_eq!(
        made.device_authority.certificate(),
        again.device_authority.certificate()
    );
    assert!(made.topic.starts_with(TOPIC_PREFIX));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn an_authority_that_was_brought_along_signs_for_the_topic_that_devices_know() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("state");
    let own = State::open(&dir).unwrap();
    let (authority, key) = Authority::create("company", wall_now()).unwrap();
    let given = GivenAuthority {
        certificate: base.path().join("ca.pem"),
        key: base.path().join("ca.key"),
    };
    fs::write(&given.certificate, authority.certificate_pem()).unwrap();
    fs::write(&given.key, key).unwrap();
    let state = State::open_with(&dir, Some(&given)).unwrap();
    assert_eq!(state.topic, own.topic);
    assert_eq!(topic_of(&state.push.chain[0]), Some(own.topic.clone()));
    assert_ne!(state.push.chain, own.push.chain);
    assert_eq!(state.apns_authority_path(), given.certificate);
    let again = State::open_with(&dir, Some(&given)).unwrap();
    assert_eq!(state.push.chain, again.push.chain);
    let written = fs::read_to_string(&state.push_paths()[0]).unwrap();
    assert_eq!(written, state.push.certificates_pem());
    // Without it, everything is as it was.
    assert_eq!(State::open(&dir).unwrap().push.chain, own.push.chain);
    fs::remove_file(&given.key).unwrap();
    let error = State::open_with(&dir, Some(&given)).unwrap_err();
    assert!(error.to_string().contains("ca.key"), "{error}");
}

#[test]
fn two_that_come_first_at_once_agree() {
    let base = tempfile::tempdir().unwrap();
    let open = || State::open(&base.path().join("state")).unwrap().crowd;
    let crowds: Vec<Crowd> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(crowds.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn damage_is_named_with_its_file_and_remedy() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("state");
    State::open(&dir).unwrap();
    let broken = |name: &str, content: &str| {
        let path = dir.join(name);
        let before = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        let error = State::open(&dir).unwrap_err().to_string();
        fs::write(&path, before).unwrap();
        assert!(
            error.contains(name) && error.contains("remove the folder"),
            "{error}"
        );
        error
    };
    assert!(broken("device-ca.pem", "junk").contains("no certificate"));
    assert!(broken("crowd.key", "zz").contains("72 hexadecimal digits"));
    assert!(broken("push.pem", "").contains("no certificate"));
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let error = State::open(&dir).unwrap_err().to_string();
    assert!(
        error.contains("mode 755") && error.contains("chmod 700"),
        "{error}"
    );
}

#[test]
fn the_rsa_push_certificate_is_made_once_for_the_same_topic() {
    let base = tempfile::tempdir().unwrap();
    let state = State::open(&base.path().join("state")).unwrap();
    let made = state.rsa_push().unwrap();
    assert_eq!(topic_of(&made.chain[0]), Some(state.topic.clone()));
    assert_eq!(state.rsa_push().unwrap().chain, made.chain);
    let [certificate, key] = state
        .rsa_push_paths()
        .map(|it| fs::read_to_string(it).unwrap());
    assert_eq!(certificate, made.certificates_pem());
    assert!(key.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert_ne!(state.rsa_push_paths(), state.push_paths());
}

#[test]
fn the_default_folder_follows_the_xdg_rules() {
    let dir = |xdg: Option<&str>, home: Option<&str>| {
        State::default_dir(xdg.map(OsStr::new), home.map(OsStr::new))
    };
    assert_eq!(dir(Some("/x"), Some("/h")), Some("/x/mdmstorm".into()));
    let fallback = Some("/h/.local/state/mdmstorm".into());
    assert_eq!(dir(Some("relative"), Some("/h")), fallback);
    assert_eq!(dir(None, None), None);
}

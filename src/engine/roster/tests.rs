use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use super::*;
use crate::device::keepsake::Keepsake;
use crate::device::traits::{Platform, Traits};
use crate::ids::CrowdId;

fn crowd(n: u8) -> Crowd {
    Crowd::new(CrowdId([n; 4]), [n; 32])
}

fn identity(n: u32) -> OwnIdentity {
    OwnIdentity {
        key: n.to_be_bytes().repeat(20).into(),
        chain: vec![
            CertificateDer::from(n.to_le_bytes().repeat(30)),
            CertificateDer::from(vec![1; 99]),
        ],
        doors: None,
    }
}

fn kept(epoch: u32) -> Kept {
    let keepsake = Keepsake {
        enrolled: true,
        epochs: vec![epoch],
        ..Keepsake::default()
    };
    Kept::new(&Traits::prompt("carts", Platform::Ipad), keepsake)
}

/// A folder with a roster of `devices` devices.
fn filled(devices: u32) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let roster = Roster::open_or_create(&folder(&place), &crowd(1)).unwrap();
    let identities = (0..devices).map(|n| (DeviceId(n), Arc::new(identity(n))));
    roster.keep_identities(identities.collect()).unwrap();
    let kept = (0..devices).map(|n| (DeviceId(n), kept(n)));
    let batch = Batch {
        kept: kept.collect(),
        ..Batch::default()
    };
    roster.store.write(&batch).unwrap();
    place
}

fn folder(place: &TempDir) -> PathBuf {
    place.path().join("roster")
}

/// What is said when a roster is opened, its folder called DIR.
fn refusal(place: &TempDir, crowd: &Crowd) -> String {
    let refused = Roster::open(&folder(place), crowd).unwrap_err();
    let said = refused.to_string();
    said.replace(&folder(place).display().to_string(), "DIR")
}

#[test]
fn what_was_kept_is_there_again() {
    let place = filled(5);
    let roster = Roster::open(&folder(&place), &crowd(1)).unwrap();
    let read = roster.identity(DeviceId(3)).unwrap().unwrap();
    assert_eq!(read.key, identity(3).key);
    assert_eq!(read.chain, identity(3).chain);
    assert!(roster.identity(DeviceId(5)).unwrap().is_none());
    let mut seen = Vec::new();
    let all = roster.each_kept(1..4, |device, kept| {
        seen.push((device.0, kept.keepsake.epochs[0]));
        ControlFlow::Continue(())
    });
    all.unwrap();
    assert_eq!(seen, [(1, 1), (2, 2), (3, 3)]);
    let counts = roster.counts().unwrap();
    assert_eq!((counts.identities, counts.devices), (5, 5));
    assert_eq!(roster.forget(&[DeviceId(3), DeviceId(9)]).unwrap(), 1);
    assert!(roster.identity(DeviceId(3)).unwrap().is_none());
}

#[test]
fn others_cannot_read_it() {
    let place = filled(1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder(&place)), 0o700);
    let file = folder(&place).join(FILE);
    assert_eq!(mode(&file), 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let expected = "DIR/roster.redb is open to others (mode 640): it holds private keys, run chmod \
                    600 DIR/roster.redb";
    assert_eq!(refusal(&place, &crowd(1)), expected);
}

#[test]
fn a_second_process_hears_who_has_it() {
    let place = filled(1);
    let roster = Roster::open(&folder(&place), &crowd(1)).unwrap();
    // A lock belongs to the open file, so a second opening here is refused as another process's is.
    let expected = format!(
        "the roster DIR is in use by process {}; wait until that ends, or name another folder with \
         --roster",
        std::process::id()
    );
    assert_eq!(refusal(&place, &crowd(1)), expected);
    drop(roster);
    assert!(Roster::open(&folder(&place), &crowd(1)).is_ok());
}

#[test]
fn a_roster_of_another_crowd_target_or_topic_is_refused() {
    let place = filled(1);
    let expected = "the roster DIR holds devices of crowd 01010101, and this state folder is crowd \
                    02020202: give the state folder it was made with (--state), or name another \
                    folder with --roster";
    assert_eq!(refusal(&place, &crowd(2)), expected);
    let want = |target: &str, topic: &str| Expected {
        target: Some(target.to_owned()),
        topic: Some(topic.to_owned()),
    };
    let mut roster = Roster::open(&folder(&place), &crowd(1)).unwrap();
    roster.agree(&want("http://a", "topic.1")).unwrap();
    drop(roster);
    let mut roster = Roster::open(&folder(&place), &crowd(1)).unwrap();
    roster.agree(&want("http://a", "topic.1")).unwrap();
    let mut refused = |target: &str, topic: &str| {
        let refused = roster.agree(&want(target, topic)).unwrap_err();
        refused
            .to_string()
            .replace(&folder(&place).display().to_string(), "DIR")
    };
    let expected = "the roster DIR holds devices that are enrolled with http://a, and the target is \
                    http://b: each target needs a roster of its own, name another folder with \
                    --roster";
    assert_eq!(refused("http://b", "topic.1"), expected);
    let expected = "the roster DIR holds devices that enrolled with the push topic topic.1, and the \
                    topic of this run is topic.2: use the push certificate it was made with, or name \
                    another folder with --roster";
    assert_eq!(refused("http://a", "topic.2"), expected);
}

#[test]
fn a_roster_of_a_later_version_is_refused() {
    let place = filled(1);
    let roster = Roster::open(&folder(&place), &crowd(1)).unwrap();
    let mut meta = roster.meta.clone();
    meta.format = 2;
    roster.store.write_meta(&meta).unwrap();
    drop(roster);
    let expected = "the roster DIR has format 2, and this mdmstorm reads format 1: use the version \
                    that wrote it, or name another folder with --roster";
    assert_eq!(refusal(&place, &crowd(1)), expected);
}

#[test]
fn looking_for_a_roster_makes_none() {
    let place = tempfile::tempdir().unwrap();
    let expected = "there is no roster in DIR; `mdmstorm enroll FILE --roster DIR` makes one";
    assert_eq!(refusal(&place, &crowd(1)), expected);
    assert!(!folder(&place).exists());
}

/// Opens a roster and reads everything; how much there was.
fn read_all(folder: &Path) -> Result<u64, RosterError> {
    let roster = Roster::open(folder, &crowd(1))?;
    let mut read = 0;
    for device in 0..40 {
        let Some(found) = roster.identity(DeviceId(device))? else {
            continue;
        };
        let expected = identity(device);
        assert_eq!((found.key, found.chain), (expected.key, expected.chain));
        read += 1;
    }
    roster.each_kept(0..u32::MAX, |_, _| ControlFlow::Continue(()))?;
    Ok(read)
}

#[test]
fn a_file_that_was_cut_short_is_damaged() {
    let place = filled(40);
    let file = folder(&place).join(FILE);
    let whole = fs::read(&file).unwrap();
    for end in (0..whole.len()).step_by(whole.len() / 64).chain([1, 100]) {
        fs::write(&file, &whole[..end]).unwrap();
        match read_all(&folder(&place)) {
            Err(RosterError::Damaged { .. }) => {}
            other => panic!("cut at {end} of {}: {other:?}", whole.len()),
        }
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(read_all(&folder(&place)).unwrap(), 40);
}

#[test]
fn a_changed_byte_is_noticed_or_is_no_loss() {
    let place = filled(40);
    let file = folder(&place).join(FILE);
    let whole = fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(499) {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        fs::write(&file, &changed).unwrap();
        match read_all(&folder(&place)) {
            Ok(40) | Err(RosterError::Damaged { .. }) => {}
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_identity_is_on_the_disk_when_its_device_hears_so() {
    let place = filled(0);
    let roster = Roster::open(&folder(&place), &crowd(1)).unwrap();
    let (keeper, writing) = roster.start_writing();
    let kept = (0..100).map(|n| keeper.keep_identity(DeviceId(n), Arc::new(identity(n))));
    for result in futures_util::future::join_all(kept).await {
        result.unwrap();
    }
    // A copy of the file as it is at this moment is what a killed process leaves.
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(folder(&copy)).unwrap();
    fs::set_permissions(folder(&copy), fs::Permissions::from_mode(0o700)).unwrap();
    fs::copy(folder(&place).join(FILE), folder(&copy).join(FILE)).unwrap();
    let left = Roster::open(&folder(&copy), &crowd(1)).unwrap();
    assert_eq!(left.counts().unwrap().identities, 100);
    assert_eq!(
        left.identity(DeviceId(42)).unwrap().unwrap().key,
        identity(42).key
    );
    drop(keeper);
    assert_eq!(writing.join(), None);
}

#[tokio::test]
async fn with_another_identity_a_device_has_to_enrol_whatever_it_remembers() {
    let place = filled(2);
    let roster = Roster::open(&folder(&place), &crowd(1)).unwrap();
    let (keeper, writing) = roster.start_writing();
    // A worker that has not heard of the identity yet may tell of its device in the same moment.
    let told = keeper.keep(BTreeMap::from([(DeviceId(1), kept(3))]));
    let identity = keeper.keep_identity(DeviceId(1), Arc::new(identity(9)));
    let (result, ()) = tokio::join!(identity, told);
    result.unwrap();
    drop(keeper);
    assert_eq!(writing.join(), None);
    let keepsake = |device| roster.kept(DeviceId(device)).unwrap().unwrap().keepsake;
    assert!(keepsake(0).enrolled);
    assert!(!keepsake(1).enrolled && !keepsake(1).unmanaged);
    assert_eq!(keepsake(1).epochs, [3]);
}

#[tokio::test]
async fn what_devices_remember_is_on_the_disk_when_the_thread_has_ended() {
    let place = filled(0);
    let roster = Roster::open(&folder(&place), &crowd(1)).unwrap();
    let (keeper, writing) = roster.start_writing();
    for epoch in 0..5 {
        let kept = BTreeMap::from([(DeviceId(7), kept(epoch))]);
        keeper.keep(kept).await;
    }
    drop(keeper);
    assert_eq!(writing.join(), None);
    let mut epochs = Vec::new();
    let all = roster.each_kept(0..u32::MAX, |device, kept| {
        epochs.push((device.0, kept.keepsake.epochs));
        ControlFlow::Continue(())
    });
    all.unwrap();
    assert_eq!(epochs, [(7, vec![4])]);
}

/// `cargo test --release --lib roster -- --ignored --nocapture`
#[test]
#[ignore = "writes a gigabyte; run it by itself, in release"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn a_million_devices_open_in_two_seconds() {
    let place = filled(0);
    let roster = Roster::open(&folder(&place), &crowd(1)).unwrap();
    let key: Box<[u8]> = vec![7; 138].into();
    for from in (0..1_000_000).step_by(4000) {
        let identity = |n: u32| OwnIdentity {
            key: key.clone(),
            chain: vec![CertificateDer::from(vec![n as u8; 450])],
            doors: None,
        };
        let devices = from..from + 4000;
        let batch = Batch {
            identities: devices
                .clone()
                .map(|n| (DeviceId(n), Arc::new(identity(n))))
                .collect(),
            kept: devices.map(|n| (DeviceId(n), kept(n))).collect(),
            ..Batch::default()
        };
        roster.store.write(&batch).unwrap();
    }
    let time = |what: &str, act: &mut dyn FnMut()| {
        let begun = std::time::Instant::now();
        act();
        println!("{what}: {:?}", begun.elapsed());
        begun.elapsed()
    };
    // As a killed process leaves it: the file is not closed.
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(folder(&copy)).unwrap();
    fs::set_permissions(folder(&copy), fs::Permissions::from_mode(0o700)).unwrap();
    fs::copy(folder(&place).join(FILE), folder(&copy).join(FILE)).unwrap();
    println!(
        "{} MB",
        fs::metadata(folder(&copy).join(FILE)).unwrap().len() >> 20
    );
    drop(roster);
    for (what, place) in [("opened", &place), ("opened after a kill", &copy)] {
        let mut roster = None;
        let took = time(what, &mut || {
            roster = Some(Roster::open(&folder(place), &crowd(1)).unwrap());
        });
        assert!(took < Duration::from_secs(2), "{what}");
        let roster = roster.unwrap();
        assert_eq!(roster.counts().unwrap().identities, 1_000_000);
        let mut seen = 0;
        time("every device's state", &mut || {
            let all = roster.each_kept(0..u32::MAX, |_, _| {
                seen += 1;
                ControlFlow::Continue(())
            });
            all.unwrap();
        });
        time("every certificate looked over", &mut || {
            let all = roster.each_certificate(0..u32::MAX, |_, _| ControlFlow::Continue(()));
            all.unwrap();
        });
        time("ten thousand looked up", &mut || {
            for n in 0..10_000 {
                assert!(roster.identity(DeviceId(n * 97)).unwrap().is_some());
            }
        });
        assert_eq!(seen, 1_000_000);
    }
}

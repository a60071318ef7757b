//! `mdmstorm roster export`: certificates and what devices remember, as files; keys only when asked.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::describe::Entry;
use super::{ExportArgs, open};
use crate::cli::print::{Stop, say};
use crate::engine::authority::Credential;
use crate::engine::identity::OwnIdentity;
use crate::ids::Crowd;
use crate::report::exit::Exit;

pub(super) fn run(args: &ExportArgs) -> Result<u8, Stop> {
    let opened = open(&args.which)?;
    let devices = if args.device.is_empty() {
        opened.devices()?
    } else {
        let devices = args.device.iter().map(|device| opened.find(device));
        devices.collect::<Result<_, _>>()?
    };
    let failed = |path: &Path, error: &io::Error| {
        let message = format!(
            "error: cannot write {}: {error}; choose another folder with --to",
            path.display()
        );
        Stop::new(Exit::Unexpected, message)
    };
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&args.to);
    made.map_err(|error| failed(&args.to, &error))?;
    for &device in &devices {
        let entry = opened.entry(device)?;
        let written = write(&args.to, &entry, &opened.crowd, args.with_keys);
        written.map_err(|error| failed(&args.to, &error))?;
    }
    let keys = if args.with_keys {
        "with private keys"
    } else {
        "without private keys"
    };
    say(&format!(
        "{} devices written to {}, {keys}",
        devices.len(),
        args.to.display()
    ));
    Ok(0)
}

/// `<UDID>.json`, `<UDID>.pem`, and `<UDID>.key` if wanted.
fn write(folder: &Path, entry: &Entry, crowd: &Crowd, with_keys: bool) -> io::Result<()> {
    // A UDID that was imported may be any text, and must not lead out of the folder.
    let udid = crowd.udid(entry.device).replace(['/', '\\', '\0'], "-");
    let file = |end: &str| folder.join(format!("{udid}.{end}"));
    let text = serde_json::to_string_pretty(&entry.json(crowd)).unwrap_or_default();
    private(&file("json"), text.as_bytes())?;
    let Some(identity) = &entry.identity else {
        return Ok(());
    };
    let credential = credential(identity);
    fs::write(file("pem"), credential.certificates_pem())?;
    if with_keys {
        private(&file("key"), credential.key_pem().as_bytes())?;
    }
    Ok(())
}

fn credential(identity: &OwnIdentity) -> Credential {
    use rustls::pki_types::PrivatePkcs8KeyDer;
    Credential {
        chain: identity.chain.clone(),
        key: PrivatePkcs8KeyDer::from(identity.key.to_vec()).into(),
    }
}

/// Writes a file that nobody else can read, in the place of one that is there.
fn private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}

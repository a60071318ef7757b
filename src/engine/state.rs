//! What outlives a run: the authorities, the push certificate and the crowd's secret, in one folder.
//!
//! Made once, by whoever comes first; a lock file keeps two processes from making it at once. Every
//! file appears whole or not at all. Private keys never leave this folder.

mod enrollment;

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::authority::{Authority, AuthorityError, Credential, TOPIC_PREFIX, Validity, topic_of};
use super::clock::wall_now;
use super::pki::keys::KeyKind;
use crate::ids::{Crowd, CrowdId};
use crate::time::WallTime;

/// Everything in the state folder.
#[derive(Debug)]
pub struct State {
    /// The folder.
    pub folder: PathBuf,
    /// Signs device identities and the reference server's certificate.
    pub device_authority: Arc<Authority>,
    /// Signs the gateway's certificate and the push certificate.
    pub apns_authority: Authority,
    /// The push certificate for servers.
    pub push: Credential,
    /// The topic of the push certificate.
    pub topic: String,
    /// What device names and push tokens derive from.
    pub crowd: Crowd,
    /// The certificate of the authority that a server has to trust for the gateway.
    apns_authority_path: PathBuf,
    /// The push certificate and its key.
    push_paths: [PathBuf; 2],
}

/// An authority that somebody brings along, to sign the gateway's certificate and the push
/// certificate in the place of the one in the state folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenAuthority {
    /// Its certificate, a PEM file.
    pub certificate: PathBuf,
    /// Its unencrypted key, a PEM file.
    pub key: PathBuf,
}

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}; give another folder with --state")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Others can read secrets.
    #[error(
        "{path} is open to others (mode {mode:o}): it holds private keys, run chmod {wanted:o} {path}"
    )]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// An authority that was brought along cannot be read.
    #[error("cannot read {path}: {source}; --ca and --ca-key name PEM files")]
    GivenUnread {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// An authority that was brought along is unusable.
    #[error("the CA {path} cannot sign certificates: {source}")]
    Given {
        /// The certificate file.
        path: PathBuf,
        /// The reason.
        source: AuthorityError,
    },
    /// An authority or certificate is unusable.
    #[error("{path} cannot be used: {source}; restore it, or remove the folder to begin afresh")]
    Authority {
        /// The certificate file.
        path: PathBuf,
        /// The reason.
        source: AuthorityError,
    },
    /// A file does not hold what it should.
    #[error(
        "{path} cannot be used: expected {expected}; restore it, or remove the folder to begin afresh"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
}

/// A push certificate that ends sooner is made anew for the same topic.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The crowd's id and the key of its tokens.
const CROWD_BYTES: usize = 4 + 32;

impl State {
    /// The folder used when none is given: `$XDG_STATE_HOME/mdmstorm`, else
    /// `~/.local/state/mdmstorm`; `None` when neither variable helps.
    pub fn default_dir(xdg_state_home: Option<&OsStr>, home: Option<&OsStr>) -> Option<PathBuf> {
        // The XDG specification: a path that is not absolute is ignored.
        let absolute = |value: Option<&OsStr>| value.map(PathBuf::from).filter(|p| p.is_absolute());
        absolute(xdg_state_home)
            .or_else(|| absolute(home).map(|home| home.join(".local/state")))
            .map(|base| base.join("mdmstorm"))
    }

    /// Opens the folder and makes whatever is not there yet.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        Self::open_with(dir, None)
    }

    /// The same with an authority for everything about pushes. The topic stays that of the folder,
    /// because devices know it; the push certificate is kept in the folder beside the folder's own.
    pub fn open_with(dir: &Path, given: Option<&GivenAuthority>) -> Result<Self, StateError> {
        let now = wall_now();
        let folder = Folder::open(dir)?;
        let device_authority =
            folder.authority(KeyKind::P256, "device-ca", "mdmstorm device CA")?;
        let apns_authority = folder.authority(KeyKind::P256, "apns-ca", "mdmstorm APNs CA")?;
        let (push, topic) = folder.push("push", PushKey::Curve, &apns_authority, None, now)?;
        let crowd = folder.crowd()?;
        let mut state = Self {
            folder: dir.to_owned(),
            device_authority: Arc::new(device_authority),
            apns_authority,
            push,
            topic,
            crowd,
            apns_authority_path: dir.join("apns-ca.pem"),
            push_paths: ["push.pem", "push.key"].map(|name| dir.join(name)),
        };
        if let Some(given) = given {
            let authority = given.load(now)?;
            let print = blake3::hash(authority.certificate());
            let name = format!("push-{}", crate::ids::hex_lower(&print.as_bytes()[..4]));
            let topic = Some(state.topic.as_str());
            (state.push, _) = folder.push(&name, PushKey::Curve, &authority, topic, now)?;
            state.apns_authority = authority;
            state.apns_authority_path.clone_from(&given.certificate);
            state.push_paths = ["pem", "key"].map(|end| dir.join(format!("{name}.{end}")));
        }
        Ok(state)
    }

    /// The authority that a server has to trust for device certificates (`nanomdm -ca`).
    pub fn device_authority_path(&self) -> PathBuf {
        self.folder.join("device-ca.pem")
    }

    /// The authority that a server has to trust for the gateway (`SSL_CERT_FILE`).
    pub fn apns_authority_path(&self) -> PathBuf {
        self.apns_authority_path.clone()
    }

    /// The push certificate and its key, to be uploaded to a server: [certificate, key].
    pub fn push_paths(&self) -> [PathBuf; 2] {
        self.push_paths.clone()
    }

    /// A push certificate for the same topic with an RSA key in PKCS#1, which some servers insist
    /// on; made when it is first asked for, and kept in the folder.
    pub fn rsa_push(&self) -> Result<Credential, StateError> {
        let folder = Folder::open(&self.folder)?;
        let (authority, topic) = (&self.apns_authority, Some(self.topic.as_str()));
        let (push, _) = folder.push(
            &self.rsa_push_name(),
            PushKey::Rsa,
            authority,
            topic,
            wall_now(),
        )?;
        Ok(push)
    }

    /// Where [`Self::rsa_push`] is kept: [certificate, key].
    pub fn rsa_push_paths(&self) -> [PathBuf; 2] {
        let name = self.rsa_push_name();
        ["pem", "key"].map(|end| self.folder.join(format!("{name}.{end}")))
    }

    /// Beside the push certificate of the same authority.
    fn rsa_push_name(&self) -> String {
        let beside = self.push_paths[0].file_stem().and_then(OsStr::to_str);
        format!("{}-rsa", beside.unwrap_or("push"))
    }
}

impl GivenAuthority {
    fn load(&self, now: WallTime) -> Result<Authority, StateError> {
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|source| StateError::GivenUnread {
                path: path.to_owned(),
                source,
            })
        };
        let (certificate, key) = (read(&self.certificate)?, read(&self.key)?);
        Authority::load(&certificate, &key, now).map_err(|source| StateError::Given {
            path: self.certificate.clone(),
            source,
        })
    }
}

/// The kind of a push certificate's key.
#[derive(Clone, Copy)]
enum PushKey {
    /// On the curve P-256.
    Curve,
    /// RSA, in PKCS#1.
    Rsa,
}

/// The folder while this process holds its lock.
struct Folder {
    path: PathBuf,
    /// Locked until it is dropped; the operating system frees it when a process dies.
    _lock: File,
}

impl Folder {
    fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io {
                action,
                path,
                source,
            }
        };
        if !path.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(failed("create the state folder", path))?;
        }
        let lock_path = path.join("lock");
        check_private(path, 0o700)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("write", &lock_path))?;
        lock.lock().map_err(failed("lock", &lock_path))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    fn authority(&self, kind: KeyKind, name: &str, title: &str) -> Result<Authority, StateError> {
        let now = wall_now();
        let (certificate_file, key_file) = (format!("{name}.pem"), format!("{name}.key"));
        let failed = |source| StateError::Authority {
            path: self.path.join(&certificate_file),
            source,
        };
        if let Some(certificate) = self.read(&certificate_file)? {
            let key = self.key(&key_file)?;
            return Authority::load(&certificate, &key, now).map_err(failed);
        }
        let (authority, key) = Authority::create_of(kind, title, now).map_err(failed)?;
        // The certificate comes last: a folder with a key alone is one that was not finished.
        self.write(&key_file, key.as_bytes())?;
        self.write(&certificate_file, authority.certificate_pem().as_bytes())?;
        Ok(authority)
    }

    /// The push certificate with its topic. One that is about to end is replaced: the topic stays,
    /// because devices know it.
    fn push(
        &self,
        name: &str,
        kind: PushKey,
        apns: &Authority,
        topic: Option<&str>,
        now: WallTime,
    ) -> Result<(Credential, String), StateError> {
        let (certificate_file, key_file) = (format!("{name}.pem"), format!("{name}.key"));
        let failed = |source| StateError::Authority {
            path: self.path.join(&certificate_file),
            source,
        };
        let mut topic = topic.map(str::to_owned);
        if let Some(certificate) = self.read(&certificate_file)? {
            let push = Credential::from_pem(&certificate, &self.key(&key_file)?).map_err(failed)?;
            let known = topic_of(&push.chain[0]).ok_or_else(|| StateError::Content {
                path: self.path.join(&certificate_file),
                expected: "a push certificate whose subject has the attribute UID",
            })?;
            let renewal_time = now.unix_micros() + RENEW_BEFORE.as_micros() as i64;
            let lasts = Validity::of_certificate(&push.chain[0])
                .is_some_and(|v| v.contains(WallTime::from_unix_micros(renewal_time)));
            if lasts {
                return Ok((push, known));
            }
            topic = Some(known);
        }
        let topic = topic.unwrap_or_else(|| {
            let uuid = uuid::Builder::from_random_bytes(random()).into_uuid();
            format!("{TOPIC_PREFIX}{uuid}")
        });
        let push = match kind {
            PushKey::Curve => apns.push_certificate(&topic, now),
            PushKey::Rsa => apns.rsa_push_certificate(&topic, now),
        };
        let push = push.map_err(failed)?;
        self.write(&key_file, push.key_pem().as_bytes())?;
        self.write(&certificate_file, push.certificates_pem().as_bytes())?;
        Ok((push, topic))
    }

    fn crowd(&self) -> Result<Crowd, StateError> {
        let text = match self.read("crowd.key")? {
            Some(text) => text,
            None => {
                let text = crate::ids::hex_lower(&random::<CROWD_BYTES>());
                self.write("crowd.key", text.as_bytes())?;
                text
            }
        };
        let unusable = || StateError::Content {
            path: self.path.join("crowd.key"),
            expected: "72 hexadecimal digits",
        };
        let bytes = crate::ids::hex_decode(text.trim()).ok_or_else(unusable)?;
        let (id, key) = bytes.split_at_checked(4).ok_or_else(unusable)?;
        Ok(Crowd::new(
            CrowdId(id.try_into().map_err(|_| unusable())?),
            key.try_into().map_err(|_| unusable())?,
        ))
    }

    /// The text of a file; `None` when it does not exist.
    fn read(&self, name: &str) -> Result<Option<String>, StateError> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => {
                if name.ends_with(".key") {
                    check_private(&path, 0o600)?;
                }
                Ok(Some(text))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(StateError::Content {
                path,
                expected: "text",
            }),
            Err(source) => Err(StateError::Io {
                action: "read",
                path,
                source,
            }),
        }
    }

    fn key(&self, name: &str) -> Result<String, StateError> {
        self.read(name)?.ok_or_else(|| StateError::Content {
            path: self.path.join(name),
            expected: "the private key of the certificate beside it, but there is no such file",
        })
    }

    /// Writes beside the file and renames, so that it is whole whenever it is there.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let (path, fresh) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let written = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&fresh, &path));
        written.map_err(|source| StateError::Io {
            action: "write",
            path,
            source,
        })
    }
}

/// Refuses a file or folder that others may read.
fn check_private(path: &Path, wanted: u32) -> Result<(), StateError> {
    let metadata = fs::metadata(path).map_err(|source| StateError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StateError::Open {
            path: path.to_owned(),
            mode,
            wanted,
        });
    }
    Ok(())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

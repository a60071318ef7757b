//! `mdmstorm roster import`: a device that exists elsewhere is played here from now on.

use std::path::Path;

use super::{ImportArgs, crowd, refused};
use crate::cli::print::{Stop, say};
use crate::engine::roster::{Captured, CapturedIdentity, Expected, Roster};
use crate::ids::DeviceId;
use crate::report::exit::Exit;

/// The most bytes of a file that are read.
const FILE_MAX: u64 = 1 << 20;

pub(super) fn run(args: &ImportArgs) -> Result<u8, Stop> {
    let identity = Files::read(args)?;
    let captured = Captured {
        authenticate: &read(&args.authenticate)?,
        token_update: &read(&args.token_update)?,
        identity: identity.captured(),
    };
    let adopted = captured.read().map_err(|error| {
        let message = format!("error: the device cannot be taken in: {error}");
        Stop::new(Exit::Usage, message)
    })?;
    let crowd = crowd(&args.which.state)?;
    let mut roster = Roster::open_or_create(&args.which.roster, &crowd).map_err(refused)?;
    let wanted = Expected {
        target: None,
        topic: Some(adopted.topic.clone()),
    };
    roster.agree(&wanted).map_err(refused)?;
    let device = match args.device {
        Some(number) => DeviceId(number),
        None => roster.lowest_free().map_err(refused)?,
    };
    let (udid, product) = (adopted.names.udid.clone(), adopted.kept.product.clone());
    let borrowed = roster.borrowed().map_err(refused)?;
    let twin = borrowed
        .iter()
        .find(|(other, names)| **other != device && names.udid == udid);
    if let Some((other, _)) = twin {
        let message = format!(
            "error: {udid} is device {} of the roster already; forget that one first, or take it in \
             with --device {}",
            other.0, other.0
        );
        return Err(Stop::new(Exit::Usage, message));
    }
    if let Some((other, _)) = borrowed
        .iter()
        .find(|(other, names)| **other != device && names.token == adopted.names.token)
    {
        let message = format!(
            "error: device {} of the roster has the push token of this TokenUpdate already: it was \
             captured of another device",
            other.0
        );
        return Err(Stop::new(Exit::Usage, message));
    }
    let is_known = roster.identity(device).map_err(refused)?.is_some()
        || roster.kept(device).map_err(refused)?.is_some();
    let is_itself = borrowed.get(&device).is_some_and(|it| it.udid == udid);
    if is_known && !is_itself {
        let message = format!(
            "error: device {} of the roster is another one, whose key would be lost; choose another \
             number, or forget that one first",
            device.0
        );
        return Err(Stop::new(Exit::Usage, message));
    }
    roster.adopt(device, adopted).map_err(refused)?;
    say(&format!(
        "{udid} is device {} of {} from now on; the scenario's device {} has to be of the model {product}",
        device.0,
        args.which.roster.display(),
        device.0
    ));
    Ok(0)
}

/// What the files with key and certificate hold.
enum Files {
    Pem { certificate: String, key: String },
    Pkcs12 { file: Vec<u8>, password: String },
}

impl Files {
    fn read(args: &ImportArgs) -> Result<Self, Stop> {
        if let Some(path) = &args.pkcs12 {
            let password = args.password_env.as_deref().map(password).transpose()?;
            return Ok(Self::Pkcs12 {
                file: read(path)?,
                password: password.unwrap_or_default(),
            });
        }
        let given = args.certificate.as_deref().zip(args.key.as_deref());
        let (certificate, key) = given.expect("without a PKCS#12 file both are required");
        Ok(Self::Pem {
            certificate: text(certificate)?,
            key: text(key)?,
        })
    }

    fn captured(&self) -> CapturedIdentity<'_> {
        match self {
            Self::Pem { certificate, key } => CapturedIdentity::Pem { certificate, key },
            Self::Pkcs12 { file, password } => CapturedIdentity::Pkcs12 { file, password },
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "cli is where the environment is read"
)]
fn password(variable: &str) -> Result<String, Stop> {
    std::env::var(variable).map_err(|_| {
        let message = format!(
            "error: the environment variable {variable} is to hold the password of the PKCS#12 file, \
             and is not set"
        );
        Stop::new(Exit::Usage, message)
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Stop> {
    let failed = |why: String| {
        let message = format!("error: cannot read {}: {why}", path.display());
        Stop::new(Exit::Usage, message)
    };
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if size.len() > FILE_MAX {
        return Err(failed(format!(
            "it has {} bytes, and a captured message or an identity has at most {FILE_MAX}",
            size.len()
        )));
    }
    std::fs::read(path).map_err(|error| failed(error.to_string()))
}

fn text(path: &Path) -> Result<String, Stop> {
    String::from_utf8(read(path)?).map_err(|_| {
        let message = format!(
            "error: cannot read {}: it is no text; a PEM file is wanted",
            path.display()
        );
        Stop::new(Exit::Usage, message)
    })
}

//! micromdm/scep's `scepserver` as a program of its own: the authority that NanoMDM trusts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program_rig::{Process, port, program as program_at};
use crate::server::wait_for;

/// What asks for a challenge once. The server runs it with the request on its standard input; a
/// challenge that is in its folder is taken out of it.
const ONCE: &str = "#!/bin/sh\n\
    challenge=$(openssl req -inform DER -noout -text | sed -n 's/.*challengePassword *:*//p')\n\
    test -n \"$challenge\" && exec rm \"$(dirname \"$0\")/challenges/$challenge\" 2>/dev/null\n";

/// A SCEP server that ends with the test.
pub(crate) struct Authority {
    _process: Process,
    pub(crate) port: u16,
    /// Its certificate, for NanoMDM.
    pub(crate) certificate: PathBuf,
}

pub(crate) fn program() -> Option<String> {
    program_at("MDMSTORM_SCEP", "micromdm/scep's scepserver")
}

impl Authority {
    /// Makes an authority in `folder` that asks for this challenge, and starts it.
    pub(crate) fn with_challenge(program: &str, folder: &Path, challenge: &str) -> Self {
        Self::start(program, folder, &["-challenge", challenge])
    }

    /// The same with a challenge that it takes once.
    pub(crate) fn with_one_time_challenge(program: &str, folder: &Path, challenge: &str) -> Self {
        let (script, challenges) = (folder.join("once"), folder.join("challenges"));
        fs::write(&script, ONCE).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        fs::create_dir(&challenges).unwrap();
        fs::write(challenges.join(challenge), "").unwrap();
        Self::start(
            program,
            folder,
            &["-csrverifierexec", script.to_str().unwrap()],
        )
    }

    fn start(program: &str, folder: &Path, arguments: &[&str]) -> Self {
        let depot = folder.join("depot");
        let command = |arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).arg("-depot").arg(&depot);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let made = command(&["ca", "-init"]).status().unwrap();
        assert!(made.success(), "scepserver made no authority");
        let port = port();
        let listen = format!("127.0.0.1:{port}");
        let process = command(&["-http-addr", &listen, "-allowrenew", "0"])
            .args(arguments)
            .spawn()
            .map(Process)
            .unwrap();
        wait_for(port);
        Self {
            _process: process,
            port,
            certificate: depot.join("ca.pem"),
        }
    }
}

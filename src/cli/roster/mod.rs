//! `mdmstorm roster`: what was enrolled, to look at, take out, take in and forget.

mod describe;
mod export;
mod import;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use self::describe::{Entry, line, page, title};
use super::args::StateArgs;
use super::load;
use super::print::{Stop, say};
use crate::engine::roster::{Roster, RosterError};
use crate::engine::state::State;
use crate::ids::{Crowd, DeviceId};
use crate::report::exit::Exit;

#[derive(Debug, Subcommand)]
pub(super) enum RosterCommand {
    /// List the devices, a line each
    List(ListArgs),
    /// Show all that is known of one device; its private key is never shown
    Show(ShowArgs),
    /// Write certificates and what devices remember into a folder
    Export(ExportArgs),
    /// Forget devices: they enrol anew in the next run
    Forget(ForgetArgs),
    /// Take in a device that exists elsewhere, from captured check-in messages and its identity
    Import(ImportArgs),
}

/// Which roster.
#[derive(Args, Debug)]
pub(super) struct WhichArgs {
    /// The roster's folder
    #[arg(long, value_name = "DIR")]
    pub(super) roster: PathBuf,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Print a JSON object for each device, a line each
    #[arg(long)]
    json: bool,
    /// Stop after so many devices
    #[arg(long, value_name = "N")]
    first: Option<usize>,
}

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// Its number, UDID or serial number
    device: String,
    #[command(flatten)]
    which: WhichArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    /// Write into this folder, which is made
    #[arg(long, value_name = "DIR")]
    pub(super) to: PathBuf,
    #[command(flatten)]
    pub(super) which: WhichArgs,
    /// Only this device, by number, UDID or serial number; may be given several times
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Vec<String>,
    /// Write private keys as well, each into a file that nobody else can read
    #[arg(long)]
    pub(super) with_keys: bool,
}

#[derive(Args, Debug)]
pub(super) struct ForgetArgs {
    /// Devices, by number, UDID or serial number
    #[arg(required_unless_present = "all")]
    device: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "device")]
    all: bool,
    #[command(flatten)]
    which: WhichArgs,
}

#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    /// Its Authenticate message, a property list
    #[arg(long, value_name = "FILE")]
    pub(super) authenticate: PathBuf,
    /// Its last TokenUpdate message, a property list
    #[arg(long, value_name = "FILE")]
    pub(super) token_update: PathBuf,
    /// Its certificate, a PEM file; issuers may follow it
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "pkcs12",
        requires = "key"
    )]
    pub(super) certificate: Option<PathBuf>,
    /// Its unencrypted key, a PEM file
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(super) key: Option<PathBuf>,
    /// Both in a PKCS#12 file, instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "key"])]
    pub(super) pkcs12: Option<PathBuf>,
    /// The file's password is in this environment variable [default: it has none]
    #[arg(long, value_name = "VARIABLE", requires = "pkcs12")]
    pub(super) password_env: Option<String>,
    /// Its number in the scenario [default: the lowest that is free]
    #[arg(long, value_name = "N")]
    pub(super) device: Option<u32>,
    #[command(flatten)]
    pub(super) which: WhichArgs,
}

pub(super) fn run(command: &RosterCommand) -> Result<u8, Stop> {
    match command {
        RosterCommand::List(args) => list(args),
        RosterCommand::Show(args) => show(args),
        RosterCommand::Export(args) => export::run(args),
        RosterCommand::Forget(args) => forget(args),
        RosterCommand::Import(args) => import::run(args),
    }
}

/// A roster, and the crowd with the names that its devices brought along.
struct Opened {
    roster: Roster,
    crowd: Crowd,
}

fn open(which: &WhichArgs) -> Result<Opened, Stop> {
    let crowd = crowd(&which.state)?;
    let roster = Roster::open(&which.roster, &crowd).map_err(refused)?;
    let crowd = crowd.with_borrowed(roster.borrowed().map_err(refused)?);
    Ok(Opened { roster, crowd })
}

fn crowd(state: &StateArgs) -> Result<Crowd, Stop> {
    let state = State::open(&load::state_folder(state)?);
    let state = state.map_err(|error| Stop::because(Exit::Unexpected, error))?;
    Ok(state.crowd)
}

fn refused(error: RosterError) -> Stop {
    let exit = if error.is_usage() {
        Exit::Usage
    } else {
        Exit::Unexpected
    };
    Stop::because(exit, error)
}

fn list(args: &ListArgs) -> Result<u8, Stop> {
    let opened = open(&args.which)?;
    let entries = opened.entries(args.first)?;
    if args.json {
        for entry in &entries {
            say(&entry.json(&opened.crowd).to_string());
        }
        return Ok(0);
    }
    let counts = opened.roster.counts().map_err(refused)?;
    let mut text = title(opened.roster.meta(), counts);
    for entry in &entries {
        text += &line(entry, &opened.crowd);
    }
    say(&text);
    Ok(0)
}

fn show(args: &ShowArgs) -> Result<u8, Stop> {
    let opened = open(&args.which)?;
    let entry = opened.entry(opened.find(&args.device)?)?;
    if args.json {
        let text = serde_json::to_string_pretty(&entry.json(&opened.crowd));
        say(&text.unwrap_or_default());
    } else {
        say(&page(&entry, &opened.crowd));
    }
    Ok(0)
}

fn forget(args: &ForgetArgs) -> Result<u8, Stop> {
    let opened = open(&args.which)?;
    let devices = if args.all {
        opened.devices()?
    } else {
        let devices = args.device.iter().map(|device| opened.find(device));
        devices.collect::<Result<_, _>>()?
    };
    let known = opened.roster.forget(&devices).map_err(refused)?;
    say(&format!(
        "{known} devices forgotten; the target is not told, and they enrol anew in the next run"
    ));
    Ok(0)
}

impl Opened {
    /// The devices, in order.
    fn devices(&self) -> Result<Vec<DeviceId>, Stop> {
        self.first_devices(usize::MAX)
    }

    /// The first `most` devices. Of the three lists of a roster no more is read than that.
    fn first_devices(&self, most: usize) -> Result<Vec<DeviceId>, Stop> {
        let mut devices = Vec::new();
        let mut left = most;
        let mut take = |device, left: &mut usize| {
            if *left == 0 {
                return ControlFlow::Break(());
            }
            *left -= 1;
            devices.push(device);
            match left {
                0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        };
        let all = 0..u32::MAX;
        let read = self
            .roster
            .each_certificate(all.clone(), |device, _| take(device, &mut left));
        read.map_err(refused)?;
        left = most;
        let read = self
            .roster
            .each_kept(all, |device, _| take(device, &mut left));
        read.map_err(refused)?;
        devices.extend(self.roster.borrowed().map_err(refused)?.into_keys());
        devices.sort_unstable();
        devices.dedup();
        devices.truncate(most);
        Ok(devices)
    }

    /// The first `first` devices, or all of them.
    fn entries(&self, first: Option<usize>) -> Result<Vec<Entry>, Stop> {
        let devices = self.first_devices(first.unwrap_or(usize::MAX))?;
        devices
            .into_iter()
            .map(|device| self.entry(device))
            .collect()
    }

    fn entry(&self, device: DeviceId) -> Result<Entry, Stop> {
        let identity = self.roster.identity(device).map_err(refused)?;
        let kept = self.roster.kept(device).map_err(refused)?;
        Ok(Entry {
            device,
            identity,
            kept,
        })
    }

    /// The device that somebody names by number, UDID or serial number.
    fn find(&self, named: &str) -> Result<DeviceId, Stop> {
        let by_number = named.parse().map(DeviceId).ok();
        // Not every entry is read for one that is named by its number.
        if let Some(device) = by_number {
            let entry = self.entry(device)?;
            if entry.identity.is_some() || entry.kept.is_some() {
                return Ok(device);
            }
        }
        let devices = self.devices()?;
        let is_meant = |device: &DeviceId| {
            Some(*device) == by_number
                || self.crowd.udid(*device) == named
                || self.crowd.serial(*device) == named
        };
        let found = devices.into_iter().find(is_meant);
        found.ok_or_else(|| not_found(named, self.roster.folder()))
    }
}

fn not_found(named: &str, folder: &Path) -> Stop {
    let message = format!(
        "error: the roster {} has no device {named:?}; name it by its number, UDID or serial number, \
         as `mdmstorm roster list` shows them",
        folder.display()
    );
    Stop::new(Exit::Usage, message)
}

//! The command line: one file per command.
//!
//! Here, and only here, errors are printed, the environment is read and the process ends.

mod apns;
mod args;
mod check;
mod doctor;
mod enroll;
mod expect;
mod finish;
mod load;
mod log;
mod plan;
mod print;
mod progress;
mod reduce;
mod rehearse;
mod report;
mod roster;
mod run;
mod schema;
mod serve;
mod show;
mod signals;

use clap::{CommandFactory as _, Parser};

use self::args::{Cli, Command};
use self::print::say;

/// Runs the command line and gives back the process's exit code.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help and version itself; what is no error exits with 0.
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    let done = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Enroll(args) => enroll::run(&args),
        Command::Roster(command) => roster::run(&command),
        Command::Rehearse(args) => rehearse::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Reduce(args) => reduce::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Apns(args) => apns::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Schema => schema::run(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "mdmstorm", &mut script);
            say(&String::from_utf8_lossy(&script));
            Ok(0)
        }
    };
    match done {
        Ok(code) => code,
        Err(stop) => stop.report(),
    }
}

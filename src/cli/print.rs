//! What is printed: results on standard output, errors on standard error.

use std::io::{IsTerminal as _, Write as _};

use crate::report::exit::Exit;
use crate::report::text::Paint;
use crate::scenario::Colour;

/// Why a command ends without having done its work.
#[derive(Debug)]
pub(crate) struct Stop {
    exit: Exit,
    message: String,
}

impl Stop {
    /// Ends with `exit`, saying `message`, which is printed as it is.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// Ends with `exit`, saying `error` and its causes on one line. A cause that the message before
    /// it already quotes is not said again.
    pub(crate) fn because(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        let mut message = String::from("error");
        for cause in error.chain().map(ToString::to_string) {
            if !message.contains(&cause) {
                message.push_str(": ");
                message.push_str(&cause);
            }
        }
        Self::new(exit, message)
    }

    /// Prints the message and gives back the exit code.
    pub(super) fn report(&self) -> u8 {
        warn(&self.message);
        self.exit.code()
    }
}

/// Prints a result. A reader that has gone away is no error: `mdmstorm plan | head` is fine.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

/// Prints for a person who watches, or an error.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.trim_end());
}

/// Whether `NO_COLOR` asks for text alone (no-color.org: set and not empty).
#[expect(
    clippy::disallowed_methods,
    reason = "cli is where the environment is read"
)]
pub(crate) fn no_colour() -> bool {
    std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty())
}

/// How to paint the report on standard output.
pub(crate) fn paint() -> Paint {
    if std::io::stdout().is_terminal() && !no_colour() {
        Paint::Ansi
    } else {
        Paint::Plain
    }
}

/// How to colour errors on standard error.
pub(crate) fn colour() -> Colour {
    if std::io::stderr().is_terminal() && !no_colour() {
        Colour::With
    } else {
        Colour::Without
    }
}

//! Makes a target as good as new before a run, by a command that the scenario names.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// How long a reset may take: databases are copied, containers started.
const LONGEST: Duration = Duration::from_secs(300);

/// The most of what the command said that is told, in bytes.
const TOLD_MAX: usize = 2_000;

/// Why a target was not reset.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The program.
    #[error("cannot run {program}, which resets the target: {source}")]
    Program {
        /// Its name.
        program: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It failed.
    #[error("{command}, which resets the target, ended with {status}: {said}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said on standard error.
        said: String,
    },
    /// It did not end.
    #[error("{command}, which resets the target, did not end within {} s", LONGEST.as_secs())]
    Late {
        /// The command.
        command: String,
    },
}

/// Runs `command`, a program and its arguments, in `folder`, without a shell. Nothing to do without one.
///
/// # Errors
/// When it cannot be run, fails, or does not end within five minutes.
pub async fn reset(command: &[String], folder: &Path) -> Result<(), ResetError> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(LONGEST, output).await {
        Ok(output) => output.map_err(|source| ResetError::Program {
            program: program.clone(),
            source,
        })?,
        Err(_) => {
            let command = command.join(" ");
            return Err(ResetError::Late { command });
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    let from = said.len().saturating_sub(TOLD_MAX);
    let from = (from..=said.len()).find(|at| said.is_char_boundary(*at));
    Err(ResetError::Failed {
        command: command.join(" "),
        status: output.status,
        said: said[from.unwrap_or(said.len())..].to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|it| (*it).to_owned()).collect()
    }

    #[tokio::test]
    async fn a_reset_runs_without_a_shell_beside_the_scenario() {
        let folder = tempfile::tempdir().unwrap();
        reset(&words(&["touch", "a b; $HOME"]), folder.path())
            .await
            .unwrap();
        assert!(folder.path().join("a b; $HOME").exists());
    }

    #[tokio::test]
    async fn a_reset_that_fails_says_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = reset(&words(&["ls", "no-such-file"]), folder.path()).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("ls no-such-file, which resets the target"),
            "{error}"
        );
        assert!(error.contains("No such file"), "{error}");
        let error = reset(&words(&["/no/such/program"]), folder.path()).await;
        assert!(matches!(error, Err(ResetError::Program { .. })));
    }
}

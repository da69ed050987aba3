//! Asks the user on the terminal.

use std::io::{self, IsTerminal, Write, stderr, stdin};

use crate::output::Output;

/// Whether there is a user who can answer, and who sees the text of the plan.
pub(super) fn may_ask(output: Output) -> bool {
    !output.json && stdin().is_terminal() && stderr().is_terminal()
}

/// Asks whether to go on. Anything but `y` or `yes` means no.
pub(super) fn is_confirmed() -> io::Result<bool> {
    write!(stderr(), "Execute this plan? [y/N] ")?;
    stderr().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

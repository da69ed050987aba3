//! `vhdx completions`: prints the completion script for a shell, made from the argument definitions.

use clap::CommandFactory;

use crate::args::{Args, Completions};
use crate::exit::{Failure, Outcome};
use crate::output;

pub(super) fn run(completions: &Completions) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Args::command(), "vhdx", &mut script);
    output::write(|out| out.write_all(&script))?;
    Ok(Outcome::Done)
}

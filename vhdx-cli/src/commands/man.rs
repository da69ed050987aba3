//! `vhdx man`: the manual pages, from the definition of the arguments.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use crate::args::{Args, Man};
use crate::exit::Outcome;
use crate::output;

pub(super) fn run(man: &Man) -> anyhow::Result<Outcome> {
    match &man.out {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Args::command()).render(&mut page)?;
            output::write(|out| Ok(out.write_all(&page)?))?;
        }
        Some(folder) => {
            write_pages(folder).with_context(|| format!("cannot write to {}", folder.display()))?
        }
    }
    Ok(Outcome::Done)
}

fn write_pages(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Args::command().disable_help_subcommand(true), folder)
}

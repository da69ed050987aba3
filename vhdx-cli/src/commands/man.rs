//! `vhdx man`: prints or writes the manual pages, made from the argument definitions.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use vhdx::{Conflict, Error};

use crate::args::{Args, Man};
use crate::exit::{Failure, Outcome};
use crate::output;

pub(super) fn run(man: &Man) -> Result<Outcome, Failure> {
    match &man.out {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Args::command()).render(&mut page)?;
            output::write(|out| out.write_all(&page))?;
        }
        Some(folder) => {
            let count = write_pages(folder, man.force)?;
            output::write(|out| writeln!(out, "wrote {count} pages into {}", output::shown(folder)))?;
        }
    }
    Ok(Outcome::Done)
}

/// Returns the number of pages.
fn write_pages(folder: &Path, force: bool) -> Result<usize, Failure> {
    let pages = pages();
    if !force {
        let mut paths = pages.iter().map(|page| folder.join(page.get_filename()));
        if let Some(path) = paths.find(|path| path.symlink_metadata().is_ok()) {
            return Err(Error::from(Conflict::DestinationExists).in_file(&path).into());
        }
    }
    fs::create_dir_all(folder)
        .map_err(|error| Failure::io(format!("cannot make {}", folder.display()), &error))?;
    for page in &pages {
        let path = folder.join(page.get_filename());
        write_page(page, &path, force)
            .map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))?;
    }
    Ok(pages.len())
}

fn write_page(page: &clap_mangen::Man, path: &Path, force: bool) -> io::Result<()> {
    let mut file = if force { File::create(path)? } else { File::create_new(path)? };
    page.render(&mut file)?;
    file.flush()
}

fn pages() -> Vec<clap_mangen::Man> {
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    let subcommands: Vec<_> = command.get_subcommands().cloned().collect();
    std::iter::once(command).chain(subcommands).map(clap_mangen::Man::new).collect()
}

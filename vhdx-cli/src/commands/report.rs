//! `vhdx report`: reports the checkpoints in folders, as text, JSON, CSV, HTML, metrics or the line of a Nagios plugin.

mod csv;
mod html;
mod json;
mod nagios;
mod new_text;
mod prometheus;
mod text;
mod words;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use vhdx::{FileIdentity, Forest, discover};

use super::{contents, folder};
use crate::args::Report as Arguments;
use crate::exit::{Failure, Outcome, PLUGIN_UNKNOWN};
use crate::output::{self, Output};
use crate::progress::Bar;

pub(super) fn run(output: Output, arguments: &Arguments) -> Result<Outcome, Failure> {
    match run_or_fail(output, arguments) {
        // A plugin prints its errors on stdout, and exits with a code of its own.
        Err(failure) if arguments.nagios => {
            output::write(|out| writeln!(out, "{}", nagios::unknown(&failure)))?;
            Ok(Outcome::Reported(PLUGIN_UNKNOWN))
        }
        result => result,
    }
}

fn run_or_fail(output: Output, arguments: &Arguments) -> Result<Outcome, Failure> {
    if output.json && (arguments.csv || arguments.nagios) {
        return Err(Failure::usage("--json cannot be used with --csv or --nagios"));
    }
    for root in &arguments.roots {
        folder::ensure_is_folder(root)?;
    }
    let if_exists = arguments.if_exists();
    let files = [(&arguments.html, html::MARK), (&arguments.prometheus, prometheus::MARK)];
    let wanted = || files.iter().filter_map(|(path, mark)| Some((path.as_deref()?, *mark)));
    if let (Some(html), Some(prometheus)) = (&arguments.html, &arguments.prometheus)
        && absolute(html)? == absolute(prometheus)?
    {
        return Err(Failure::usage("--html and --prometheus cannot write the same file"));
    }
    // Before the search, which may take long.
    for (path, mark) in wanted() {
        new_text::check(path, mark, if_exists)?;
    }
    if let Some(path) = &arguments.prometheus
        && path.extension().is_none_or(|extension| extension != "prom")
    {
        output.note(path, "is ignored by the node exporter, which reads only files named .prom");
    }
    let bar = Bar::new(output.quiet);
    let forest = discover(&arguments.roots, &bar)?;
    let limits = arguments.limits();
    let report = vhdx::ops::report(&forest, &limits, SystemTime::now(), &bar)?;
    // The formats of programs do not have the contents.
    let shows_contents = arguments.html.is_some() || !(arguments.csv || arguments.nagios);
    let contents =
        (arguments.contents && shows_contents).then(|| contents::of_forest(&forest, &bar)).transpose()?;
    let contents = contents.as_ref();
    let sources = identities(&forest);
    if let Some(path) = &arguments.html {
        let page = html::page(&report, &arguments.roots, &limits, contents);
        new_text::write(path, html::MARK, if_exists, &sources, page.as_bytes())?;
    }
    if let Some(path) = &arguments.prometheus {
        let metrics = prometheus::text(&report);
        new_text::write(path, prometheus::MARK, if_exists, &sources, metrics.as_bytes())?;
    }
    drop(bar);
    if arguments.nagios {
        let (line, code) = nagios::line(&report, &limits);
        output::write(|out| writeln!(out, "{line}"))?;
        return Ok(Outcome::Reported(code));
    }
    match arguments.csv {
        true => output::write(|out| csv::write(&report, out))?,
        false => {
            output.answer(|| json::json(&report, contents), |out| text::write(&report, contents, out))?
        }
    }
    // A folder without disks is probably the wrong one, or nothing is mounted there.
    Ok(if report.passes_limit() || report.disks.is_empty() { Outcome::Found } else { Outcome::Done })
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|source| vhdx::Error::io("resolve", None, source).in_file(path).into())
}

fn identities(forest: &Forest) -> Vec<FileIdentity> {
    forest.disks.iter().filter_map(|disk| disk.facts.identity).collect()
}

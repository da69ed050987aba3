//! The command that measures all rows of `docs/performance.md`.

mod chain;
mod cold;
mod context;
mod estate;
mod extents;
mod files;
mod measure;
mod metadata;
#[cfg(feature = "peers")]
mod peer_crates;
mod peers;
mod plain;
mod readers;
mod rows;
mod server;
mod summary;
mod table;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser;

use context::Size;
use measure::{Job, Role};
use rows::Row;
use summary::Summary;
use table::{Goal, Quantity};

pub(crate) use context::Context;

/// Compare the vhdx command, side by side, with a plain copy of the same bytes and with other programs
///
/// Prints a table for each row, and whether the row reaches its goal. Times are medians. A ratio of times is the median
/// of the ratios within each round. A ratio of CPU times compares the least times. Without ROW, all rows are measured; cold ones with --cold.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct Args {
    /// The rows to measure; `--list` lists them
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// List the rows
    #[arg(long)]
    list: bool,
    /// How often each command is timed, after one untimed run
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// The size of the disks: quick is a quarter of full
    #[arg(long, value_enum, default_value_t = Size::Full)]
    size: Size,
    /// Empty the page cache before each run of the cold rows, and measure them, too; needs root
    #[arg(long)]
    cold: bool,
    /// The folder for the disks, which are deleted at the end [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Measure no peers, and exit with 1 if a ratio is more than twice its goal
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    worker: Option<worker::Worker>,
}

/// The jobs and goals of a row.
pub(crate) struct Comparison<'a> {
    pub(crate) jobs: Vec<Job<'a>>,
    /// The number of bytes for the rate in the table; 0 for no rate.
    pub(crate) bytes: u64,
    pub(crate) goals: Vec<Goal>,
    /// The quantity in which the best peer is compared.
    pub(crate) quantity: Quantity,
    /// The goal of that comparison: a ratio below this.
    pub(crate) peers_below: f64,
}

pub(crate) fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let Some(worker) = &args.worker {
        worker.run()?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.list {
        for row in rows::WARM.iter().chain(rows::COLD) {
            println!("{:<14} {}", row.name, row.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    measure_rows(&args)
}

fn measure_rows(args: &Args) -> Result<ExitCode> {
    if args.rounds == 0 {
        bail!("at least one round is needed");
    }
    if args.cold {
        cold::ensure_permitted()?;
    }
    let chosen = chosen_rows(&args.rows, args.cold)?;
    let this = std::env::current_exe()?;
    let vhdx = this.with_file_name("vhdx");
    if !vhdx.is_file() {
        bail!("{} does not exist: run `cargo build --release -p avhdx-cli`", vhdx.display());
    }
    let root = args.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new().prefix("vhdx-bench").tempdir_in(&root);
    let folder = folder.with_context(|| format!("cannot make a folder in {}", root.display()))?;
    let context =
        Context { folder: folder.path().canonicalize()?, vhdx, this, size: args.size, check: args.check };
    let mut too_slow = Vec::new();
    let mut summary = Summary::default();
    for row in chosen {
        too_slow.extend(measure_row(row, &context, args.rounds, &mut summary)?);
        context.delete_chains()?;
    }
    folder.close()?;
    println!("{summary}");
    if args.check && !too_slow.is_empty() {
        eprintln!("more than twice the goal:\n{}", too_slow.join("\n"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the rows with these names, or all rows if there are no names; cold ones only if `cold`.
fn chosen_rows(names: &[String], cold: bool) -> Result<Vec<&'static Row>> {
    let find = |rows: &'static [Row], name: &str| rows.iter().find(|row| row.name == name);
    let row = |name: &String| match (find(rows::WARM, name), find(rows::COLD, name)) {
        (Some(row), _) => Ok(row),
        (None, Some(row)) if cold => Ok(row),
        (None, Some(_)) => bail!("{name} empties the page cache: use --cold"),
        (None, None) => bail!("there is no row {name}; see --list"),
    };
    match names {
        [] if cold => Ok(rows::WARM.iter().chain(rows::COLD).collect()),
        [] => Ok(rows::WARM.iter().collect()),
        names => names.iter().map(row).collect(),
    }
}

/// Prints the table of a row.
///
/// Returns the sentences of the goals that are missed by more than a factor of two.
fn measure_row(row: &Row, context: &Context, rounds: usize, summary: &mut Summary) -> Result<Vec<String>> {
    println!("## {}\n{}\n", row.name, row.about);
    let Some(mut comparison) = (row.prepare)(context).with_context(|| row.name)? else {
        return Ok(Vec::new());
    };
    if context.check {
        comparison.jobs.retain(|job| job.role != Role::Peer);
    }
    let memory =
        context.worker(["take-memory"]).arg(context.scaled(1 << 30).to_string()).arg(&context.folder);
    let samples = measure::in_turn(&comparison.jobs, rounds, &memory)?;
    println!("{}", table::markdown(&comparison.jobs, &samples, comparison.bytes));
    let verdicts = table::verdicts(&comparison.goals, &comparison.jobs, &samples);
    verdicts.iter().for_each(|verdict| println!("- {}", verdict.sentence));
    let Comparison { jobs, goals, quantity, peers_below, .. } = &comparison;
    if let Some(sentence) = table::best_peer(goals, jobs, &samples, *quantity, *peers_below) {
        println!("- {sentence}");
    }
    println!();
    summary.add(row.name, &comparison, &samples);
    let too_slow = verdicts.into_iter().filter(|verdict| verdict.of_goal > 2.0);
    Ok(too_slow.map(|verdict| format!("{}: {}", row.name, verdict.sentence)).collect())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::CommandFactory;

    use super::chain::Spec;
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn rows_are_chosen_by_name() {
        assert_eq!(chosen_rows(&[], false).unwrap().len(), rows::WARM.len());
        assert_eq!(chosen_rows(&["info".into()], false).unwrap()[0].name, "info");
        assert!(chosen_rows(&["nothing".into()], true).is_err());
    }

    #[test]
    fn cold_rows_are_measured_only_on_request() {
        let cold = ["cold-reads".to_owned()];
        assert!(chosen_rows(&cold, false).is_err());
        assert_eq!(chosen_rows(&cold, true).unwrap()[0].name, "cold-reads");
        assert_eq!(chosen_rows(&[], true).unwrap().len(), rows::WARM.len() + rows::COLD.len());
    }

    #[test]
    fn a_shape_is_parsed_from_its_own_arguments() {
        let spec = Spec {
            size: 1,
            block: 2,
            depth: 3,
            base_fill: 4,
            child_bytes: 5,
            run_min: 6,
            run_max: 7,
            whole: true,
            same_runs: true,
        };
        let args = ["vhdx-bench", "make-chain", "folder"].map(OsString::from).into_iter().chain(spec.args());
        let Some(worker::Worker::MakeChain { spec: parsed, .. }) = Args::parse_from(args).worker else {
            panic!("another command");
        };
        assert_eq!(parsed, spec);
    }
}

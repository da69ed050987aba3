//! `vhdx`: inspects, checks, converts and merges Hyper-V checkpoint chains on any system.

mod args;
mod commands;
mod damage;
mod exit;
mod foreign;
mod interrupt;
mod output;
mod progress;
mod sizes;
mod unknown_command;

use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse() {
        Ok(args) => exit::code(commands::run(&args), args.json),
        Err(code) => code,
    }
}

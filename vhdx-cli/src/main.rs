//! `vhdx`: inspects, checks, converts and merges Hyper-V checkpoint chains on any system.

mod args;
mod commands;
mod damage;
mod disks;
mod exit;
mod foreign;
mod interrupt;
mod output;
mod progress;
mod remote;
mod sizes;
mod unknown_command;

use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse() {
        Ok(mut args) => {
            let accepted = args::accept_urls(&mut args.command);
            exit::code(accepted.and_then(|()| commands::run(&args)), args.json)
        }
        Err(code) => code,
    }
}

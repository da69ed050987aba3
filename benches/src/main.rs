//! Compares whole processes: the `vhdx` command, the plain copy of the same bytes, and what else a user would take.

#[cfg(target_os = "linux")]
mod harness;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<std::process::ExitCode> {
    harness::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("vhdx-bench measures on Linux only");
    std::process::ExitCode::from(2)
}

//! Compares whole processes: the `vhdx` command, a plain copy of the same bytes, and other programs.

#[cfg(target_os = "linux")]
mod harness;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<std::process::ExitCode> {
    harness::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("vhdx-bench runs only on Linux");
    std::process::ExitCode::from(2)
}

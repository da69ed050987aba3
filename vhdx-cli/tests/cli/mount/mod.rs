//! `mount`: files that show a disk at each checkpoint.

#[cfg(target_os = "linux")]
mod background;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod ending;
#[cfg(target_os = "linux")]
mod failing;
#[cfg(target_os = "linux")]
mod mounted;

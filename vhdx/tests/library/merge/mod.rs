//! Merging in place: every leaf reads the same bytes before, afterwards, and whenever it is interrupted.

mod cases;
mod crash;
mod deletion;
mod faults;
mod killed;
mod large;
mod prepare;
mod random;
mod random_crash;
mod refusals;
#[cfg(target_os = "linux")]
mod scarce;
mod scene;
mod space;

//! Tests of the server with a small client of their own, and with the clients that people use.

#[cfg(unix)]
mod client;
#[cfg(unix)]
mod clients;
#[cfg(unix)]
mod failing;
#[cfg(unix)]
mod harness;
#[cfg(unix)]
mod hostile;
#[cfg(unix)]
mod options;
#[cfg(unix)]
mod reading;
#[cfg(unix)]
mod stopping;
#[cfg(unix)]
mod tcp;
#[cfg(unix)]
mod writing;

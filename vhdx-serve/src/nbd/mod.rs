//! The NBD protocol: handshake and requests, and the server that speaks it.

mod listener;
mod server;
mod socket;
mod stop;

pub use listener::{Address, Listener};
pub use server::Server;
pub use stop::Stop;

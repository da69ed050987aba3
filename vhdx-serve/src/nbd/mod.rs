//! The NBD protocol: handshake and requests, and the server that speaks it.

mod accept;
mod block_status;
mod budget;
mod buffers;
mod bytes;
mod connection;
mod context;
mod execute;
mod handshake;
#[cfg(any(test, feature = "fuzzing"))]
mod in_memory;
mod incoming;
mod listener;
mod offer;
mod options;
mod outbox;
mod pace;
mod protocol;
mod queue;
mod ready;
mod registry;
mod reply;
mod request;
mod server;
mod session;
mod shared;
mod socket;
mod stop;
mod transfer;

#[cfg(any(test, feature = "fuzzing"))]
pub use in_memory::{answer_options, answer_requests};
pub use listener::{Address, Listener};
pub use server::Server;
pub use stop::Stop;

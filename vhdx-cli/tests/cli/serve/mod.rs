//! `vhdx serve`, with clients of other projects and one of these tests.

mod clients;
mod killed;
mod refused;
mod server;
mod written;

//! Doubles of the host's files, in which a program is stopped or the power fails.

mod mirror;
mod stopping;

pub(crate) use mirror::Mirror;
pub(crate) use stopping::Stopping;

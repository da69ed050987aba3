//! What differs between hosts. Each host offers the same functions; this file alone chooses.

#[cfg(target_os = "linux")]
mod cached_first;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
mod no_seek;
#[cfg(not(target_os = "linux"))]
mod one_by_one;
#[cfg(not(any(target_os = "linux", windows)))]
mod other;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
mod seek;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
#[allow(unsafe_code)]
mod windows;

#[cfg(target_os = "linux")]
pub(super) use cached_first::*;
#[cfg(target_os = "linux")]
pub(super) use linux::*;
#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
pub(super) use no_seek::*;
#[cfg(not(target_os = "linux"))]
pub(super) use one_by_one::*;
#[cfg(not(any(target_os = "linux", windows)))]
pub(super) use other::*;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
pub(super) use seek::*;
#[cfg(unix)]
pub(super) use unix::*;
#[cfg(windows)]
pub(super) use windows::*;

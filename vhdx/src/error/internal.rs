//! Turns a broken invariant into an error: the impossible is a bug to report, never a default value.

use std::panic::Location;

use super::{Error, Result};

impl Error {
    /// Returns the error for an invariant that does not hold, with the place of the call in this library.
    #[cold]
    #[track_caller]
    pub(crate) fn internal(invariant: &'static str) -> Self {
        let place = Location::caller();
        Error::Internal { invariant, file: place.file(), line: place.line() }
    }
}

/// A value that an invariant guarantees.
pub(crate) trait Guaranteed<T> {
    /// Returns the value.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is none, with the `invariant` that does not hold.
    fn guaranteed(self, invariant: &'static str) -> Result<T>;
}

impl<T> Guaranteed<T> for Option<T> {
    #[inline]
    #[track_caller]
    fn guaranteed(self, invariant: &'static str) -> Result<T> {
        match self {
            Some(value) => Ok(value),
            None => Err(Error::internal(invariant)),
        }
    }
}

impl<T, E> Guaranteed<T> for std::result::Result<T, E> {
    #[inline]
    #[track_caller]
    fn guaranteed(self, invariant: &'static str) -> Result<T> {
        self.ok().guaranteed(invariant)
    }
}

/// Returns a length or an index in memory.
///
/// # Errors
/// [`Error::Internal`] if no address of this machine is that large. Lengths are bounded before memory is allocated for
/// them, so this is a bug.
#[inline]
#[track_caller]
pub(crate) fn in_memory(len: u64) -> Result<usize> {
    usize::try_from(len).guaranteed("a length in memory fits the addresses of the machine")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_error_names_the_invariant_and_the_place_of_the_call() {
        let line = line!() + 1;
        let error = None::<u8>.guaranteed("there is a byte").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        let text = error.to_string();
        assert!(text.contains("there is a byte"), "{text}");
        assert!(text.contains(&format!("internal.rs:{line}")), "{text}");
        assert_eq!(u8::try_from(7_u64).guaranteed("it fits").unwrap(), 7);
        assert_eq!(in_memory(7).unwrap(), 7);
    }
}

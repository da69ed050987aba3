//! Turns a broken invariant into an error: the impossible is a bug to report, never a default value.

use std::panic::Location;

use super::{Error, Result};
use crate::units::{BatIndex, BlockIndex, ChunkIndex, DiskOffset, FileOffset};

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

/// A number that validated types keep in range, so that its sums and differences are in range too.
///
/// Numbers from a file are not: what is not yet validated needs `checked_add` and the error of the rule.
pub(crate) trait Bounded: Sized {
    /// A distance between two such numbers.
    type Distance;

    /// Returns `self + distance`.
    ///
    /// # Errors
    /// [`Error::Internal`] on overflow.
    fn plus(self, distance: Self::Distance) -> Result<Self>;

    /// Returns `self - start`: the distance from `start` to `self`.
    ///
    /// # Errors
    /// [`Error::Internal`] if `start` is larger.
    fn minus(self, start: Self) -> Result<Self::Distance>;
}

/// A length or a count that validated types keep in range, so that its multiples are in range too.
pub(crate) trait Times: Sized {
    /// Returns `self * factor`.
    ///
    /// # Errors
    /// [`Error::Internal`] on overflow.
    fn times(self, factor: Self) -> Result<Self>;
}

const SUM: &str = "the sum of validated numbers is in range";
const DIFFERENCE: &str = "a range of validated numbers begins before it ends";
const PRODUCT: &str = "the product of validated numbers is in range";

macro_rules! bounded_integer {
    ($($name:ident),*) => {$(
        impl Bounded for $name {
            type Distance = Self;

            #[inline]
            #[track_caller]
            fn plus(self, distance: Self) -> Result<Self> {
                self.checked_add(distance).guaranteed(SUM)
            }

            #[inline]
            #[track_caller]
            fn minus(self, start: Self) -> Result<Self> {
                self.checked_sub(start).guaranteed(DIFFERENCE)
            }
        }

        impl Times for $name {
            #[inline]
            #[track_caller]
            fn times(self, factor: Self) -> Result<Self> {
                self.checked_mul(factor).guaranteed(PRODUCT)
            }
        }
    )*};
}
bounded_integer!(u32, u64, usize);

macro_rules! bounded_place {
    ($($name:ident),*) => {$(
        impl Bounded for $name {
            type Distance = u64;

            #[inline]
            #[track_caller]
            fn plus(self, distance: u64) -> Result<Self> {
                self.checked_add(distance).guaranteed(SUM)
            }

            #[inline]
            #[track_caller]
            fn minus(self, start: Self) -> Result<u64> {
                self.get().checked_sub(start.get()).guaranteed(DIFFERENCE)
            }
        }
    )*};
}
bounded_place!(FileOffset, DiskOffset, BlockIndex, ChunkIndex, BatIndex);

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

    #[test]
    fn numbers_out_of_range_are_errors_that_name_the_place_of_the_call() {
        let line = line!() + 1;
        let error = FileOffset::new(u64::MAX).plus(1).unwrap_err();
        assert!(error.to_string().contains(&format!("internal.rs:{line}")), "{error}");
        assert_eq!(7_usize.minus(8).unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(u64::MAX.times(2).unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(DiskOffset::new(7).minus(DiskOffset::new(8)).unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(BlockIndex::new(7).plus(1).unwrap(), BlockIndex::new(8));
        assert_eq!(BatIndex::new(9).minus(BatIndex::new(7)).unwrap(), 2);
        assert_eq!((6_u64.plus(1).unwrap(), 6_u64.minus(6).unwrap(), 6_u64.times(7).unwrap()), (7, 0, 42));
    }
}

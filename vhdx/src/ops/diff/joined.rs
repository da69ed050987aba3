//! Joins adjacent ranges.

use super::range::ChangedRange;
use crate::error::{Error, Result};

/// Joins touching ranges of the same kind. The ranges must ascend.
///
/// Ends after an error. The ranges before the error are returned first.
pub(super) struct Joined<I> {
    ranges: I,
    last: Option<ChangedRange>,
    error: Option<Error>,
    is_done: bool,
}

impl<I> Joined<I> {
    pub(super) fn new(ranges: I) -> Self {
        Self { ranges, last: None, error: None, is_done: false }
    }
}

impl<T, I> Iterator for Joined<I>
where
    I: Iterator<Item = Result<T>>,
    ChangedRange: From<T>,
{
    type Item = Result<ChangedRange>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_done {
            match self.ranges.next().map(|next| next.map(ChangedRange::from)) {
                Some(Ok(next)) => {
                    if !self.last.as_mut().is_some_and(|last| last.try_join(&next))
                        && let Some(done) = self.last.replace(next)
                    {
                        return Some(Ok(done));
                    }
                }
                ended => {
                    self.is_done = true;
                    self.error = ended.and_then(Result::err);
                }
            }
        }
        self.last.take().map(Ok).or_else(|| self.error.take().map(Err))
    }
}

//! Pins an object to the state in which it was opened.

use object_store::{GetOptions, ObjectMeta};

use crate::failure::Failure;

/// Identifies a state of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    size: u64,
    /// A strong one: `guard` removes weak ones.
    etag: Option<String>,
    version: Option<String>,
    /// The time of the last change, with a resolution of a second. Milliseconds since 1970; 0 if it is not known.
    modified: i64,
}

impl Pin {
    /// Pins an object to what the server has just said about it.
    ///
    /// # Errors
    /// [`Failure::NoValidator`] if the server said nothing that changes with the content.
    pub(crate) fn new(meta: &ObjectMeta) -> Result<Self, Failure> {
        let pin = Self::of(meta);
        match pin.etag.is_none() && pin.version.is_none() && pin.modified == 0 {
            true => Err(Failure::NoValidator),
            false => Ok(pin),
        }
    }

    fn of(meta: &ObjectMeta) -> Self {
        Self {
            size: meta.size,
            etag: meta.e_tag.clone(),
            version: meta.version.clone(),
            modified: meta.last_modified.timestamp_millis(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds the conditions under which the server may answer.
    pub(crate) fn conditions(&self, meta: &ObjectMeta, options: GetOptions) -> GetOptions {
        match self.etag.clone() {
            Some(etag) => GetOptions { if_match: Some(etag), ..options },
            None if self.version.is_some() => GetOptions { version: self.version.clone(), ..options },
            None => GetOptions { if_unmodified_since: Some(meta.last_modified), ..options },
        }
    }

    /// Ensures that an answer is about the same state: a server may ignore conditions.
    pub(crate) fn ensure_same(&self, meta: &ObjectMeta) -> Result<(), Failure> {
        if *self == Self::of(meta) { Ok(()) } else { Err(Failure::Replaced) }
    }
}

//! Defines [`Export`]: a disk with the name by which clients choose it.

use std::sync::Arc;

use crate::error::ServeError;
use crate::shared_disk::SharedDisk;

/// The greatest length of a string in the protocol, in bytes.
pub const MAX_NAME_LENGTH: usize = 4096;

/// A disk that clients can choose by a name.
#[derive(Debug, Clone)]
pub struct Export {
    name: String,
    description: String,
    disk: Arc<SharedDisk>,
}

impl Export {
    /// Returns an export. `description` is for people; it may be empty.
    ///
    /// # Errors
    /// [`ServeError::TooLong`] if a text is longer than [`MAX_NAME_LENGTH`].
    pub fn new(
        name: impl Into<String>,
        description: impl Into<String>,
        disk: Arc<SharedDisk>,
    ) -> Result<Self, ServeError> {
        let (name, description) = (name.into(), description.into());
        for (what, text) in [("name", &name), ("description", &description)] {
            if text.len() > MAX_NAME_LENGTH {
                return Err(ServeError::TooLong { what, length: text.len(), limit: MAX_NAME_LENGTH });
            }
        }
        Ok(Self { name, description, disk })
    }

    /// Returns the name. The empty name is one as any other, and also chooses the default export of a server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the text for people.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Returns the disk.
    pub fn disk(&self) -> &Arc<SharedDisk> {
        &self.disk
    }
}

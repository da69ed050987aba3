//! Opening a configuration: its format, its keys, and its values outside of the key tables.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::container::{
    HEADER_OFFSETS, HEADER_SIGNATURE, OBJECT_TABLE_OFFSET, OBJECT_TABLE_SIGNATURE, Replayed, read_up_to,
};
use crate::error::{Damage, Error, Limit, Result};
use crate::limits::{MAX_TEXT, MAX_XML};
use crate::source::{Seekable, Source};
use crate::tree::{Key, Tree};
use crate::value::{FileObject, Value, ValueType, text_of_utf16};
use crate::warning::Warnings;
use crate::{container, xml};

/// The format of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Format {
    /// The HyperV Storage container of `.vmcx`, `.vmrs` and `data.vmcx`.
    Container,
    /// The legacy XML of configuration versions up to 5.0.
    Xml,
}

/// A configuration file with all its keys.
#[derive(Debug)]
pub struct Configuration {
    format: Format,
    file: Replayed,
    tree: Tree,
    warnings: Warnings,
    replayed_entries: u32,
}

impl Configuration {
    /// Opens a file and reads all keys. The format is recognized by the content.
    ///
    /// # Errors
    /// - [`Error::NotARegularFile`] for folders, pipes and devices
    /// - [`Error::Io`] if the file cannot be opened or read
    /// - the errors of [`read`](Self::read)
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        // Before it is opened, because opening a pipe waits for a writer.
        if !path.metadata().map_err(Error::open)?.is_file() {
            return Err(Error::NotARegularFile);
        }
        let file = File::open(path).map_err(Error::open)?;
        if !file.metadata().map_err(Error::open)?.is_file() {
            return Err(Error::NotARegularFile);
        }
        Self::read(Seekable::new(file))
    }

    /// Reads all keys of a source. The format is recognized by the content.
    ///
    /// # Errors
    /// - [`Error::Io`] if the source cannot be read
    /// - [`Error::NotAConfiguration`] if it is neither a container nor an XML configuration
    /// - [`Error::Version`] and [`Error::TooLarge`] if it cannot be read by this version of the crate
    /// - [`Error::Corrupt`] if it is so damaged that its keys cannot be decided
    pub fn read(source: impl Source + 'static) -> Result<Self> {
        let mut file = Replayed::new(Arc::new(source)).map_err(Error::read)?;
        let mut warnings = Warnings::default();
        let format = recognize(&file)?;
        let (tree, replayed_entries) = match format {
            Format::Container => container::read(&mut file, &mut warnings)?,
            Format::Xml => (xml::read(&whole(&file)?, &mut warnings)?, 0),
        };
        Ok(Self { format, file, tree, warnings, replayed_entries })
    }

    /// Returns the format.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Returns all keys.
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Returns what was skipped or could not be understood.
    pub const fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// Returns the number of entries of the replay log that were applied in memory. It is 0 if the log was clean.
    pub const fn replayed_entries(&self) -> u32 {
        self.replayed_entries
    }

    /// Reads the bytes of a value that is stored outside of the key tables, at most `max_len`.
    ///
    /// # Errors
    /// - [`Error::Io`] if they cannot be read
    /// - [`Error::TooLarge`] if they are longer than `max_len`
    /// - [`Error::Corrupt`] if they are not in the file
    pub fn read_object(&self, object: &FileObject, max_len: u32) -> Result<Vec<u8>> {
        if object.len > max_len {
            return Err(Error::too_large(Limit::Object, object.offset));
        }
        let bytes = read_up_to(&self.file, object.offset, object.len.into())?;
        let is_whole = u64::try_from(bytes.len()) == Ok(object.len.into());
        is_whole.then_some(bytes).ok_or(Error::corrupt(object.offset, Damage::FileObject))
    }

    /// Returns the text of a key, which is read if it is stored outside of the key tables; `None` if the key is no text.
    ///
    /// # Errors
    /// Those of [`read_object`](Self::read_object) for more than [`MAX_TEXT`] bytes, and [`Error::Corrupt`] if the bytes
    /// are not UTF-16.
    pub fn text<'a>(&self, key: Key<'a>) -> Result<Option<Cow<'a, str>>> {
        match key.value() {
            Value::Text(text) => Ok(Some(Cow::Borrowed(text))),
            Value::Object(object) if object.value_type == ValueType::Text => {
                let text = text_of_utf16(&self.read_object(object, MAX_TEXT)?);
                let text = text.ok_or_else(|| Error::corrupt(object.offset, Damage::Text))?;
                Ok(Some(Cow::Owned(text)))
            }
            _ => Ok(None),
        }
    }
}

/// The number of bytes in which the first `<` of an XML file is looked for.
const START: u64 = 64;

fn recognize(file: &Replayed) -> Result<Format> {
    let [first, second] = HEADER_OFFSETS;
    let signatures = [
        (first, HEADER_SIGNATURE),
        (second, HEADER_SIGNATURE),
        // With two damaged headers, it is still a container.
        (OBJECT_TABLE_OFFSET, OBJECT_TABLE_SIGNATURE),
    ];
    for (offset, signature) in signatures {
        if read_up_to(file, offset, 4)? == signature {
            return Ok(Format::Container);
        }
    }
    let is_xml = xml::looks_like_xml(&read_up_to(file, 0, START)?);
    if is_xml { Ok(Format::Xml) } else { Err(Error::NotAConfiguration) }
}

fn whole(file: &Replayed) -> Result<Vec<u8>> {
    if file.size() > MAX_XML {
        return Err(Error::TooLarge { limit: Limit::Xml, offset: None });
    }
    read_up_to(file, 0, file.size())
}

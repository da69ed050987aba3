//! Looks up the keys of a typed view, and collects warnings about those that are not understood.

use uuid::Uuid;

use crate::configuration::Configuration;
use crate::tree::Key;
use crate::value::Value;
use crate::warning::{Problem, Warnings};

/// The keys of one configuration.
pub(crate) struct Fields<'a> {
    configuration: &'a Configuration,
    warnings: Warnings,
}

/// A value with its key.
pub(crate) struct Found<'a, T> {
    pub(crate) key: Key<'a>,
    pub(crate) value: T,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(configuration: &'a Configuration) -> Self {
        Self { configuration, warnings: Warnings::default() }
    }

    pub(crate) fn into_warnings(self) -> Warnings {
        self.warnings
    }

    /// Returns the text at a path.
    pub(crate) fn text(&mut self, path: &str) -> Option<Found<'a, String>> {
        let key = self.only(self.configuration.tree().find_all(path))?;
        self.text_of(key)
    }

    /// Returns the text of a child.
    pub(crate) fn text_below(&mut self, node: Key<'a>, name: &str) -> Option<Found<'a, String>> {
        let key = self.only(node.children_named(name).collect())?;
        self.text_of(key)
    }

    /// Returns what a value at a path means; `None`, with a warning, if `meaning` does not know it.
    pub(crate) fn value<T>(&mut self, path: &str, meaning: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let key = self.only(self.configuration.tree().find_all(path))?;
        let found = meaning(key.value());
        if found.is_none() {
            self.unexpected(key);
        }
        found
    }

    /// Returns the GUID that a text consists of.
    pub(crate) fn guid(&mut self, text: &Found<'_, String>) -> Option<Uuid> {
        let guid = guid(&text.value);
        if guid.is_none() {
            self.unexpected(text.key);
        }
        guid
    }

    /// Adds a warning about a key that is not understood. A malformed value has one already.
    pub(crate) fn unexpected(&mut self, key: Key<'_>) {
        if !matches!(key.value(), Value::Malformed(_)) {
            self.warnings.add(key.offset(), Problem::Unexpected(key.path()));
        }
    }

    /// Returns the text of a key.
    pub(crate) fn text_of(&mut self, key: Key<'a>) -> Option<Found<'a, String>> {
        match self.configuration.text(key) {
            Ok(Some(text)) => Some(Found { key, value: text.into_owned() }),
            Ok(None) => {
                self.unexpected(key);
                None
            }
            Err(error) => {
                let problem = Problem::Unreadable { name: key.path(), why: error.to_string() };
                self.warnings.add(key.offset(), problem);
                None
            }
        }
    }

    /// Returns the first of the keys with one path.
    fn only(&mut self, keys: Vec<Key<'a>>) -> Option<Key<'a>> {
        let (first, others) = keys.split_first()?;
        if others.iter().any(|other| other.value() != first.value()) {
            self.warnings.add(first.offset(), Problem::Repeated(first.path()));
        }
        Some(*first)
    }
}

/// Returns the GUID that a text consists of, without braces.
pub(crate) fn guid(text: &str) -> Option<Uuid> {
    const LEN: usize = 36;
    Some(text).filter(|text| text.len() == LEN).and_then(|text| Uuid::try_parse(text).ok())
}

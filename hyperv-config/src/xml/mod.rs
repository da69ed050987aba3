//! The legacy XML format, of configuration versions up to 5.0: the same tree of keys as in a container.
//!
//! An element with the attribute `type` is a value, and one without it is a node.

mod element;
mod encoding;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use self::element::OpenValue;
use self::encoding::Decoded;
pub(crate) use self::encoding::looks_like_xml;
use crate::error::{Damage, Error, Limit, Result};
use crate::limits::{MAX_DEPTH, MAX_KEYS, MAX_NAME};
use crate::tree::{Entry, Tree};
use crate::value::Value;
use crate::warning::{Problem, Warnings};

/// The name of the root element.
const ROOT: &str = "configuration";
/// The number of characters of a parser's message that are kept. It can quote names of any length.
const MAX_MESSAGE: usize = 200;

/// Reads all keys.
pub(crate) fn read(bytes: &[u8], warnings: &mut Warnings) -> Result<Tree> {
    let decoded = Decoded::new(bytes)?;
    let mut reader = Reader::from_str(decoded.text());
    reader.config_mut().expand_empty_elements = true;
    let mut document = Document { entries: Vec::new(), nodes: Vec::new(), value: None, warnings };
    let mut offsets = decoded.offsets();
    loop {
        let offset = offsets.of(reader.buffer_position());
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => {
                let offset = offsets.of(reader.error_position());
                return Err(malformed(offset, &error.to_string()));
            }
        };
        match event {
            Event::Start(start) => document.start(&start, offset)?,
            Event::End(_) => document.end(),
            Event::Text(text) => document.text(&text.xml10_content(), offset)?,
            Event::CData(data) => document.text(&data.xml10_content(), offset)?,
            Event::GeneralRef(reference) => {
                let text = resolve(&reference).ok_or_else(|| malformed(offset, "an unknown entity"))?;
                document.text(text.encode_utf8(&mut [0; 4]), offset)?;
            }
            // It could define entities, which are not read.
            Event::DocType(_) => return Err(document.foreign(offset, "a document type declaration")),
            Event::Eof => return document.finish(offset),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

/// Returns the character that a reference stands for: one by its number, or one of the five that XML defines.
fn resolve(reference: &BytesRef<'_>) -> Option<char> {
    if reference.is_char_ref() {
        return reference.resolve_char_ref().ok().flatten();
    }
    match &*reference.xml10_content() {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => None,
    }
}

fn malformed(offset: u64, why: &str) -> Error {
    let why = why.chars().take(MAX_MESSAGE).flat_map(char::escape_debug).collect();
    Error::corrupt(offset, Damage::Xml(why))
}

/// The part of a document that was read.
struct Document<'a> {
    entries: Vec<Entry>,
    /// The indices of the open nodes.
    nodes: Vec<usize>,
    /// The open value, if any. Its entry is the last one.
    value: Option<OpenValue>,
    warnings: &'a mut Warnings,
}

impl Document<'_> {
    fn start(&mut self, start: &BytesStart<'_>, offset: u64) -> Result<()> {
        let name = start.name();
        let name: &str = name.as_ref();
        let value = OpenValue::of(start, offset).map_err(|error| malformed(offset, &error.to_string()))?;
        if self.entries.is_empty() && (!name.eq_ignore_ascii_case(ROOT) || value.is_some()) {
            return Err(Error::NotAConfiguration);
        }
        if self.value.is_some() {
            return Err(malformed(offset, "an element inside of a value"));
        }
        if self.nodes.is_empty() && !self.entries.is_empty() {
            return Err(malformed(offset, "a second root element"));
        }
        if name.len() > MAX_NAME {
            return Err(malformed(offset, "a name of more than 255 bytes"));
        }
        if self.nodes.len() >= MAX_DEPTH {
            return Err(Error::too_large(Limit::Depth, offset));
        }
        let id = self.entries.len();
        // The order of the elements is that of their insertion.
        let sequence = u32::try_from(id).ok().filter(|_| id < MAX_KEYS);
        let sequence = sequence.ok_or_else(|| Error::too_large(Limit::Keys, offset))?;
        let parent = self.nodes.last().copied();
        self.entries.push(Entry { name: name.into(), parent, value: Value::Node, offset, sequence });
        match value {
            Some(value) => self.value = Some(value),
            None => self.nodes.push(id),
        }
        Ok(())
    }

    /// Ends the open value, or else the open node. The parser has compared the names.
    fn end(&mut self) {
        let Some(value) = self.value.take() else {
            self.nodes.pop();
            return;
        };
        if let Some(entry) = self.entries.last_mut() {
            entry.value = value.finish(&entry.name, self.warnings);
        }
    }

    fn text(&mut self, text: &str, offset: u64) -> Result<()> {
        if let Some(value) = &mut self.value {
            value.text.push_str(text);
        } else if !text.trim().is_empty() {
            let node = self.nodes.last().and_then(|id| self.entries.get(*id));
            let Some(node) = node else {
                return Err(self.foreign(offset, "text outside of the root element"));
            };
            self.warnings.add(offset, Problem::XmlText(node.name.to_string()));
        }
        Ok(())
    }

    /// Returns the error for content that a configuration does not have. Before the root element, it shows that the file
    /// is something else.
    fn foreign(&self, offset: u64, what: &str) -> Error {
        if self.entries.is_empty() { Error::NotAConfiguration } else { malformed(offset, what) }
    }

    fn finish(self, offset: u64) -> Result<Tree> {
        if self.entries.is_empty() {
            return Err(Error::NotAConfiguration);
        }
        if self.value.is_some() || !self.nodes.is_empty() {
            return Err(malformed(offset, "the file ends inside of an element"));
        }
        Tree::new(self.entries)
    }
}

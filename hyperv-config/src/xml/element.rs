//! Elements that are values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quick_xml::events::BytesStart;
use quick_xml::events::attributes::AttrError;

use crate::value::{Malformed, Value, ValueType};
use crate::warning::{Problem, Warnings};

/// A value whose element is not ended yet.
pub(super) struct OpenValue {
    /// `None` if the type is unknown.
    value_type: Option<ValueType>,
    offset: u64,
    /// The text of the element so far.
    pub(super) text: String,
}

impl OpenValue {
    /// Returns the value that a start tag begins; `None` for a node, which has no type.
    ///
    /// # Errors
    /// If the attributes are not well-formed.
    pub(super) fn of(start: &BytesStart<'_>, offset: u64) -> Result<Option<Self>, AttrError> {
        let mut found = None;
        for attribute in start.attributes() {
            let attribute = attribute?;
            if attribute.key.as_ref() == "type" {
                let value_type = value_type(&attribute.value);
                found = Some(Self { value_type, offset, text: String::new() });
            }
        }
        Ok(found)
    }

    /// Returns the value, and reports it if it is malformed.
    pub(super) fn finish(self, name: &str, warnings: &mut Warnings) -> Value {
        let Some(value_type) = self.value_type else {
            warnings.add(self.offset, Problem::XmlType(name.to_owned()));
            return Value::Text(self.text);
        };
        parse(&self.text, value_type).unwrap_or_else(|| {
            warnings.add(self.offset, Problem::Value { name: name.to_owned(), value_type });
            Value::Malformed(Malformed { value_type, bytes: self.text.into_bytes() })
        })
    }
}

fn value_type(name: &str) -> Option<ValueType> {
    Some(match name {
        "integer" => ValueType::Int,
        "string" => ValueType::Text,
        "bool" => ValueType::Bool,
        "bytes" => ValueType::Bytes,
        _ => return None,
    })
}

fn parse(text: &str, value_type: ValueType) -> Option<Value> {
    let word = text.trim();
    match value_type {
        ValueType::Int => word.parse().ok().map(Value::Int),
        ValueType::Bool if word.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
        ValueType::Bool if word.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
        ValueType::Text => Some(Value::Text(text.to_owned())),
        ValueType::Bytes => {
            let packed: String = text.split_ascii_whitespace().collect();
            STANDARD.decode(packed).ok().map(Value::Bytes)
        }
        _ => None,
    }
}

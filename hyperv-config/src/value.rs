//! The values of keys.

use std::fmt;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum ValueType {
    /// A key that has other keys below it, and no value.
    Node,
    /// A signed number.
    Int,
    /// An unsigned number.
    Uint,
    /// A floating-point number.
    Double,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A truth value.
    Bool,
}

impl ValueType {
    /// Returns the name of the type in lower case, such as `text`.
    pub const fn name(self) -> &'static str {
        match self {
            ValueType::Node => "node",
            ValueType::Int => "int",
            ValueType::Uint => "uint",
            ValueType::Double => "double",
            ValueType::Text => "text",
            ValueType::Bytes => "bytes",
            ValueType::Bool => "bool",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Value {
    /// The key has other keys below it, and no value.
    Node,
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A floating-point number.
    Double(f64),
    /// Text, without a final NUL.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A truth value.
    Bool(bool),
    /// A text or bytes outside of the key tables. [`Configuration::read_object`](crate::Configuration::read_object)
    /// reads it.
    Object(FileObject),
    /// A value that its type does not permit, with a [`Warning`](crate::Warning).
    Malformed(Malformed),
}

impl Value {
    /// Returns the type. For a malformed value, this is the type that the file says.
    pub const fn value_type(&self) -> ValueType {
        match self {
            Value::Node => ValueType::Node,
            Value::Int(_) => ValueType::Int,
            Value::Uint(_) => ValueType::Uint,
            Value::Double(_) => ValueType::Double,
            Value::Text(_) => ValueType::Text,
            Value::Bytes(_) => ValueType::Bytes,
            Value::Bool(_) => ValueType::Bool,
            Value::Object(object) => object.value_type,
            Value::Malformed(malformed) => malformed.value_type,
        }
    }
}

/// The place of a text or of bytes that are stored outside of the key tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FileObject {
    /// [`ValueType::Text`] or [`ValueType::Bytes`].
    pub value_type: ValueType,
    /// The offset in the file.
    pub offset: u64,
    /// The length in bytes.
    pub len: u32,
}

/// A value that its type does not permit, such as text that is not UTF-16.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Malformed {
    /// The type that the file says.
    pub value_type: ValueType,
    /// The bytes of the value: as stored in a container, or the text of an XML element in UTF-8.
    pub bytes: Vec<u8>,
}

/// Returns text of UTF-16LE without a final NUL; `None` if the bytes are not UTF-16.
pub(crate) fn text_of_utf16(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let units = units.iter().copied().map(u16::from_le_bytes);
    let mut text = char::decode_utf16(units).collect::<Result<String, _>>().ok()?;
    // Some writers count a NUL at the end.
    if text.ends_with('\0') {
        text.pop();
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf16_is_decoded_and_one_nul_removed() {
        let text =
            |units: &[u16]| text_of_utf16(&units.iter().flat_map(|u| u.to_le_bytes()).collect::<Vec<_>>());
        assert_eq!(text(&[]).as_deref(), Some(""));
        assert_eq!(text(&[0]).as_deref(), Some(""));
        assert_eq!(text(&[0x61, 0xd83d, 0xde00, 0, 0]).as_deref(), Some("a\u{1f600}\0"));
        assert_eq!(text(&[0x61, 0xd83d]), None);
        assert_eq!(text(&[0xde00, 0x61]), None);
        assert_eq!(text_of_utf16(&[0x61, 0, 0x62]), None);
    }
}

//! The values of keys, as JSON and as text.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

use hyperv_config::{Configuration, FileObject, Key, Value as Stored};
use serde_json::{Value, json};

use crate::output;

/// Returns a key as JSON: `{path, type, offset, value}`. A value that JSON cannot express is null.
pub(super) fn json(configuration: &Configuration, key: Key<'_>) -> Value {
    let text = configuration.text(key);
    let value = match key.value() {
        Stored::Int(number) => json!(number),
        Stored::Uint(number) => json!(number),
        Stored::Double(number) => json!(number),
        Stored::Bool(truth) => json!(truth),
        Stored::Bytes(bytes) => json!(hex(bytes)),
        _ => text_in_json(&text),
    };
    let mut json = json!({
        "path": key.path(),
        "type": key.value().value_type().name(),
        "offset": key.offset(),
        "value": value,
    });
    if let Err(error) = &text {
        json["error"] = json!(error.to_string());
    }
    match key.value() {
        Stored::Object(object) => json["object"] = json!({ "offset": object.offset, "length": object.len }),
        Stored::Malformed(malformed) => json["malformed"] = json!(hex(&malformed.bytes)),
        _ => {}
    }
    json
}

/// A value that is no text, or cannot be read, is null.
fn text_in_json(text: &hyperv_config::Result<Option<Cow<'_, str>>>) -> Value {
    match text {
        Ok(Some(text)) => json!(text),
        Ok(None) | Err(_) => Value::Null,
    }
}

/// Returns a value as text of one line.
pub(super) fn text(configuration: &Configuration, key: Key<'_>) -> String {
    match key.value() {
        Stored::Int(number) => number.to_string(),
        Stored::Uint(number) => number.to_string(),
        Stored::Double(number) => number.to_string(),
        Stored::Bool(truth) => truth.to_string(),
        Stored::Bytes(bytes) => format!("hex:{}", hex(bytes)),
        Stored::Malformed(malformed) => {
            format!("malformed {}, hex:{}", malformed.value_type, hex(&malformed.bytes))
        }
        Stored::Object(object) => match configuration.text(key) {
            Ok(Some(text)) => quoted(&text),
            Ok(None) => place(object),
            Err(error) => format!("{}: {error}", place(object)),
        },
        Stored::Text(text) => quoted(text),
        _ => String::new(),
    }
}

fn place(object: &FileObject) -> String {
    format!("{} of {} bytes at {:#x}", object.value_type, object.len, object.offset)
}

/// Text is quoted like a path: most texts with backslashes are paths of Windows.
fn quoted(text: &str) -> String {
    output::quoted(Path::new(text))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}"); // a string takes everything
    }
    text
}

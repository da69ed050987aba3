//! Values that are stored outside of the key tables. Only their places are validated: they are read on request.

use super::key::FoundKey;
use super::object_table::Objects;
use super::replayed::Replayed;
use crate::value::{FileObject, Malformed, Value};
use crate::warning::{Problem, Warnings};

/// Validates the places of all values that are stored in file objects.
///
/// A place outside of the file makes the value malformed. So do values that are together longer than the file: they
/// overlap, and reading them all could take very long.
pub(super) fn validate(keys: &mut [FoundKey], file: &Replayed, objects: &Objects, warnings: &mut Warnings) {
    let mut total = 0u64;
    for key in keys {
        let Value::Object(object) = key.value else { continue };
        let FileObject { value_type, offset, len } = object;
        let name = || key.name.to_string();
        let is_in_file = offset.checked_add(len.into()).is_some_and(|end| end <= file.size());
        let sum = total.checked_add(len.into()).filter(|sum| is_in_file && *sum <= file.size());
        match sum {
            Some(sum) => {
                total = sum;
                if !objects.describe(offset, len) {
                    warnings.add(key.offset, Problem::FileObjectPlace(name()));
                }
            }
            None => {
                warnings.add(key.offset, Problem::FileObject(name()));
                let bytes = [len.to_le_bytes().as_slice(), &offset.to_le_bytes()].concat();
                key.value = Value::Malformed(Malformed { value_type, bytes });
            }
        }
    }
}

//! Unpacks the images in this repository. They are compressed because most of their bytes are zeros.

use std::io::{self, Read};
use std::path::Path;

/// Returns the unpacked bytes of a `.gz` file.
///
/// # Errors
/// If the file cannot be read or is damaged.
pub fn gunzip(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path)?).read_to_end(&mut bytes)?;
    Ok(bytes)
}

//! The public names of the library, as its callers import them.

use std::sync::Arc;

#[allow(unused_imports, reason = "imports every trait of the library")]
use vhdx::*;

/// A trait method that takes `&self` comes before an inherent method behind a pointer.
#[test]
fn importing_everything_captures_no_method_of_the_standard_library() {
    let bytes: Arc<Vec<u8>> = Arc::new(vec![1, 2, 3]);
    assert_eq!(bytes.len(), 3_usize);
    assert!(!bytes.is_empty());
}

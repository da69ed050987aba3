//! Tests of the public library: real files, generated containers, and damage of every kind.
//!
//! Rules of the format that other readers break, and the tests that show them:
//! - A key can come before its parent: `parents::a_key_can_come_before_its_parent`,
//!   `a_key_can_belong_to_a_node_in_a_later_table`.
//! - Siblings can have one name: `parents::siblings_with_one_name_are_kept_in_the_order_of_their_sequence`.
//! - Parents can form cycles: `parents::cycles_are_skipped_with_a_warning`.
//! - A parent can be missing, or no node: `parents::missing_parents_are_reported`,
//!   `a_parent_that_is_no_node_is_reported`.
//! - The depth is bounded: `parents::depth_is_bounded`.
//! - File objects hold texts, too: `file_objects::file_objects_hold_texts_and_bytes`.
//! - A dirty log is applied in memory: `log::the_log_restores_two_destroyed_key_tables`, and with a real file
//!   `real_files::the_log_of_a_real_file_restores_its_key_tables`.
//! - There can be many keys: `parents::a_hundred_thousand_keys_are_read_in_linear_time`.
//! - Arbitrary bytes are only an error: `mutations::arbitrary_bytes`, `arbitrary_keys`, `single_changes_of_bytes`.
//! - Tables can be at the end of the file: `object_tables::key_tables_at_the_end_of_the_file_may_be_cut`.
//! - A text can be no UTF-16: `values::text_that_is_not_utf16_stays_reachable`.

mod common;
mod damage;
mod file_objects;
#[cfg(feature = "serde")]
mod json;
mod limits;
mod log;
mod machine;
mod mutations;
mod object_tables;
mod parents;
mod real_files;
mod values;
mod xml;

//! Formats facts about checkpoints for `prune` and `report`.

use vhdx::TimeSource;

use crate::output::harmless;

/// The placeholder for a checkpoint without a name.
pub(super) const NO_NAME: &str = "(no name)";

/// Returns the escaped names of a checkpoint; `None` if it has no name.
pub(super) fn names(names: &[String]) -> Option<String> {
    Some(harmless(&names.join(", "))).filter(|names| !names.is_empty())
}

/// Returns the names of a checkpoint in quotation marks, or [`NO_NAME`].
pub(super) fn quoted(names: &[String]) -> String {
    let quoted = names.iter().filter(|name| !name.is_empty()).map(|name| format!("\"{}\"", harmless(name)));
    let quoted: Vec<String> = quoted.collect();
    if quoted.is_empty() { NO_NAME.to_owned() } else { quoted.join(", ") }
}

/// Returns where the time of a checkpoint comes from.
pub(super) fn source(source: TimeSource) -> &'static str {
    match source {
        TimeSource::Configuration => "its configuration",
        TimeSource::Parent => "a checkpoint that it depends on",
        _ => "its files",
    }
}

//! Prints a report as a plugin of Nagios does: one line with a status, a text and performance data.

use std::fmt::Write as _;
use std::path::Path;

use vhdx::ops::{FindingKind, FindingSeverity, Report, ReportLimits};

use super::words;
use crate::exit::{Failure, PLUGIN_UNKNOWN};
use crate::output::{count, harmless, shown};
use crate::sizes::human;

const OK: u8 = 0;
const WARNING: u8 = 1;
const CRITICAL: u8 = 2;

/// The most volumes with performance data: servers cut longer lines.
const MAX_VOLUMES: usize = 20;
/// The most characters of an untrusted text.
const MAX_TEXT: usize = 200;

/// Returns the line and the exit code.
pub(super) fn line(report: &Report, limits: &ReportLimits) -> (String, u8) {
    let (status, code) = match report.worst() {
        // The folder may not be mounted.
        _ if report.disks.is_empty() && report.findings.is_empty() => {
            return ("VHDX UNKNOWN - no disks found".to_owned(), PLUGIN_UNKNOWN);
        }
        Some(FindingSeverity::Critical) => ("CRITICAL", CRITICAL),
        Some(FindingSeverity::Warning) => ("WARNING", WARNING),
        Some(FindingSeverity::Note) | None => ("OK", OK),
    };
    (format!("VHDX {status} - {} | {}", text(report), performance(report, limits)), code)
}

/// Returns the line about a failure.
pub(super) fn unknown(failure: &Failure) -> String {
    let json = failure.json();
    let word = |key: &str| json[key].as_str().map(safe);
    let path = word("path").map(|path| format!("{path}: ")).unwrap_or_default();
    format!("VHDX UNKNOWN - {path}{}", word("message").unwrap_or_default())
}

/// Returns a text without newlines and vertical bars, which would end it.
fn safe(text: &str) -> String {
    words::short(&harmless(text), MAX_TEXT).replace('|', "/")
}

fn text(report: &Report) -> String {
    let disks = count(report.disks.len(), "disk", "disks");
    let families = count(report.families.len(), "family", "families");
    let taken: u64 = bytes(report, |family| family.bytes_of_checkpoints);
    let mut text = format!("{disks} in {families}, checkpoints take {}", human(taken));
    let urgent = || report.findings.iter().filter(|finding| finding.severity > FindingSeverity::Note);
    for kind in FindingKind::ALL {
        match urgent().filter(|finding| finding.kind == kind).count() {
            0 => {}
            count => text += &format!(", {count} {}", words::kind(kind, count)),
        }
    }
    if let Some(worst) = urgent().max_by_key(|finding| finding.severity) {
        text += &format!(", such as {}", safe(&shown(&worst.path)));
    }
    text
}

fn bytes(report: &Report, of_family: impl Fn(&vhdx::ops::ReportedFamily) -> u64) -> u64 {
    report.families.iter().map(of_family).fold(0, u64::saturating_add)
}

/// Returns the performance data: `'label'=value[unit];[warn];[crit];[min];[max]`.
fn performance(report: &Report, limits: &ReportLimits) -> String {
    let limit = |limit: Option<u64>| limit.map(|limit| limit.to_string()).unwrap_or_default();
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let oldest = report.disks.iter().filter_map(|disk| disk.checkpoint_age).max().unwrap_or_default();
    let depth = report.families.iter().map(|family| family.members.depth).max().unwrap_or_default();
    let older_than = limit(limits.older_than.map(|age| age.as_secs()));
    let deeper_than = limits.deeper_than.map(|depth| depth.to_string()).unwrap_or_default();
    let mut data = format!(
        "disks={};;;0 families={};;;0 machines={};;;0 critical={};;0;0 warnings={};0;;0 checkpoint_bytes={}B;;;0 \
         freed_at_most={}B;;;0 oldest={}s;{older_than};;0 depth={depth};{deeper_than};;0",
        report.disks.len(),
        report.families.len(),
        report.machines.len(),
        count(FindingSeverity::Critical),
        count(FindingSeverity::Warning),
        bytes(report, |family| family.bytes_of_checkpoints),
        bytes(report, |family| family.freed_at_most),
        oldest.as_secs(),
    );
    for volume in report.volumes.iter().take(MAX_VOLUMES) {
        let Some(free) = volume.free else { continue };
        let least = limits.min_free.and_then(|min_free| min_free.bytes(volume));
        // A colon after a threshold: less is wrong.
        let least = least.map(|least| format!("{least}:")).unwrap_or_default();
        let _ = write!(data, " '{}'={free}B;;{least};0;{}", label(&volume.path), limit(volume.size));
    }
    data
}

/// Returns the label of a volume, without the characters that end a label.
fn label(path: &Path) -> String {
    format!("free {}", safe(&shown(path)).replace(['\'', '='], "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_the_text_or_a_label() {
        assert_eq!(safe("a|b\nc"), "a/b\\nc");
        assert_eq!(label(Path::new("/it's a=b|c")), "free /it_s a_b/c");
    }
}

//! Returns a report as metrics, in the text format that the textfile collector of Prometheus' node exporter reads.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use vhdx::ops::{FindingKind, FindingSeverity, Report, ReportedFamily};

use super::words;
use crate::commands::date::seconds;

/// The text near the start of every such file.
pub(super) const MARK: &str = "# HELP vhdx_report_timestamp_seconds ";

pub(super) fn text(report: &Report) -> String {
    let mut metrics = Metrics::default();
    let now = seconds(report.time).unwrap_or_default();
    metrics.begin("vhdx_report_timestamp_seconds", "Time of the report in seconds since 1970.");
    metrics.add(&[], now);
    metrics.begin("vhdx_disks", "Number of disks that were found.");
    metrics.add(&[], report.disks.len());
    metrics.begin("vhdx_machines", "Number of virtual machines whose configuration was found.");
    metrics.add(&[], report.machines.len());
    findings(report, &mut metrics);
    families(report, &mut metrics);
    volumes(report, &mut metrics);
    metrics.text
}

fn findings(report: &Report, metrics: &mut Metrics) {
    metrics.begin("vhdx_findings", "Number of findings of a kind and severity.");
    for kind in FindingKind::ALL {
        for severity in FindingSeverity::ALL {
            let found = report.findings.iter().filter(|one| one.kind == kind && one.severity == severity);
            metrics.add(&[("kind", kind.name()), ("severity", severity.name())], found.count());
        }
    }
}

fn families(report: &Report, metrics: &mut Metrics) {
    let mut labels = Labels::default();
    let of_family = |family: &ReportedFamily| {
        let root = words::disks(report, family).next().map(|disk| disk.facts.path.to_string_lossy());
        let machines = family.members.machines.iter().filter_map(|&machine| report.machines.get(machine));
        let names = machines.filter_map(|machine| machine.configuration.name.as_deref());
        (root.unwrap_or_default().into_owned(), names.collect::<Vec<_>>().join(", "))
    };
    let named: Vec<(String, String, &ReportedFamily)> = report
        .families
        .iter()
        .map(|family| {
            let (root, machines) = of_family(family);
            (labels.unique(root), machines, family)
        })
        .collect();
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&ReportedFamily) -> Option<u64>| {
        metrics.begin(name, help);
        for (root, machines, family) in &named {
            if let Some(value) = value(family) {
                metrics.add(&[("base", root), ("machines", machines)], value);
            }
        }
    };
    gauge("vhdx_family_disks", "Number of disks of a family.", &|family| {
        Some(family.members.disks.len() as u64)
    });
    gauge("vhdx_family_depth", "Number of files of the longest chain of a family.", &|family| {
        Some(family.members.depth as u64)
    });
    gauge("vhdx_family_checkpoint_bytes", "Space that the differencing files of a family take.", &|family| {
        Some(family.bytes_of_checkpoints)
    });
    gauge(
        "vhdx_family_freed_at_most_bytes",
        "Space that deleting all checkpoints of a family can free at most.",
        &|family| Some(family.freed_at_most),
    );
    gauge(
        "vhdx_family_oldest_checkpoint_timestamp_seconds",
        "Time of the oldest checkpoint of a family in seconds since 1970.",
        &|family| {
            let checkpoints = words::disks(report, family).filter_map(|disk| disk.checkpoint.as_ref());
            checkpoints.filter_map(|checkpoint| checkpoint.time.and_then(seconds)).min()
        },
    );
}

fn volumes(report: &Report, metrics: &mut Metrics) {
    let mut labels = Labels::default();
    let named: Vec<_> = report
        .volumes
        .iter()
        .map(|volume| (labels.unique(volume.path.to_string_lossy().into_owned()), volume))
        .collect();
    metrics.begin("vhdx_volume_free_bytes", "Free space of a volume that holds disks.");
    for (path, volume) in &named {
        volume.free.iter().for_each(|free| metrics.add(&[("path", path)], free));
    }
    metrics.begin("vhdx_volume_size_bytes", "Size of a volume that holds disks.");
    for (path, volume) in &named {
        volume.size.iter().for_each(|size| metrics.add(&[("path", path)], size));
    }
}

/// Makes labels differ: the collector refuses a file in which two metrics have the same labels.
///
/// Paths that are not valid Unicode can have the same text.
#[derive(Default)]
struct Labels {
    used: HashSet<String>,
    /// The last number that was added to a text.
    numbers: HashMap<String, usize>,
}

impl Labels {
    fn unique(&mut self, text: String) -> String {
        let mut label = text.clone();
        while !self.used.insert(label.clone()) {
            let number = self.numbers.entry(text.clone()).or_insert(1);
            *number += 1;
            label = format!("{text} ({number})");
        }
        label
    }
}

/// Metrics in the text format. All are gauges.
#[derive(Default)]
struct Metrics {
    text: String,
    name: String,
}

impl Metrics {
    fn begin(&mut self, name: &str, help: &str) {
        name.clone_into(&mut self.name);
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn add(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{labels} {value}", self.name);
    }
}

/// Returns the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_differ() {
        assert_eq!(escaped("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
        let mut labels = Labels::default();
        let found = ["a", "a", "a (2)", "b"].map(|text| labels.unique(text.to_owned()));
        assert_eq!(found, ["a", "a (2)", "a (2) (2)", "b"]);
    }
}

//! The results of all rows in two tables: the results as in `docs/performance.md`, and the ways of the limits.

use std::fmt;

use super::Comparison;
use super::measure::{Role, Sample};
use super::table::{Goal, Quantity, limit, median, ratio, verdict};

const HEAD: [&str; 8] = ["row", "vhdx, ms", "×", "goal", "CPU", "MB/s", "peak MiB", "peers, ×"];

/// The tables, to be printed at the end.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    lines: Vec<[String; 8]>,
    ways: Vec<String>,
}

impl Summary {
    /// Adds the results of a row.
    pub(crate) fn add(&mut self, row: &str, comparison: &Comparison<'_>, samples: &[Vec<Sample>]) {
        let Comparison { jobs, goals, bytes, .. } = comparison;
        let limit = limit(jobs, samples);
        let against = |at: usize, quantity| limit.map(|limit| ratio(&samples[at], &samples[limit], quantity));
        let list = |role: Role| {
            let others = (0..jobs.len()).filter(|&at| jobs[at].role == role && Some(at) != limit);
            let one = |at: usize| Some(format!("{} {:.2}", jobs[at].name, against(at, Quantity::Seconds)?));
            others.filter_map(one).collect::<Vec<_>>().join("; ")
        };
        let mut peers = list(Role::Peer);
        let ours: Vec<usize> = (0..jobs.len()).filter(|&at| jobs[at].role == Role::Ours).collect();
        for &at in &ours {
            let seconds: Vec<f64> = samples[at].iter().map(|sample| sample.seconds).collect();
            let of_job = goals.iter().filter(|goal| goal.job() == jobs[at].name);
            let limit_name = limit.map(|limit| jobs[limit].name.as_str());
            let goal =
                |goal: &Goal| Some(goal_text(goal, limit_name, verdict(goal, jobs, samples)?.of_goal <= 1.0));
            let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
            self.lines.push([
                if ours.len() == 1 { row.to_owned() } else { format!("{row}, {}", jobs[at].name) },
                range(&seconds),
                number(against(at, Quantity::Seconds)),
                of_job.filter_map(goal).collect::<Vec<_>>().join("; "),
                number(against(at, Quantity::Cpu)),
                if *bytes == 0 {
                    String::new()
                } else {
                    format!("{:.0}", *bytes as f64 / 1e6 / median(&seconds))
                },
                (samples[at].iter().map(|sample| sample.peak_bytes).max().unwrap_or(0) >> 20).to_string(),
                std::mem::take(&mut peers),
            ]);
        }
        if let Some(limit) = limit {
            let time = Quantity::Seconds.of(&samples[limit]) * 1e3;
            let others = list(Role::Limit);
            let others = if others.is_empty() { others } else { format!("; {others}") };
            self.ways.push(format!("{row}: {} {time:.1} ms{others}", jobs[limit].name));
        }
    }
}

/// Returns the median, and the least and greatest value, of seconds in ms.
fn range(seconds: &[f64]) -> String {
    let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = seconds.iter().copied().fold(0.0, f64::max);
    format!("{:.1} ({:.1}–{:.1})", median(seconds) * 1e3, least * 1e3, most * 1e3)
}

/// Returns a goal, with the name of the job that it is measured against unless that is the limit.
fn goal_text(goal: &Goal, limit: Option<&str>, is_met: bool) -> String {
    let text = match goal {
        Goal::Ratio { against, quantity, at_most, .. } => {
            let quantity = if *quantity == Quantity::Cpu { " CPU" } else { "" };
            let against = against.as_deref().filter(|&name| Some(name) != limit);
            let against = against.map(|name| format!(" of \"{name}\"")).unwrap_or_default();
            format!("{at_most:.2}{quantity}{against}")
        }
        Goal::Seconds { at_most, .. } => format!("{at_most} s"),
        Goal::Count { what, counted, at_most, .. } => format!("{:.1} of {at_most:.1} {what}", counted.get()),
        Goal::PeakBytes { at_most, .. } => format!("{} MiB", at_most >> 20),
    };
    if is_met { text } else { format!("{text}, missed") }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## Results\n\n```text")?;
        let head = HEAD.map(str::to_owned);
        let all: Vec<&[String; 8]> = std::iter::once(&head).chain(&self.lines).collect();
        let width = |column: usize| all.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        for line in all {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        writeln!(f, "```\n\nThe limit of each row, and × of its other ways:\n")?;
        self.ways.iter().try_for_each(|way| writeln!(f, "- {way}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::measure::Job;
    use super::*;

    #[test]
    fn each_row_has_a_line_and_the_ways_of_its_limit() {
        let job = |role, name: &str| Job::new(role, name, Vec::new());
        let jobs = vec![
            job(Role::Limit, "1 thread"),
            job(Role::Limit, "4 threads"),
            job(Role::Ours, "vhdx"),
            job(Role::Peer, "peer"),
        ];
        let goals = vec![
            Goal::limit("vhdx", 1.5),
            Goal::cpu("vhdx", "1 thread", 9.0),
            Goal::PeakBytes { job: "vhdx".into(), at_most: 1 << 20 },
        ];
        let sample = |seconds| vec![Sample { seconds, cpu: seconds, peak_bytes: 5 << 20 }];
        let samples = [2.0, 1.0, 2.0, 3.0].map(sample);
        let comparison =
            Comparison { jobs, bytes: 4_000_000, goals, quantity: Quantity::Seconds, peers_below: 1.0 };
        let mut summary = Summary::default();
        summary.add("merge", &comparison, &samples);
        let text = summary.to_string();
        let line = text.lines().find(|line| line.starts_with("merge ")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let expected = "merge 2000.0 (2000.0–2000.0) 2.00 1.50, missed; 9.00 CPU of \"1 thread\"; \
                        1 MiB, missed 2.00 2 5 peer 3.00";
        assert_eq!(words.join(" "), expected);
        assert!(text.ends_with("- merge: 4 threads 1000.0 ms; 1 thread 2.00\n"), "{text}");
    }
}

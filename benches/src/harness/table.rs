//! Turns samples into tables and verdicts.

use std::cell::Cell;
use std::fmt::Write as _;
use std::rc::Rc;

use super::measure::{Job, Role, Sample};

/// The quantity that a goal compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// The median of the times.
    Seconds,
    /// The least user and system time. Other runs may include time for getting memory, which is not part of the work.
    Cpu,
}

impl Quantity {
    pub(crate) fn of(self, samples: &[Sample]) -> f64 {
        match self {
            Quantity::Seconds => median(&samples.iter().map(|sample| sample.seconds).collect::<Vec<_>>()),
            Quantity::Cpu => samples.iter().map(|sample| sample.cpu).fold(f64::INFINITY, f64::min),
        }
    }
}

/// A goal of a job.
#[derive(Clone, Debug)]
pub(crate) enum Goal {
    /// The ratio to the limit, or to another job, is at most this.
    Ratio { job: String, against: Option<String>, quantity: Quantity, at_most: f64 },
    /// The median of the times is at most this.
    Seconds { job: String, at_most: f64 },
    /// The largest peak of resident memory is at most this.
    PeakBytes { job: String, at_most: u64 },
    /// A number that the job's first run determines is at most this.
    Count { job: String, what: &'static str, counted: Rc<Cell<f64>>, at_most: f64 },
}

impl Goal {
    /// The time of `job` as a multiple of that of another job.
    pub(crate) fn seconds(job: &str, against: &str, at_most: f64) -> Self {
        Self::Ratio { job: job.into(), against: Some(against.into()), quantity: Quantity::Seconds, at_most }
    }

    /// The CPU time of `job` as a multiple of that of another job.
    pub(crate) fn cpu(job: &str, against: &str, at_most: f64) -> Self {
        Self::Ratio { job: job.into(), against: Some(against.into()), quantity: Quantity::Cpu, at_most }
    }

    /// The time of `job` as a multiple of the limit.
    pub(crate) fn limit(job: &str, at_most: f64) -> Self {
        Self::Ratio { job: job.into(), against: None, quantity: Quantity::Seconds, at_most }
    }

    /// A number that is known after the first run of `job`.
    pub(crate) fn count(job: &str, what: &'static str, counted: Rc<Cell<f64>>, at_most: f64) -> Self {
        Self::Count { job: job.into(), what, counted, at_most }
    }

    /// Returns the job that this is a goal of.
    pub(crate) fn job(&self) -> &str {
        match self {
            Self::Ratio { job, .. }
            | Self::Seconds { job, .. }
            | Self::PeakBytes { job, .. }
            | Self::Count { job, .. } => job,
        }
    }

    /// Returns whether another job is a yardstick of this goal.
    fn is_against(&self, name: &str) -> bool {
        matches!(self, Self::Ratio { against: Some(against), .. } if against == name)
    }
}

/// Returns the index of the limit: the job with that role whose median of the times is least.
pub(crate) fn limit(jobs: &[Job<'_>], samples: &[Vec<Sample>]) -> Option<usize> {
    let time = |at: usize| Quantity::Seconds.of(&samples[at]);
    let ways = (0..jobs.len()).filter(|&at| jobs[at].role == Role::Limit);
    ways.min_by(|&a, &b| time(a).total_cmp(&time(b)))
}

/// A goal and its measurement.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) sentence: String,
    /// The measured value as a multiple of the goal.
    pub(crate) of_goal: f64,
}

/// Returns the middle value, or the mean of the two in the middle; 0 if there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Returns a ratio of samples.
///
/// For times it is the median of the ratios within each round, for CPU times that of the least times.
pub(crate) fn ratio(samples: &[Sample], against: &[Sample], quantity: Quantity) -> f64 {
    match quantity {
        Quantity::Seconds => {
            let pairs = samples.iter().zip(against);
            median(&pairs.map(|(a, b)| a.seconds / b.seconds).collect::<Vec<_>>())
        }
        Quantity::Cpu => quantity.of(samples) / quantity.of(against),
    }
}

/// Returns a Markdown table with a line for each job.
pub(crate) fn markdown(jobs: &[Job<'_>], samples: &[Vec<Sample>], bytes: u64) -> String {
    let mut text = String::from(
        "| command | ms, median (min–max) | × limit | CPU ms, least | CPU × limit | MB/s | peak MiB |\n\
         | --- | --: | --: | --: | --: | --: | --: |\n",
    );
    let limit = limit(jobs, samples);
    let of_limit = |taken: &[Sample], quantity| match limit {
        Some(limit) => format!("{:.2}", ratio(taken, &samples[limit], quantity)),
        None => "–".to_owned(),
    };
    for (number, (job, taken)) in jobs.iter().zip(samples).enumerate() {
        let name = match job.role {
            Role::Limit if limit == Some(number) => format!("limit: {}", job.name),
            Role::Limit => format!("way: {}", job.name),
            Role::Ours => format!("**{}**", job.name),
            Role::Peer => job.name.clone(),
        };
        let seconds: Vec<f64> = taken.iter().map(|sample| sample.seconds).collect();
        let (least, most) = seconds.iter().fold((f64::MAX, 0.0_f64), |(a, b), &s| (a.min(s), b.max(s)));
        let peak = taken.iter().map(|sample| sample.peak_bytes).max().unwrap_or(0) >> 20;
        let rate = match bytes {
            0 => "–".to_owned(),
            _ => format!("{:.0}", bytes as f64 / 1e6 / median(&seconds)),
        };
        let _ = writeln!(
            text,
            "| {name} | {:.1} ({:.1}–{:.1}) | {} | {:.1} | {} | {rate} | {peak} |",
            median(&seconds) * 1e3,
            least * 1e3,
            most * 1e3,
            of_limit(taken, Quantity::Seconds),
            Quantity::Cpu.of(taken) * 1e3,
            of_limit(taken, Quantity::Cpu),
        );
    }
    text
}

/// Compares the samples with each goal. Omits goals whose jobs were not measured.
pub(crate) fn verdicts(goals: &[Goal], jobs: &[Job<'_>], samples: &[Vec<Sample>]) -> Vec<Verdict> {
    goals.iter().filter_map(|goal| verdict(goal, jobs, samples)).collect()
}

/// Compares the samples with a goal. Returns `None` if its jobs were not measured.
pub(crate) fn verdict(goal: &Goal, jobs: &[Job<'_>], samples: &[Vec<Sample>]) -> Option<Verdict> {
    let place = |name: &str| jobs.iter().position(|job| job.name == name);
    let of = |name: &str| place(name).map(|at| &samples[at]);
    match goal {
        Goal::Ratio { job, against, quantity, at_most } => {
            let against = match against {
                Some(name) => place(name)?,
                None => limit(jobs, samples)?,
            };
            let measured = ratio(of(job)?, &samples[against], *quantity);
            let what = if *quantity == Quantity::Cpu { "CPU time" } else { "time" };
            let sentence = format!(
                "{job}: {measured:.2}x the {what} of \"{}\" (goal: at most {at_most:.2}x): {}",
                jobs[against].name,
                met(measured <= *at_most)
            );
            Some(Verdict { sentence, of_goal: measured / at_most })
        }
        Goal::Seconds { job, at_most } => {
            let measured = Quantity::Seconds.of(of(job)?);
            let sentence = format!(
                "{job}: {measured:.2} s (goal: at most {at_most:.2} s): {}",
                met(measured <= *at_most)
            );
            Some(Verdict { sentence, of_goal: measured / at_most })
        }
        Goal::PeakBytes { job, at_most } => {
            let measured = of(job)?.iter().map(|sample| sample.peak_bytes).max()?;
            let sentence = format!(
                "{job}: {} MiB resident (goal: at most {} MiB): {}",
                measured >> 20,
                at_most >> 20,
                met(measured <= *at_most)
            );
            Some(Verdict { sentence, of_goal: measured as f64 / *at_most as f64 })
        }
        Goal::Count { job, what, counted, at_most } => {
            of(job)?;
            let measured = counted.get();
            let sentence = format!(
                "{job}: {measured:.1} {what} (goal: at most {at_most:.1}): {}",
                met(measured <= *at_most)
            );
            Some(Verdict { sentence, of_goal: measured / at_most })
        }
    }
}

/// Compares our best job with the best peer, if there are both. The goal is a ratio below `below`.
///
/// Jobs that goals are measured against are ignored, because they do other work.
pub(crate) fn best_peer(
    goals: &[Goal],
    jobs: &[Job<'_>],
    samples: &[Vec<Sample>],
    quantity: Quantity,
    below: f64,
) -> Option<String> {
    let time = |at: &usize| quantity.of(&samples[*at]);
    let best = |role| {
        let is_yardstick = |name: &str| goals.iter().any(|goal| goal.is_against(name));
        let of_role = (0..jobs.len()).filter(|&at| jobs[at].role == role && !is_yardstick(&jobs[at].name));
        of_role.min_by(|a, b| time(a).total_cmp(&time(b)))
    };
    let (ours, peer) = (best(Role::Ours)?, best(Role::Peer)?);
    let measured = ratio(&samples[ours], &samples[peer], quantity);
    let what = if quantity == Quantity::Cpu { "CPU time" } else { "time" };
    let (ours, peer) = (&jobs[ours].name, &jobs[peer].name);
    Some(format!(
        "{ours}: {measured:.2}x the {what} of the best peer, \"{peer}\" (goal: less than {below:.2}x): {}",
        met(measured < below)
    ))
}

fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(seconds: &[f64]) -> Vec<Sample> {
        seconds.iter().map(|&seconds| Sample { seconds, cpu: 2.0 * seconds, peak_bytes: 5 << 20 }).collect()
    }

    fn job(role: Role, name: &str) -> Job<'static> {
        Job::new(role, name, Vec::new())
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn ratios_use_pairs_of_times_and_the_least_cpu_times() {
        // The machine was ten times slower in the second round; the medians' ratio would be 20 / 2.
        let (ours, limit) = (samples(&[3.0, 20.0, 30.0]), samples(&[2.0, 20.0, 1.0]));
        assert_eq!(ratio(&ours, &limit, Quantity::Seconds), 1.5);
        assert_eq!(ratio(&ours, &limit, Quantity::Cpu), 3.0);
    }

    #[test]
    fn a_goal_is_met_at_its_limit_and_omitted_without_samples() {
        let jobs = [job(Role::Limit, "copy"), job(Role::Ours, "vhdx")];
        let taken = [samples(&[1.0, 2.0]), samples(&[2.0, 4.0])];
        let goals = [
            Goal::seconds("vhdx", "copy", 2.0),
            Goal::cpu("vhdx", "copy", 0.5),
            Goal::seconds("vhdx", "missing", 1.0),
            Goal::PeakBytes { job: "vhdx".into(), at_most: 10 << 20 },
        ];
        let verdicts = verdicts(&goals, &jobs, &taken);
        assert_eq!(verdicts.iter().map(|v| v.of_goal).collect::<Vec<_>>(), [1.0, 4.0, 0.5]);
        let ends: Vec<bool> = verdicts.iter().map(|v| v.sentence.ends_with(": met")).collect();
        assert_eq!(ends, [true, false, true]);
    }

    #[test]
    fn the_limit_is_the_way_with_the_least_median() {
        let jobs =
            [job(Role::Limit, "a"), job(Role::Limit, "b"), job(Role::Ours, "vhdx"), job(Role::Peer, "peer")];
        let taken = [samples(&[3.0, 9.0]), samples(&[4.0, 4.0]), samples(&[6.0, 6.0]), samples(&[1.0, 1.0])];
        assert_eq!(limit(&jobs, &taken), Some(1));
        assert_eq!(limit(&jobs[2..], &taken[2..]), None);
        let verdict = &verdicts(&[Goal::limit("vhdx", 1.5)], &jobs, &taken)[0];
        assert_eq!(verdict.sentence, "vhdx: 1.50x the time of \"b\" (goal: at most 1.50x): met");
        let text = markdown(&jobs, &taken, 0);
        assert!(text.contains("| limit: b | 4000.0 (4000.0–4000.0) | 1.00 |"));
        assert!(text.contains("| way: a | 6000.0 (3000.0–9000.0) | 1.50 |"));
    }

    #[test]
    fn the_best_of_ours_is_compared_with_the_best_peer() {
        let jobs = [job(Role::Ours, "a"), job(Role::Ours, "b"), job(Role::Peer, "c"), job(Role::Peer, "d")];
        let taken = [samples(&[4.0]), samples(&[1.0]), samples(&[2.0]), samples(&[9.0])];
        let sentence = best_peer(&[], &jobs, &taken, Quantity::Seconds, 1.0).unwrap();
        assert_eq!(sentence, "b: 0.50x the time of the best peer, \"c\" (goal: less than 1.00x): met");
        assert_eq!(best_peer(&[], &jobs[..2], &taken[..2], Quantity::Seconds, 1.0), None);
        let goals = [Goal::seconds("a", "b", 5.0)];
        let sentence = best_peer(&goals, &jobs, &taken, Quantity::Seconds, 1.0).unwrap();
        assert_eq!(sentence, "a: 2.00x the time of the best peer, \"c\" (goal: less than 1.00x): MISSED");
    }

    #[test]
    fn a_table_has_a_line_for_each_job() {
        let jobs = [job(Role::Limit, "copy"), job(Role::Ours, "vhdx")];
        let taken = [samples(&[0.1, 0.3]), samples(&[0.2, 0.6])];
        let text = markdown(&jobs, &taken, 1_000_000);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines[0], "| limit: copy | 200.0 (100.0–300.0) | 1.00 | 200.0 | 1.00 | 5 | 5 |");
        assert_eq!(lines[1], "| **vhdx** | 400.0 (200.0–600.0) | 2.00 | 400.0 | 2.00 | 2 | 5 |");
    }
}

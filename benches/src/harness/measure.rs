//! Times whole processes in turn: A B C, B C A, C A B.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use wait4::Wait4;

use super::cold;

/// The role of a job in a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The job that the others are compared with.
    Limit,
    /// This project.
    Ours,
    /// Another program that a user could use instead.
    Peer,
}

/// The destination of the standard output of a process.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    Discarded,
    /// Overwrites the start of an existing file.
    Over(PathBuf),
    /// The process prints how many seconds its work took, not counting its own start.
    OwnSeconds,
}

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    program: PathBuf,
    args: Vec<OsString>,
    output: Output,
    /// Whether exit code 1 is accepted: some commands answer with it.
    may_find: bool,
}

impl Step {
    pub(crate) fn new<A: Into<OsString>>(
        program: impl AsRef<Path>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self { program: program.as_ref().to_owned(), args, output: Output::Discarded, may_find: false }
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = OsString>) -> Self {
        self.args.extend(args);
        self
    }

    pub(crate) fn output(self, output: Output) -> Self {
        Self { output, ..self }
    }

    /// Accepts exit code 1: some commands answer with it.
    pub(crate) fn may_find(self) -> Self {
        Self { may_find: true, ..self }
    }

    /// Runs the process without recording its time.
    pub(crate) fn run(&self) -> Result<()> {
        self.time().map(drop)
    }

    /// Runs the process, and returns an error unless it prints exactly the bytes of a file.
    pub(crate) fn ensure_prints(&self, expected: &Path) -> Result<()> {
        let (mut printed, mut wanted) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        let mut expected = File::open(expected)?;
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut pipe = child.stdout.take().context("stdout is a pipe")?;
        loop {
            let len = pipe.read(&mut printed)?;
            let wanted = &mut wanted[..len];
            expected.read_exact(wanted).context("the process printed too much")?;
            ensure!(wanted == &printed[..len], "the process printed other bytes");
            if len == 0 {
                break;
            }
        }
        ensure!(expected.read(&mut wanted)? == 0, "the process printed too little");
        ensure!(child.wait()?.success(), "the process failed");
        Ok(())
    }

    /// Runs the process, and returns what it prints.
    pub(crate) fn printed(&self) -> Result<Vec<u8>> {
        let ran = Command::new(&self.program).args(&self.args).stdin(Stdio::null()).output()?;
        ensure!(ran.status.success(), "the process failed: {}", ran.status);
        Ok(ran.stdout)
    }

    fn time(&self) -> Result<Sample> {
        let stdout = match &self.output {
            Output::Discarded => Stdio::null(),
            Output::Over(path) => File::options().write(true).open(path)?.into(),
            Output::OwnSeconds => Stdio::piped(),
        };
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(stdout);
        let begin = Instant::now();
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let mut printed = String::new();
        if let Some(mut pipe) = child.stdout.take() {
            pipe.read_to_string(&mut printed)?;
        }
        let end = child.wait4()?;
        let elapsed = begin.elapsed().as_secs_f64();
        if !(end.status.success() || self.may_find && end.status.code() == Some(1)) {
            bail!("{command:?} failed: {}", end.status);
        }
        let seconds = match self.output {
            Output::OwnSeconds => {
                printed.trim().parse().with_context(|| format!("{command:?}: {printed:?}"))?
            }
            _ => elapsed,
        };
        let cpu = end.rusage.utime + end.rusage.stime;
        Ok(Sample { seconds, cpu: cpu.as_secs_f64(), peak_bytes: end.rusage.maxrss })
    }
}

/// The cost of one run: the sum of its processes, but the largest memory of one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    /// User and system time in seconds.
    pub(crate) cpu: f64,
    /// The peak of resident memory in bytes.
    pub(crate) peak_bytes: u64,
}

impl Sample {
    fn and(self, next: Self) -> Self {
        Self {
            seconds: self.seconds + next.seconds,
            cpu: self.cpu + next.cpu,
            peak_bytes: self.peak_bytes.max(next.peak_bytes),
        }
    }
}

type Action<'a> = Box<dyn Fn() -> Result<()> + 'a>;

/// A line of a table: the timed steps, the work before each run, and the check of the result.
pub(crate) struct Job<'a> {
    pub(crate) name: String,
    pub(crate) role: Role,
    steps: Vec<Step>,
    prepare: Action<'a>,
    /// Runs once, before the first `prepare`, so that an older result cannot hide a missing one.
    reset: Action<'a>,
    verify: Action<'a>,
    /// If the page cache is emptied before each run: the programs that are started besides those of the steps.
    cold: Option<Vec<PathBuf>>,
    _kept: Option<Box<dyn std::any::Any>>,
}

impl<'a> Job<'a> {
    pub(crate) fn new(role: Role, name: impl Into<String>, steps: Vec<Step>) -> Self {
        let nothing = || -> Action<'a> { Box::new(|| Ok(())) };
        Self {
            name: name.into(),
            role,
            steps,
            prepare: nothing(),
            reset: nothing(),
            verify: nothing(),
            cold: None,
            _kept: None,
        }
    }

    pub(crate) fn prepare(self, action: impl Fn() -> Result<()> + 'a) -> Self {
        Self { prepare: Box::new(action), ..self }
    }

    pub(crate) fn reset(self, action: impl Fn() -> Result<()> + 'a) -> Self {
        Self { reset: Box::new(action), ..self }
    }

    pub(crate) fn verify(self, action: impl Fn() -> Result<()> + 'a) -> Self {
        Self { verify: Box::new(action), ..self }
    }

    /// Empties the page cache before each run. `programs` are those that the steps start themselves.
    pub(crate) fn cold(self, programs: Vec<PathBuf>) -> Self {
        Self { cold: Some(programs), ..self }
    }

    /// Keeps `value` until the job is dropped.
    pub(crate) fn keep(self, value: impl std::any::Any) -> Self {
        Self { _kept: Some(Box::new(value)), ..self }
    }

    fn once(&self, before: &Step) -> Result<Sample> {
        (self.prepare)()?;
        before.run()?;
        if let Some(programs) = &self.cold {
            let own = self.steps.iter().map(|step| &step.program);
            cold::empty_cache(own.chain(programs).map(PathBuf::as_path))?;
        }
        self.steps.iter().try_fold(Sample::default(), |sum, step| Ok(sum.and(step.time()?)))
    }

    /// Runs the steps once to warm the caches, and checks the result.
    ///
    /// There is nothing to warm for a limit that is measured with empty caches.
    fn warm_up(&self, before: &Step) -> Result<()> {
        if self.cold.is_some() && self.role == Role::Limit {
            return Ok(());
        }
        (self.reset)()?;
        self.once(before)?;
        (self.verify)()
    }
}

/// Returns the samples of each job. Samples with the same index are from the same round.
///
/// `before` runs each time just before the timed steps.
pub(crate) fn in_turn(jobs: &[Job<'_>], rounds: usize, before: &Step) -> Result<Vec<Vec<Sample>>> {
    for job in jobs {
        job.warm_up(before).with_context(|| format!("warming up: {}", job.name))?;
    }
    let mut samples = vec![Vec::new(); jobs.len()];
    for round in 0..rounds {
        for turn in 0..jobs.len() {
            let number = (turn + round) % jobs.len();
            samples[number].push(jobs[number].once(before).with_context(|| jobs[number].name.clone())?);
        }
    }
    Ok(samples)
}

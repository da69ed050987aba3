//! Forges the files that a power failure could leave, and checks them.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::Context;
use super::file_operation::{Fate, Operation};
use super::world::{CrashWorld, Event, Images};
use crate::random::{Random, mix};
use crate::sparse::SparseImage;

/// The extent of a sweep.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// At points with at most this many operations that are not durable, every combination of kept and dropped ones is
    /// forged.
    pub exhaustive: usize,
    /// The number of further images over all points: combinations of more operations, and torn writes.
    pub samples: usize,
    /// The seed for the choice of samples.
    pub seed: u64,
}

impl Default for Sweep {
    /// All combinations of up to 10 operations, and 400 samples or the number in `VHDX_CRASH_IMAGES`.
    fn default() -> Self {
        let samples = std::env::var("VHDX_CRASH_IMAGES").ok().and_then(|count| count.parse().ok());
        Self { exhaustive: 10, samples: samples.unwrap_or(400), seed: 0 }
    }
}

/// The counts of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The points at which power failed: before each sync, and at the end.
    ///
    /// Everything that a failure at another point can leave, a failure at the next of these points can leave too.
    pub points: usize,
    /// The points at which every combination was forged.
    pub exhaustive_points: usize,
    /// The images that were forged.
    pub forged: usize,
    /// The images that were checked: those that differ from all earlier ones.
    pub images: usize,
}

impl std::ops::AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        self.points += other.points;
        self.exhaustive_points += other.exhaustive_points;
        self.forged += other.forged;
        self.images += other.images;
    }
}

/// Everything that happened in a world since its start.
#[derive(Clone, Debug)]
pub struct Recording {
    start: Images,
    /// The names of all files by number: first those of the start.
    names: Vec<PathBuf>,
    events: Vec<Event>,
    garbles: bool,
}

/// The files as a power failure could leave them.
///
/// Its `Display` lists the operations that were not durable.
#[derive(Clone, Debug)]
pub struct CrashImage {
    files: Images,
    event: usize,
    /// The operations that were not durable: the number of the event, the file, the operation and its fate.
    fates: Vec<(usize, PathBuf, Arc<Operation>, Fate)>,
}

impl CrashImage {
    /// Returns the files.
    pub fn files(&self) -> &Images {
        &self.files
    }

    /// Returns one of the files, if it exists.
    pub fn file(&self, path: impl AsRef<Path>) -> Option<SparseImage> {
        self.files.get(path.as_ref()).cloned()
    }

    /// Returns a new world that starts with these files.
    pub fn world(&self) -> CrashWorld {
        CrashWorld::new(self.files.clone())
    }

    /// Returns the number of events before the power failure.
    pub fn event(&self) -> usize {
        self.event
    }

    /// Returns the number of events before the first operation that was not durable.
    pub fn first_pending(&self) -> usize {
        self.fates.first().map_or(self.event, |(event, ..)| *event)
    }
}

impl fmt::Display for CrashImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 80;
        write!(f, "power failure after {} events; not durable:", self.event)?;
        for (event, path, operation, fate) in self.fates.iter().take(SHOWN) {
            write!(f, "\n  {event} {} {operation}: {fate:?}", path.display())?;
        }
        if self.fates.len() > SHOWN {
            write!(f, "\n  and {} more", self.fates.len() - SHOWN)?;
        }
        Ok(())
    }
}

impl Recording {
    pub(super) fn new(start: Images, names: Vec<PathBuf>, events: Vec<Event>) -> Self {
        Self { start, names, events, garbles: false }
    }

    /// Returns the same recording for a medium that garbles sectors.
    ///
    /// A torn write may then also leave a sector that is neither old nor new. Disks promise not to do so. Writes to
    /// places that nothing reads yet, or that a log or a copy protects, must not depend on this promise.
    #[must_use]
    pub fn garbling(self) -> Self {
        Self { garbles: true, ..self }
    }

    /// Returns the operations and syncs for a person to read, one line each.
    pub fn lines(&self) -> Vec<String> {
        let names: Vec<_> = self.names.iter().map(|path| path.display()).collect();
        let mut put = self.start.len()..;
        let line = |event: &Event| match event {
            Event::Operation(file, operation) => format!("{} {operation}", names[*file]),
            Event::Sync(file) => format!("{} sync", names[*file]),
            Event::Lost(file) => format!("{} sync that failed", names[*file]),
            Event::SyncNames => "sync names".to_owned(),
            Event::Put { .. } => format!("{} put", names[put.next().expect("every number has a name")]),
        };
        self.events.iter().map(line).collect()
    }

    /// Lets power fail at every point, and calls `check` with every new image.
    ///
    /// An image is new if it differs from all earlier ones.
    /// If `check` panics, a description of the image is printed to stderr.
    pub fn crash(&self, sweep: &Sweep, check: impl FnMut(&CrashImage)) -> Swept {
        let points = Walk::new(self).count();
        let mut forge =
            Forge { seen: HashSet::new(), swept: Swept::default(), random: Random::new(sweep.seed), check };
        for (done, point) in Walk::new(self).enumerate() {
            forge.swept.points += 1;
            let is_exhaustive = point.pending.len() <= sweep.exhaustive;
            if is_exhaustive {
                forge.swept.exhaustive_points += 1;
                forge.all(&point, &point.durable, &mut Vec::new());
            } else {
                forge.put(&point, &vec![Fate::Kept; point.pending.len()]);
                forge.put(&point, &vec![Fate::Dropped; point.pending.len()]);
            }
            // Spreads the samples evenly over the points, including the remainder of the division.
            let samples = sweep.samples * (done + 1) / points - sweep.samples * done / points;
            for _ in 0..samples {
                let fates = forge.sample(&point);
                forge.put(&point, &fates);
            }
        }
        forge.swept
    }

    /// Returns one of the results of a power failure at the end.
    pub fn at_the_end(&self, seed: u64) -> Images {
        let mut walk = Walk::new(self);
        walk.by_ref().for_each(drop);
        let mut images = Images::new();
        let check = |image: &CrashImage| images = image.files().clone();
        let mut forge =
            Forge { seen: HashSet::new(), swept: Swept::default(), random: Random::new(seed), check };
        let fates = forge.sample(&walk.now);
        forge.put(&walk.now, &fates);
        images
    }
}

/// A moment at which power fails: just before the next sync, or at the end.
#[derive(Clone)]
struct Point<'a> {
    recording: &'a Recording,
    event: usize,
    durable: Vec<Arc<SparseImage>>,
    removed: BTreeSet<usize>,
    /// The operations that are not durable, with the number of the event and of the file.
    pending: Vec<(usize, usize, Arc<Operation>)>,
}

/// Walks from point to point.
struct Walk<'a> {
    now: Point<'a>,
    /// Whether something happened since the last point.
    is_fresh: bool,
    is_over: bool,
}

impl<'a> Walk<'a> {
    fn new(recording: &'a Recording) -> Self {
        let durable = recording.start.values().map(|file| Arc::new(file.clone())).collect();
        let now = Point { recording, event: 0, durable, removed: BTreeSet::new(), pending: Vec::new() };
        Self { now, is_fresh: true, is_over: false }
    }

    /// Makes pending operations durable.
    fn make_durable(&mut self, is_meant: impl Fn(usize, &Operation) -> bool) {
        let Point { durable, removed, pending, .. } = &mut self.now;
        pending.retain(|(_, file, operation)| {
            let is_meant = is_meant(*file, operation);
            if is_meant {
                operation.apply(Arc::make_mut(&mut durable[*file]), Fate::Kept);
                if matches!(**operation, Operation::Remove) {
                    removed.insert(*file);
                }
            }
            !is_meant
        });
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Point<'a>;

    fn next(&mut self) -> Option<Point<'a>> {
        let is_removal = |operation: &Operation| matches!(operation, Operation::Remove);
        while let Some(event) = self.now.recording.events.get(self.now.event) {
            if !matches!(event, Event::Operation(..)) && self.is_fresh {
                self.is_fresh = false;
                return Some(self.now.clone());
            }
            match event {
                Event::Operation(file, operation) => {
                    self.now.pending.push((self.now.event, *file, Arc::clone(operation)));
                    self.is_fresh = true;
                }
                Event::Sync(synced) => {
                    self.make_durable(|file, operation| file == *synced && !is_removal(operation));
                }
                // Only writes are lost: a file system keeps a journal of the length and the holes of a file.
                Event::Lost(lost) => self.now.pending.retain(|(_, file, operation)| {
                    file != lost || !matches!(**operation, Operation::Write(_))
                }),
                Event::SyncNames => self.make_durable(|_, operation| is_removal(operation)),
                Event::Put { image, replaced } => {
                    self.now.durable.push(Arc::new(image.clone()));
                    self.now.removed.extend(replaced);
                    self.now.pending.retain(|(_, file, _)| !replaced.contains(file));
                    self.is_fresh = true;
                }
            }
            self.now.event += 1;
        }
        let is_last = !self.is_over && self.is_fresh;
        self.is_over = true;
        is_last.then(|| self.now.clone())
    }
}

/// Forges images, and checks those that are new.
struct Forge<F> {
    seen: HashSet<u64>,
    swept: Swept,
    random: Random,
    check: F,
}

impl<F: FnMut(&CrashImage)> Forge<F> {
    /// Forges every combination of kept and dropped operations after those in `fates`.
    ///
    /// `files` contains the effect of the operations in `fates`.
    fn all(&mut self, point: &Point<'_>, files: &[Arc<SparseImage>], fates: &mut Vec<Fate>) {
        let Some((_, file, operation)) = point.pending.get(fates.len()) else {
            return self.check(point, files, fates);
        };
        fates.push(Fate::Dropped);
        self.all(point, files, fates);
        fates.pop();
        let mut files = files.to_vec();
        operation.apply(Arc::make_mut(&mut files[*file]), Fate::Kept);
        fates.push(Fate::Kept);
        self.all(point, &files, fates);
        fates.pop();
    }

    fn put(&mut self, point: &Point<'_>, fates: &[Fate]) {
        let mut files = point.durable.clone();
        for ((_, file, operation), fate) in point.pending.iter().zip(fates) {
            operation.apply(Arc::make_mut(&mut files[*file]), *fate);
        }
        self.check(point, &files, fates);
    }

    /// Chooses the fates of the operations.
    ///
    /// Either one operation is torn or kept, and of the others all earlier ones, all, or none are kept. Or a random
    /// subset is kept, and some of it torn.
    fn sample(&mut self, point: &Point<'_>) -> Vec<Fate> {
        let (random, garbles) = (&mut self.random, point.recording.garbles);
        let count = point.pending.len();
        let one = random.below(count.max(1));
        let kind = random.below(5);
        let (kept_in_8, torn_in_4) = ([1, 4, 7][random.below(3)], [0, 1][random.below(2)]);
        let fate = |(number, (_, _, operation)): (usize, &(usize, usize, Arc<Operation>))| {
            let torn = |random: &mut Random| operation.tear(random, garbles).unwrap_or(Fate::Dropped);
            match kind {
                0 if number < one => Fate::Kept,
                1 if number != one => Fate::Kept,
                0..=2 if number != one => Fate::Dropped,
                2 if random.below(2) == 0 => Fate::Kept,
                0..=2 => torn(random),
                _ if random.below(8) >= kept_in_8 => Fate::Dropped,
                _ if random.below(4) < torn_in_4 => torn(random),
                _ => Fate::Kept,
            }
        };
        point.pending.iter().enumerate().map(fate).collect()
    }

    fn check(&mut self, point: &Point<'_>, files: &[Arc<SparseImage>], fates: &[Fate]) {
        self.swept.forged += 1;
        let dropped_names = point.pending.iter().zip(fates).filter_map(|((_, file, operation), fate)| {
            let is_removed = matches!(**operation, Operation::Remove) && *fate == Fate::Kept;
            is_removed.then_some(*file)
        });
        let mut removed = point.removed.clone();
        removed.extend(dropped_names);
        let present = || (0..).zip(files).filter(|(number, _)| !removed.contains(number));
        let fingerprint = present().fold(0, |sum: u64, (number, file)| {
            sum.wrapping_add(mix(file.fingerprint() ^ mix(number as u64 + 1)))
        });
        if !self.seen.insert(fingerprint) {
            return;
        }
        self.swept.images += 1;
        let names = &point.recording.names;
        let image = CrashImage {
            files: present().map(|(number, file)| (names[number].clone(), (**file).clone())).collect(),
            event: point.event,
            fates: (point.pending.iter().zip(fates))
                .map(|((event, file, operation), fate)| {
                    (*event, names[*file].clone(), Arc::clone(operation), *fate)
                })
                .collect(),
        };
        let context = Context(image.clone());
        (self.check)(&image);
        drop(context);
    }
}

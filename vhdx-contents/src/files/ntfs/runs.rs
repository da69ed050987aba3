//! The clusters of an attribute.

use super::boot::Boot;
use crate::error::{Error, Result};

/// Successive clusters of an attribute that are successive on the volume too, or a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first cluster within the attribute.
    pub(super) vcn: u64,
    /// The number of clusters, at least 1.
    pub(super) len: u64,
    /// The first cluster on the volume. All clusters are on the volume.
    pub(super) lcn: Option<u64>,
}

/// The clusters of an attribute, from the first one on, without gaps.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
}

impl Runs {
    /// Returns the number of clusters, with those of holes.
    pub(super) fn end(&self) -> u64 {
        // The end of a run was checked to fit.
        self.runs.last().map_or(0, |run| run.vcn.saturating_add(run.len))
    }

    /// Returns the run that has a cluster.
    pub(super) fn at(&self, vcn: u64) -> Option<Run> {
        let next = self.runs.partition_point(|run| run.vcn <= vcn);
        let run = self.runs.get(next.checked_sub(1)?)?;
        (vcn < run.vcn.saturating_add(run.len)).then_some(*run)
    }

    /// Appends encoded runs: the next part of an attribute, which begins at `first_vcn`.
    pub(super) fn append(&mut self, first_vcn: u64, mut pairs: &[u8], boot: &Boot) -> Result<()> {
        let damaged = |why: &str| Error::damaged("the list of clusters of a file", why);
        if first_vcn != self.end() {
            return Err(damaged("a part of it is missing"));
        }
        let (mut vcn, mut lcn) = (first_vcn, 0_i64);
        while let Some((header, rest)) = pairs.split_first().filter(|(header, _)| **header != 0) {
            let (len_size, lcn_size) = (usize::from(header & 15), usize::from(header >> 4));
            let (Some(len), Some(change)) = (number(rest, 0, len_size), number(rest, len_size, lcn_size))
            else {
                return Err(damaged("it ends too early"));
            };
            pairs = rest.get(len_size.saturating_add(lcn_size)..).unwrap_or_default();
            let len = u64::try_from(len).ok().filter(|len| *len > 0);
            let len = len.ok_or_else(|| damaged("a length is invalid"))?;
            let end = vcn.checked_add(len).filter(|end| end.checked_mul(boot.cluster).is_some());
            let end = end.ok_or_else(|| damaged("the file is too large"))?;
            let place = match lcn_size {
                0 => None,
                _ => {
                    lcn = lcn.checked_add(change).ok_or_else(|| damaged("a cluster is not on the volume"))?;
                    let first = u64::try_from(lcn).ok();
                    let is_within =
                        |first: &u64| first.checked_add(len).is_some_and(|end| end <= boot.clusters);
                    Some(first.filter(is_within).ok_or_else(|| damaged("a cluster is not on the volume"))?)
                }
            };
            self.runs.push(Run { vcn, len, lcn: place });
            vcn = end;
        }
        Ok(())
    }
}

/// Returns a signed number of up to 8 bytes. One of no bytes is 0.
fn number(bytes: &[u8], at: usize, len: usize) -> Option<i64> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    let mut number = [bytes.last().map_or(0, |last| if last & 0x80 == 0 { 0 } else { 0xff }); 8];
    number.get_mut(..len)?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Boot = Boot { cluster: 4096, clusters: 1000, mft: 4, record: 1024 };

    fn runs(pairs: &[u8]) -> Result<Vec<Run>> {
        let mut runs = Runs::default();
        runs.append(0, pairs, &BOOT).map(|()| runs.runs)
    }

    #[test]
    fn runs_are_relative_to_the_run_before() {
        let found = runs(&[0x11, 3, 100, 0x01, 5, 0x11, 2, 0xf6, 0]).unwrap();
        let run = |vcn, len, lcn| Run { vcn, len, lcn };
        assert_eq!(found, [run(0, 3, Some(100)), run(3, 5, None), run(8, 2, Some(90))]);
        let mut all = Runs { runs: found };
        assert_eq!(all.at(2), Some(run(0, 3, Some(100))));
        assert_eq!(all.at(3), Some(run(3, 5, None)));
        assert_eq!(all.at(10), None);
        assert!(all.append(9, &[0x11, 1, 1, 0], &BOOT).is_err());
        all.append(10, &[0x11, 1, 1, 0], &BOOT).unwrap();
        assert_eq!(all.at(10), Some(run(10, 1, Some(1))));
    }

    #[test]
    fn clusters_outside_of_the_volume_are_damage() {
        for pairs in [
            &[0x11, 3, 0xff, 0][..],
            &[0x21, 1, 0xe8, 0x03, 0],
            &[0x11, 0, 1, 0],
            &[0x11, 0xff, 1, 0],
            &[0x88, 0xff],
            &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0],
            &[0x91, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        ] {
            assert!(runs(pairs).is_err(), "{pairs:?}");
        }
    }
}

//! Orders merges by family, or by space if that order does not fit.

use std::collections::BTreeMap;

/// What a merge takes and frees on one file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    /// How many bytes must be free before the merge.
    pub(super) needed: u64,
    /// How many bytes the files grow by.
    pub(super) taken: u64,
    /// How many bytes become free when the merged files are deleted, after the growth.
    pub(super) freed: u64,
}

/// What a merge takes and frees, by file system.
pub(super) type Uses = BTreeMap<Option<u64>, Use>;

/// The order of some merges, by their positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// The merges that fit, in the order in which they do.
    pub(super) fitting: Vec<usize>,
    /// The merges that do not fit in any place of the order.
    pub(super) too_large: Vec<usize>,
    /// The free space of each file system after all of these.
    pub(super) free: BTreeMap<Option<u64>, u64>,
}

/// Orders merges. The space of a file system without an entry in `free` is unlimited.
///
/// The given order is kept if it fits, because it groups the merges of each family. Otherwise merges that free space
/// come first.
pub(super) fn order(merges: &[Uses], free: BTreeMap<Option<u64>, u64>) -> Order {
    match given_order(merges, free.clone()) {
        Some(order) => order,
        None => order_by_space(merges, free),
    }
}

/// Returns the given order if all merges fit in it.
fn given_order(merges: &[Uses], mut free: BTreeMap<Option<u64>, u64>) -> Option<Order> {
    for uses in merges {
        if !fits(uses, &free) {
            return None;
        }
        apply(uses, &mut free);
    }
    Some(Order { fitting: (0..merges.len()).collect(), too_large: Vec::new(), free })
}

/// Orders merges so that the space that one frees is there for the next.
///
/// First come the merges that free space, those that need the least first. Then come those that take space: the more of
/// the needed space is left afterwards, the earlier. On one file system, this order fits if any does. On several it is
/// tried again after each merge, but an order that fits may be missed.
fn order_by_space(merges: &[Uses], free: BTreeMap<Option<u64>, u64>) -> Order {
    let mut waiting: Vec<usize> = (0..merges.len()).collect();
    waiting.sort_by_key(|&i| (rank(&merges[i]), i));
    let mut order = Order { free, ..Order::default() };
    loop {
        let fitting = waiting.iter().position(|&i| fits(&merges[i], &order.free));
        let Some(at) = fitting else { break };
        let next = waiting.remove(at);
        order.fitting.push(next);
        apply(&merges[next], &mut order.free);
    }
    order.too_large = waiting;
    order
}

/// Returns the space that each file system must have free before the first merge, if they run in this order.
pub(super) fn peak<'a>(merges: impl IntoIterator<Item = &'a Uses>) -> BTreeMap<Option<u64>, u64> {
    let (mut peak, mut taken): (BTreeMap<_, u64>, BTreeMap<_, i128>) = (BTreeMap::new(), BTreeMap::new());
    for (volume, used) in merges.into_iter().flatten() {
        let taken = taken.entry(*volume).or_default();
        let before = u64::try_from((i128::from(used.needed) + *taken).max(0)).unwrap_or(u64::MAX); // To show only.
        let most = peak.entry(*volume).or_default();
        *most = before.max(*most);
        *taken += loss(used);
    }
    peak
}

/// Returns how many bytes more are free after some merges.
pub(super) fn gained<'a>(uses: impl Iterator<Item = &'a Use>) -> i64 {
    let lost: i128 = uses.map(loss).sum();
    i64::try_from(-lost).unwrap_or(i64::MAX) // To show only.
}

/// How many bytes fewer are free after a merge.
fn loss(used: &Use) -> i128 {
    i128::from(used.taken) - i128::from(used.freed)
}

/// Merges with a smaller rank come first.
fn rank(uses: &Uses) -> (bool, i128) {
    let (loss, needed) = uses
        .values()
        .fold((0, 0), |(lost, needed), used| (lost + loss(used), needed + i128::from(used.needed)));
    match loss <= 0 {
        true => (false, needed),
        // What the merge needs, but does not keep.
        false => (true, loss - needed),
    }
}

fn fits(uses: &Uses, free: &BTreeMap<Option<u64>, u64>) -> bool {
    uses.iter().all(|(volume, used)| free.get(volume).is_none_or(|free| *free >= used.needed))
}

fn apply(uses: &Uses, free: &mut BTreeMap<Option<u64>, u64>) {
    for (volume, used) in uses {
        if let Some(free) = free.get_mut(volume) {
            // Both are estimates of the host, so the result may be any number.
            *free = free.saturating_sub(used.taken).saturating_add(used.freed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(volume: u64, needed: u64, taken: u64, freed: u64) -> Uses {
        Uses::from([(Some(volume), Use { needed, taken, freed })])
    }

    fn free(bytes: u64) -> BTreeMap<Option<u64>, u64> {
        BTreeMap::from([(Some(1), bytes)])
    }

    #[test]
    fn the_given_order_is_kept_if_it_fits() {
        let merges = [on(1, 50, 50, 0), on(1, 30, 30, 60), on(1, 10, 10, 30)];
        assert_eq!(
            order(&merges, free(80)),
            Order { fitting: vec![0, 1, 2], free: free(80), ..Order::default() }
        );
        assert_eq!(order(&merges, free(79)).fitting, [2, 1, 0]);
        // A file system of unknown space does not change it.
        assert_eq!(order(&merges, BTreeMap::new()).fitting, [0, 1, 2]);
    }

    #[test]
    fn what_frees_space_comes_first() {
        let merges = [on(1, 50, 50, 0), on(1, 30, 30, 60), on(1, 10, 10, 30)];
        let order = order(&merges, free(10));
        assert_eq!(order.fitting, [2, 1, 0]);
        assert_eq!(order.free, free(10));
        assert_eq!(peak(order.fitting.iter().map(|&i| &merges[i])), free(10));
    }

    #[test]
    fn what_needs_much_and_keeps_little_comes_before_what_keeps_much() {
        // With 100 free bytes, only the order 1, 0 fits.
        let merges = [on(1, 60, 60, 0), on(1, 100, 40, 0)];
        assert_eq!(order(&merges, free(100)).fitting, [1, 0]);
        assert_eq!(order(&merges, free(99)), Order { fitting: vec![0], too_large: vec![1], free: free(39) });
    }

    /// Every order of few merges is tried: if one fits, so does the computed one.
    #[test]
    fn an_order_that_fits_is_found_if_there_is_one() {
        let mut state = 1u64;
        let mut next = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % bound
        };
        for _ in 0..2000 {
            let merges: Vec<Uses> = (0..4)
                .map(|_| {
                    let needed = next(20);
                    on(1, needed, next(needed + 1), next(20))
                })
                .collect();
            let bytes = next(30);
            let fits_in_some_order = permutations(4).into_iter().any(|order| {
                let mut left = free(bytes);
                order.iter().all(|&i| {
                    fits(&merges[i], &left) && {
                        apply(&merges[i], &mut left);
                        true
                    }
                })
            });
            let found = order(&merges, free(bytes));
            assert_eq!(found.too_large.is_empty(), fits_in_some_order, "{merges:?} {bytes}");
            let mut left = free(bytes);
            for &i in &found.fitting {
                assert!(fits(&merges[i], &left), "{merges:?} {bytes}: {:?}", found.fitting);
                apply(&merges[i], &mut left);
            }
            assert_eq!(found.free, left);
        }
    }

    fn permutations(count: usize) -> Vec<Vec<usize>> {
        let Some(last) = count.checked_sub(1) else { return vec![vec![]] };
        let shorter = permutations(last);
        let with_last = |order: &Vec<usize>, at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        };
        shorter.iter().flat_map(|order| (0..count).map(move |at| with_last(order, at))).collect()
    }

    #[test]
    fn other_file_systems_count_on_their_own() {
        let both = Uses::from([
            (Some(1), Use { needed: 5, taken: 5, freed: 0 }),
            (Some(2), Use { needed: 1, taken: 1, freed: 9 }),
        ]);
        let free = BTreeMap::from([(Some(1), 5), (Some(2), 0)]);
        let order = order(&[both, on(2, 0, 0, 1)], free);
        assert_eq!(order.fitting, [1, 0]);
        assert_eq!(order.free, BTreeMap::from([(Some(1), 0), (Some(2), 9)]));
    }
}

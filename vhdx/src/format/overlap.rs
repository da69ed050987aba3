//! Finds spans of bytes that overlap.

/// The bytes from `start` up to but not including `end`, and what they contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span<T> {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) what: T,
}

/// Returns the spans that begin inside an earlier one, as pairs (earlier span, span that begins in it).
///
/// The earlier span is the one that reaches furthest. The pairs are sorted by the start of the second span. Each span
/// is the second one of at most one pair, so there are fewer pairs than spans. Empty spans overlap nothing.
pub(super) fn overlaps<T: Copy>(mut spans: Vec<Span<T>>) -> Vec<(T, T)> {
    spans.retain(|span| span.start < span.end);
    spans.sort_by_key(|span| span.start);
    let mut pairs = Vec::new();
    let mut furthest: Option<Span<T>> = None;
    for span in spans {
        if let Some(before) = furthest.filter(|before| span.start < before.end) {
            pairs.push((before.what, span.what));
        }
        if furthest.is_none_or(|before| span.end > before.end) {
            furthest = Some(span);
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(spans: &[(u64, u64)]) -> Vec<(usize, usize)> {
        let spans = spans.iter().enumerate();
        overlaps(spans.map(|(what, &(start, end))| Span { start, end, what }).collect())
    }

    #[test]
    fn neighbours_and_empty_spans_do_not_overlap() {
        assert_eq!(pairs(&[(10, 20), (0, 10), (20, 30)]), []);
        assert_eq!(pairs(&[(0, 10), (5, 5)]), []);
    }

    #[test]
    fn a_long_span_is_compared_with_all_spans_that_begin_in_it() {
        assert_eq!(pairs(&[(0, 100), (10, 20), (50, 60), (100, 110)]), [(0, 1), (0, 2)]);
        assert_eq!(pairs(&[(5, 15), (0, 10)]), [(1, 0)]);
        assert_eq!(pairs(&[(0, 10), (0, 10)]), [(0, 1)]);
    }
}

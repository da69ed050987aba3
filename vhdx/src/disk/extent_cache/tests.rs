use super::*;

fn resolved(pieces: usize) -> Region {
    let piece = ResolvedPiece { start: 0, layer: None, offset: FileOffset::default() };
    Region::Resolved(vec![piece; pieces].into())
}

#[test]
fn the_cache_is_bounded_for_many_sparse_regions() {
    let mut known = Generations::default();
    let one = resolved(1);
    for number in 0..400_000 {
        known.remember(number, &one);
    }
    let most = GENERATION / (1 + REGION_COST);
    assert!(known.young.len() <= most && known.old.len() <= most);
    assert!(known.young.contains_key(&399_999));
    assert!(!known.young.contains_key(&0) && !known.old.contains_key(&0));
}

#[test]
fn a_full_generation_becomes_the_older_one() {
    let mut known = Generations::default();
    let half = resolved(GENERATION / 2);
    known.remember(1, &half);
    known.remember(2, &half);
    assert!(known.old.contains_key(&1) && known.young.contains_key(&2));
    known.remember(3, &half);
    assert!(known.old.contains_key(&2) && known.young.contains_key(&3));
}

#[test]
fn parts_begin_and_end_inside_pieces() {
    let data = |start, offset| ResolvedPiece { start, layer: Some(1), offset: FileOffset::new(offset) };
    let zeros = ResolvedPiece { start: 4096, layer: None, offset: FileOffset::default() };
    let region = [data(0, 1 << 20), zeros, data(8192, 3 << 20)];
    let parts = |within| {
        let mut parts = Vec::new();
        in_region(&region, within, &mut |part| {
            parts.push((part.len, part.data.map(|(layer, offset)| (layer, offset.get()))));
            Ok(())
        })
        .unwrap();
        parts
    };
    assert_eq!(parts(512..1024), [(512, Some((1, (1 << 20) + 512)))]);
    assert_eq!(parts(4096..8192), [(4096, None)]);
    let across = [(512, Some((1, (1 << 20) + 3584))), (4096, None), (100, Some((1, 3 << 20)))];
    assert_eq!(parts(3584..8292), across);
    assert_eq!(parts(9000..10_000), [(1000, Some((1, (3 << 20) + 808)))]);
}

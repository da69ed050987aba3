//! Lists the bytes that operations on a chain must read or copy.

use std::collections::BTreeMap;

use anyhow::Result;
use vhdx::{BlockIndex, Chain, DiskOffset, Source};

use super::plain::Piece;

/// Returns the data that a read of the whole disk needs. The sources are the layers, leaf first.
pub(crate) fn disk_pieces(chain: &Chain) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for extent in chain.extents(DiskOffset::new(0)..DiskOffset::new(chain.virtual_size())) {
        let extent = extent?;
        if let Source::Data { layer, offset } = extent.source {
            let (from, to) = (offset.get(), extent.start.get());
            pieces.push(Piece { source: layer as u64, from, to, len: extent.len });
        }
    }
    Ok(pieces)
}

/// Returns the data that a merge of all layers into the base must copy, with its places in the base's file.
///
/// Blocks that the base lacks are placed at its end, in the order of the disk.
pub(crate) fn merge_pieces(chain: &Chain) -> Result<Vec<Piece>> {
    let base = chain.base();
    let block_size = base.block_size();
    let mut end = base.file_len().next_multiple_of(1 << 20);
    let (mut places, mut pieces) = (BTreeMap::new(), Vec::new());
    let base_layer = chain.layers().len() as u64 - 1;
    for piece in disk_pieces(chain)?.into_iter().filter(|piece| piece.source < base_layer) {
        let mut done = 0;
        while done < piece.len {
            let at = piece.to + done;
            let block = at / block_size;
            let place = match places.get(&block) {
                Some(&place) => place,
                None => {
                    let entry = base.payload_entry(BlockIndex::new(block))?;
                    let is_present = entry.payload_state().is_some_and(|state| state.is_present());
                    let place = if is_present { entry.file_offset().get() } else { end };
                    end += if is_present { 0 } else { block_size };
                    places.insert(block, place);
                    place
                }
            };
            let len = (piece.len - done).min(block_size - at % block_size);
            pieces.push(Piece { from: piece.from + done, to: place + at % block_size, len, ..piece });
            done += len;
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::chain::{Files, Spec, make};
    use super::super::files::verify_raw;
    use super::super::plain::{Way, copy, load};

    #[test]
    fn the_lists_of_a_chain_give_its_disk_and_its_merge() {
        let folder = tempfile::tempdir().unwrap();
        let spec = Spec {
            size: 24 << 20,
            block: 1 << 20,
            depth: 2,
            base_fill: 50,
            child_bytes: 3 << 20,
            run_min: 4 << 10,
            run_max: 256 << 10,
            whole: false,
            same_runs: false,
        };
        let files = Files { folder: folder.path().join("chain"), depth: 2 };
        make(&spec, &files.folder).unwrap();
        let sources: Vec<_> = files.layers().collect();
        let target = folder.path().join("copy.raw");
        fs::write(&target, []).unwrap();
        fs::File::options().write(true).open(&target).unwrap().set_len(spec.size).unwrap();
        copy(Some(&files.extents()), &sources, &target, &Way::threads(2)).unwrap();
        verify_raw(&target, &files.expected()).unwrap();
        let all = load(&files.extents()).unwrap();
        let merged = load(&files.merge_extents()).unwrap();
        let len = |sum: u64, piece: &super::Piece| sum + piece.len;
        let from_children = all.iter().filter(|piece| piece.source < 2).fold(0, len);
        assert_eq!(merged.iter().fold(0, len), from_children);
        assert!(from_children > 3 << 20 && from_children <= 6 << 20);
    }
}

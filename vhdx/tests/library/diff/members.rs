//! The disks of a random family, opened so that chains share the files of their common ancestors.

use std::collections::BTreeMap;
use std::path::PathBuf;

use vhdx::{Chain, OpenOptions, Vhdx};
use vhdx_testkit::{ChainModel, Family, LayerModel};

/// A disk of a family.
pub(crate) struct Point {
    pub(crate) chain: Chain,
    pub(crate) bytes: Vec<u8>,
    /// The files from the base to this disk.
    pub(crate) line: Vec<PathBuf>,
}

impl Point {
    /// Returns whether the other disk is this one or an ancestor of it.
    pub(crate) fn descends_from(&self, other: &Point) -> bool {
        self.line.starts_with(&other.line)
    }
}

pub(crate) struct Members(pub(crate) Vec<Point>);

impl Members {
    /// All disks of a chain and of the siblings.
    pub(crate) fn of(model: &ChainModel, siblings: &[(usize, LayerModel)]) -> Self {
        Self::of_family(&Family::new(model, siblings))
    }

    pub(crate) fn of_family(family: &Family) -> Self {
        let open = |(path, image): (&PathBuf, &vhdx_testkit::SparseImage)| {
            let vhdx = Vhdx::open_with(image.clone(), &OpenOptions::default().name(path)).unwrap();
            (path.clone(), vhdx)
        };
        let files: BTreeMap<PathBuf, Vhdx> = family.images.iter().map(open).collect();
        let point = |line: Vec<PathBuf>, bytes: &[u8]| {
            let layers = line.iter().rev().map(|path| files[path].clone()).collect();
            Point { chain: Chain::from_layers(layers).unwrap(), bytes: bytes.to_vec(), line }
        };
        let mut points: Vec<Point> = (0..family.chain.len())
            .map(|layer| point(family.chain[..=layer].to_vec(), &family.disks[layer]))
            .collect();
        for leaf in &family.leaves {
            if let Some(parent) = leaf.parent {
                let mut line = family.chain[..=parent].to_vec();
                line.push(leaf.path.clone());
                points.push(point(line, &leaf.expected));
            }
        }
        Self(points)
    }

    /// All pairs of an older and a newer disk: not those whose older disk descends from the newer one.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&Point, &Point)> {
        let points = &self.0;
        let all = points.iter().flat_map(move |old| points.iter().map(move |new| (old, new)));
        all.filter(|(old, new)| !old.descends_from(new))
    }
}

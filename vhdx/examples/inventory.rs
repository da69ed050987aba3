//! Lists all disks in some folders, how they depend on each other, and what is wrong with them.
//!
//! ```sh
//! cargo run -p avhdx --example inventory -- testdata/sample
//! ```

use std::path::PathBuf;

use vhdx::{Forest, NoProgress, discover};

fn main() -> vhdx::Result<()> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let forest = discover(&folders, &NoProgress)?;
    for root in forest.roots() {
        print_disk(&forest, root, 0);
    }
    for problem in forest.all_problems() {
        // The library names no commands: it returns what can be done as a value.
        println!("{}: {problem} ({:?})", problem.path().display(), problem.remedy());
    }
    Ok(())
}

fn print_disk(forest: &Forest, index: usize, depth: usize) {
    let disk = &forest.disks[index];
    let facts = &disk.facts;
    println!(
        "{:indent$}{} ({}, {} bytes), link to its parent: {}",
        "",
        facts.path.display(),
        facts.disk_type,
        facts.virtual_size,
        disk.link.name(),
        indent = 2 * depth,
    );
    for &child in &disk.children {
        print_disk(forest, child, depth + 1);
    }
}

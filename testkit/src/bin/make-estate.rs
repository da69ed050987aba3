//! Makes an estate of machines, checkpoints and mishaps in a folder: `make-estate FOLDER [SEED]`, or many families
//! without content: `make-estate FOLDER bulk [FAMILIES]`.

use std::path::Path;

use vhdx_testkit::estate::{BulkOptions, Estate, EstateOptions, generate_bulk};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(arguments.first().expect("name a folder"));
    let number = |place: usize| arguments.get(place).map(|text| text.parse().expect("a number"));
    if arguments.get(1).is_some_and(|word| word == "bulk") {
        let mut options = BulkOptions::default();
        options.families = number(2).unwrap_or(options.families);
        let bulk = generate_bulk(folder, &options)?;
        println!("{} images, {} damaged", bulk.images.len(), bulk.damaged.len());
    } else {
        let seed = number(1).unwrap_or(1) as u64;
        let estate = Estate::generate(folder, &EstateOptions::with_seed(seed))?;
        println!("{} machines, {} disks; {:?}", estate.machines.len(), estate.disks.len(), estate.happened);
    }
    Ok(())
}

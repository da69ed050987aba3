//! Mounts one disk over an empty folder until `fusermount3 -u`: `mount FILE DIR`. FILE is a VHDX or a raw image.

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::SystemTime;

    use vhdx::{Chain, Disk, FolderResolver, OnWriter, RawDisk};
    use vhdx_mount::{MountedDisk, Options, Session, Tree};

    let mut args = std::env::args().skip(1);
    let (Some(file), Some(dir)) = (args.next(), args.next()) else { return Err("give FILE and DIR".into()) };
    let disk: Arc<dyn Disk> = if file.ends_with("vhdx") {
        let chain = Chain::open(&file, &FolderResolver::default())?;
        chain.lock_shared(OnWriter::Fail)?;
        chain.validate_placement()?;
        Arc::new(chain)
    } else {
        let raw = RawDisk::open(&file)?;
        raw.lock_shared(OnWriter::Fail)?;
        Arc::new(raw)
    };
    let disk = MountedDisk {
        name: "disk".to_owned(),
        disk,
        partitions: Vec::new(),
        info: b"{}\n".to_vec(),
        modified: SystemTime::now(),
    };
    let options = Options { allow_other: false, threads: 4, report: Arc::new(|line| eprintln!("{line}")) };
    let session = Session::mount(Tree { checkpoints: vec![disk], latest: 0 }, dir.as_ref(), &options)?;
    // A program that watches for signals would set this.
    session.wait(&AtomicBool::new(false))?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {}

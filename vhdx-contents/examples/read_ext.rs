//! Copies one file out of an ext2, ext3 or ext4 file system in a raw image to the standard output:
//! `read_ext IMAGE PATH`.

use std::error::Error;
use std::io::Write;

use vhdx::RawDisk;
use vhdx_contents::Window;
use vhdx_contents::files::FileSystem;
use vhdx_contents::files::ext::Ext;

/// Large enough that a read of neighbouring blocks is one request.
const BUFFER: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let [image, path] = std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "IMAGE PATH")?;
    let disk = RawDisk::open(image)?;
    let files = Ext::open(Window::whole(&disk))?;
    let mut node = files.root();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        node = files.lookup(node, name.as_bytes())?.ok_or_else(|| format!("{name} is not found"))?.node;
    }
    let mut buffer = vec![0; BUFFER];
    let mut offset = 0;
    loop {
        let len = files.read(node, offset, &mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        std::io::stdout().write_all(&buffer[..len])?;
        offset += len as u64;
    }
}

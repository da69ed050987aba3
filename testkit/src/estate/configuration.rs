//! The bytes of the configuration files of an estate.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use vhdx::Guid;

use super::{EstateDrive, EstateMachine};
use crate::machine::ConfiguredMachine;

/// The number of seconds from 1601 to 1970.
const TO_1970: u64 = 11_644_473_600;
const SCSI: &str = "d422512d-2bf2-4752-809d-7b82b5fcb1b4";

/// What the configuration of a machine or a checkpoint states.
pub(super) struct Stated<'a> {
    pub(super) machine: &'a EstateMachine,
    pub(super) name: &'a str,
    pub(super) id: Guid,
    pub(super) created: Option<SystemTime>,
    pub(super) drives: &'a [EstateDrive],
}

impl Stated<'_> {
    pub(super) fn bytes(&self) -> Vec<u8> {
        if self.machine.is_legacy { self.xml() } else { self.container() }
    }

    fn notes(&self) -> &str {
        self.machine.notes.as_deref().unwrap_or_default()
    }

    fn device(&self) -> String {
        if self.machine.generation == 1 { self.machine.instance.to_string() } else { SCSI.to_owned() }
    }

    fn container(&self) -> Vec<u8> {
        let configured = ConfiguredMachine {
            name: self.name.to_owned(),
            id: self.id.to_string().to_uppercase(),
            generation: self.machine.generation,
            version: self.machine.version,
            created: self.created.map_or(0, filetime),
            notes: self.notes().to_owned(),
            disks: self.drives.iter().map(|drive| (drive.location, drive.stored_path.clone())).collect(),
            device: self.device(),
            instance: self.machine.instance.to_string().to_uppercase(),
        };
        configured.container().build()
    }

    /// Returns the legacy format, which stores no time.
    fn xml(&self) -> Vec<u8> {
        let (device, instance) = (self.device(), self.machine.instance);
        let version = u16::from_be_bytes([self.machine.version.0, self.machine.version.1]);
        let subtype = self.machine.generation - 1;
        let mut drives = String::new();
        for drive in self.drives {
            let (location, path) = (drive.location, escaped(&drive.stored_path));
            let _ = write!(
                drives,
                "<drive{location}><pathname type=\"string\">{path}</pathname>\
                 <type type=\"string\">VHD</type></drive{location}>"
            );
        }
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-16\" standalone=\"yes\"?>\n<configuration>\n\
             <_{instance}_><VDEVVersion type=\"integer\">1280</VDEVVersion><controller0>{drives}</controller0>\
             </_{instance}_>\n\
             <manifest><vdev001><device type=\"string\">{device}</device>\
             <instance type=\"string\">{instance}</instance></vdev001></manifest>\n\
             <properties><global_id type=\"string\">{}</global_id><name type=\"string\">{}</name>\
             <notes type=\"string\">{}</notes><subtype type=\"integer\">{subtype}</subtype>\
             <version type=\"integer\">{version}</version></properties>\n</configuration>\n",
            self.id.to_string().to_uppercase(),
            escaped(self.name),
            escaped(self.notes()),
        );
        [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
    }
}

fn filetime(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).expect("estates are younger than 1970");
    (since.as_secs() + TO_1970) * 10_000_000
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\n', "&#10;")
        .replace('\t', "&#9;")
}

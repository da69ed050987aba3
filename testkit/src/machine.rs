//! The configurations of virtual machines, for tests.

use crate::container::{Container, ContainerKey, KeyPosition, ROOT};

/// A virtual machine whose configuration is written.
#[derive(Clone, Debug)]
pub struct ConfiguredMachine {
    /// The name.
    pub name: String,
    /// The GUID, without braces.
    pub id: String,
    /// 1 or 2.
    pub generation: u8,
    /// Major and minor version.
    pub version: (u8, u8),
    /// A FILETIME.
    pub created: u64,
    /// The notes.
    pub notes: String,
    /// The disks at the controller: location and path.
    pub disks: Vec<(u32, String)>,
    /// The GUID of the device type, such as that of SCSI controllers.
    pub device: String,
    /// The GUID of the device with the controller, in upper case.
    pub instance: String,
}

impl Default for ConfiguredMachine {
    fn default() -> Self {
        Self {
            name: "server".to_owned(),
            id: "282874FC-59D6-4F30-BC04-5FDD909C82E0".to_owned(),
            generation: 2,
            version: (9, 0),
            created: 133_211_067_586_606_556,
            notes: String::new(),
            disks: vec![(0, r"C:\vm\server.avhdx".to_owned())],
            device: SCSI.to_owned(),
            instance: INSTANCE.to_owned(),
        }
    }
}

const SCSI: &str = "d422512d-2bf2-4752-809d-7b82b5fcb1b4";
const INSTANCE: &str = "5AB50E36-F1BC-4A53-9E81-80D1FCC18237";

impl ConfiguredMachine {
    /// Returns the configuration as a container.
    pub fn container(&self) -> Container {
        let mut container = Container::new();
        let root = container.add(ContainerKey::node(ROOT, "configuration"));
        self.add_properties(&mut container, root);
        self.add_drives(&mut container, root);
        let settings = container.add(ContainerKey::node(root, "global_settings"));
        container.add(ContainerKey::truth(settings, "disk_merge_pending", false));
        let snapshots = container.add(ContainerKey::node(settings, "snapshots"));
        container.add(ContainerKey::truth(snapshots, "enable_automatic", true));
        container
    }

    fn add_properties(&self, container: &mut Container, root: KeyPosition) {
        let node = container.add(ContainerKey::node(root, "properties"));
        let (major, minor) = self.version;
        container.add(ContainerKey::text(node, "name", &self.name));
        container.add(ContainerKey::text(node, "global_id", &self.id));
        container.add(ContainerKey::text(node, "notes", &self.notes));
        container.add(ContainerKey::int(node, "subtype", i64::from(self.generation) - 1));
        container.add(ContainerKey::int(node, "version", u16::from_be_bytes([major, minor]).into()));
        container.add(ContainerKey::bytes(node, "creation_time", &self.created.to_le_bytes()));
    }

    fn add_drives(&self, container: &mut Container, root: KeyPosition) {
        let manifest = container.add(ContainerKey::node(root, "manifest"));
        let device = container.add(ContainerKey::node(manifest, "vdev001"));
        container.add(ContainerKey::text(device, "device", &self.device));
        container.add(ContainerKey::text(device, "instance", &self.instance));
        let instance = format!("_{}_", self.instance.to_lowercase());
        let instance = container.add(ContainerKey::node(root, &instance));
        let controller = container.add(ContainerKey::node(instance, "controller0"));
        for (location, path) in &self.disks {
            let drive = container.add(ContainerKey::node(controller, &format!("drive{location}")));
            container.add(ContainerKey::text(drive, "type", "VHD"));
            container.add(ContainerKey::text(drive, "pathname", path));
        }
    }
}

//! Images of other formats that are named .vhdx are not children and do not block a merge.

use serde_json::json;

use crate::run;

#[test]
fn a_merge_ignores_images_of_other_formats() {
    let Some((folder, _)) = super::make("misnamed-image-blocks-merge") else { return };
    let path = |name: &str| folder.path().join(name);
    let (base, child) = (path("b.vhdx"), path("c.avhdx"));
    let others = [("is-qcow2.vhdx", "QCOW2"), ("is-vhd.vhdx", "VHD")];
    let other_formats = json!(others.map(|(name, format)| json!({ "path": path(name), "format": format })));
    let dry = run!("merge", child, "--dry-run", "--json").exits(0).json();
    assert_eq!((&dry["other_formats"], &dry["undetermined"]), (&other_formats, &json!([])));
    let text = run!("merge", child, "--dry-run").exits(0);
    for (name, format) in others {
        let warning = format!("{} is named like a VHDX, but is a {format} image", path(name).display());
        assert!(text.stderr.contains(&warning), "{}", text.stderr);
    }
    assert!(!format!("{}{}", text.stderr, text.text()).contains("Shared.vhds"), "{}", text.stderr);
    run!("convert", child, path("before.raw"), "--quiet").exits(0);
    run!("merge", child).exits(0);
    run!("compare", base, path("before.raw"), "--quiet").exits(0);
    for (name, format) in others {
        let refused = run!("info", path(name)).exits(4).stderr;
        assert!(refused.contains(&format!("looks like a {format} image")), "{refused}");
    }
}

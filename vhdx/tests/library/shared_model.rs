//! The completion of a merge in a crash model of the protocol: the order of the protocol holds, every other order fails.

use std::process::Command;

use vhdx_testkit::shared;

#[test]
fn only_the_order_of_the_protocol_survives_every_crash() {
    let (Some(model), Some(())) = (shared::folder("model"), shared::program("python3")) else { return };
    let script = crate::common::project().join("testkit/model/completion.py");
    let ran = Command::new("python3").arg("-B").arg(script).arg(model).output().unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{printed}{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(printed.lines().filter(|line| line.contains(" OK")).count(), 2, "{printed}");
    assert_eq!(printed.lines().count(), 8, "{printed}");
    eprintln!("{printed}");
}

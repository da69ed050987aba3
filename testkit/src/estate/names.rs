//! The names in an estate, harmless and dangerous ones.

use crate::random::Random;

/// Names that break out of tables, HTML, CSV, labels and terminals that do not escape them.
pub(super) const HOSTILE: [&str; 12] = [
    "two\nlines",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "a|b\tc",
    "\"quoted\", 'single' and `back`",
    "back\\slash {label=\"x\"}",
    "@SUM(1+1)",
    "&amp; &#10; %20",
    "Prüfung 測試 \u{1f600}",
    "-rf --help",
    "--> ]]> */",
    "$(reboot); ${HOME}",
];

/// Names that a legacy XML file cannot contain.
pub(super) const CONTROLS: [&str; 2] = ["\u{1b}[31mred\u{7}", "\u{202e}gpj.exe"];

/// Returns the name of a checkpoint.
pub(super) fn of_checkpoint(random: &mut Random, machine: &str, number: usize, is_hostile: bool) -> String {
    match random.below(if is_hostile { 8 } else { 4 }) {
        0 | 1 => {
            format!("{machine} - ({}/{}/2026 - 9:{:02}:00 PM)", number % 12 + 1, number % 28 + 1, number % 60)
        }
        2 => format!("before update {number}"),
        3 => "Automatic Checkpoint".to_owned(),
        4 => format!("{} {number}", HOSTILE[random.below(HOSTILE.len())]),
        5 if number == 3 => String::new(),
        5 => "x".repeat(120),
        _ => format!("release {number}.0"),
    }
}

/// Returns the name and the folder of a machine.
pub(super) fn of_machine(random: &mut Random, number: usize, is_hostile: bool) -> (String, String) {
    let kind = ["web", "sql", "dc", "files", "build", "mail"][random.below(6)];
    let name = format!("{kind}{number:02}");
    match number % 3 {
        1 if is_hostile => (format!("{} {number}", HOSTILE[number / 3 % HOSTILE.len()]), name),
        2 if is_hostile && number % 15 == 2 => {
            (format!("{} {number}", CONTROLS[number / 15 % CONTROLS.len()]), name)
        }
        _ => (name.clone(), name),
    }
}

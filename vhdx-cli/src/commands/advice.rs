//! Prints messages with advice. Advice that several messages share is printed once.

use std::collections::HashMap;
use std::io::{self, Write};

/// A message with advice.
pub(super) struct Advised {
    /// What the message is about, such as a path.
    pub(super) subject: String,
    /// The predicate of a sentence whose subject is `subject`.
    pub(super) message: String,
    /// What the user can do.
    pub(super) advice: String,
}

/// Prints messages. Messages with the same advice are grouped at the position of the first one.
pub(super) fn write(all: impl IntoIterator<Item = Advised>, out: &mut dyn Write) -> io::Result<()> {
    for (advice, messages) in by_advice(all) {
        for (subject, message) in &messages {
            writeln!(out, "- {subject} {message}")?;
        }
        match messages.len() {
            1 => writeln!(out, "  fix: {advice}")?,
            count => writeln!(out, "  fix for each of these {count}: {advice}")?,
        }
    }
    Ok(())
}

fn by_advice(all: impl IntoIterator<Item = Advised>) -> Vec<(String, Vec<(String, String)>)> {
    let mut groups: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut group_of: HashMap<String, usize> = HashMap::new();
    for Advised { subject, message, advice } in all {
        let at = *group_of.entry(advice.clone()).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, messages)) => messages.push((subject, message)),
            None => groups.push((advice, vec![(subject, message)])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_advice_is_printed_once() {
        let all = [("a", "1"), ("b", "2"), ("c", "1")].map(|(subject, advice)| Advised {
            subject: subject.to_owned(),
            message: "is broken".to_owned(),
            advice: advice.to_owned(),
        });
        let mut out = Vec::new();
        write(all, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "- a is broken\n- c is broken\n  fix for each of these 2: 1\n- b is broken\n  fix: 2\n"
        );
    }
}

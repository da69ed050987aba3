//! Reports violations of one structure and records whether its value can be used.

use crate::rules::Severity;
use crate::violation::{Violation, Violations};

/// Passes violations on to a list. Keeps its own verdict, because the list drops violations past its limit.
pub(super) struct Validator<'a> {
    violations: &'a mut Violations,
    sound: bool,
}

impl<'a> Validator<'a> {
    pub(super) fn new(violations: &'a mut Violations) -> Self {
        Self { violations, sound: true }
    }

    pub(super) fn report(&mut self, violation: Violation) {
        self.sound &= violation.severity() <= Severity::Tolerated;
        self.violations.report(violation);
    }

    /// Reports `violation` unless the rule holds. Returns whether it holds.
    pub(super) fn require(&mut self, holds: bool, violation: Violation) -> bool {
        if !holds {
            self.report(violation);
        }
        holds
    }

    /// Returns `value`, unless a broken rule is more severe than [`Severity::Tolerated`].
    pub(super) fn finish<T>(self, value: T) -> Option<T> {
        self.sound.then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rule;
    use crate::units::FileOffset;
    use crate::violation::Structure;

    fn broken(rule: Rule) -> Violation {
        Violation::new(Structure::Bat, FileOffset::new(0), rule)
    }

    #[test]
    fn only_violations_that_are_not_tolerated_reject_the_value() {
        let mut violations = Violations::new();
        let mut validator = Validator::new(&mut violations);
        assert!(!validator.require(false, broken(Rule::BatZeroOffset)));
        assert!(validator.require(true, broken(Rule::BatTooShort)));
        assert_eq!(validator.finish(1), Some(1));
        for rule in [Rule::BatTooShort, Rule::RegionUnknown] {
            let mut validator = Validator::new(&mut violations);
            validator.report(broken(rule));
            assert_eq!(validator.finish(1), None);
        }
        assert_eq!(violations.as_slice().len(), 3);
    }

    #[test]
    fn a_full_list_does_not_hide_a_fatal_violation() {
        let mut violations = Violations::new();
        let mut validator = Validator::new(&mut violations);
        for _ in 0..Violations::LIMIT {
            validator.report(broken(Rule::BatZeroOffset));
        }
        validator.report(broken(Rule::BatTooShort));
        assert_eq!(validator.finish(1), None);
    }
}

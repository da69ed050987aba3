//! Parses and prints durations such as `12h` or `7d`.

use std::time::Duration;

const UNITS: [(&str, u64); 4] = [("m", 60), ("h", 3600), ("d", 86_400), ("w", 7 * 86_400)];

/// Parses a duration such as `30m`, `12h`, `7d` or `4w`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let refusal = || format!("{text:?} is not a duration such as 30m, 12h, 7d or 4w");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let (_, seconds) = UNITS.iter().find(|(known, _)| *known == unit).ok_or_else(refusal)?;
    let number: u64 = digits.parse().map_err(|_| refusal())?;
    let seconds = number.checked_mul(*seconds).ok_or_else(|| format!("{text:?} is too long"))?;
    Ok(Duration::from_secs(seconds))
}

/// Returns a duration as [`parse`] reads it, in the largest unit without a rest; seconds are rounded up to a minute.
pub(crate) fn option(duration: Duration) -> String {
    let seconds = duration.as_secs().next_multiple_of(60);
    // Every number of seconds that is left is a multiple of the smallest unit.
    let unit = UNITS.iter().rev().find(|(_, unit)| seconds > 0 && seconds.is_multiple_of(*unit));
    unit.map_or_else(|| "0m".to_owned(), |(name, unit)| format!("{}{name}", seconds / unit))
}

/// Returns a duration in a fitting unit, rounded down: `12 days`, `36 hours`, `1 minute`.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    // Below two days, hours say more: `36 hours`, and not `1 day`.
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        let seconds = |text| parse(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("30m"), Ok(1800));
        assert_eq!(seconds("12H"), Ok(12 * 3600));
        assert_eq!(seconds("7d"), Ok(7 * 86_400));
        assert_eq!(seconds("4w"), Ok(28 * 86_400));
        assert_eq!(seconds("0d"), Ok(0));
        for text in
            ["", "d", "7", "-1d", "1.5d", "7 d", "7dd", "1h30m", "9s", "1y", "99999999999999999999d", "1é"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("99999999999999999d").unwrap_err().contains("too long"));
    }

    #[test]
    fn an_option_is_read_as_it_was_given() {
        for text in ["0m", "30m", "12h", "36h", "6d", "4w", "30d"] {
            assert_eq!(option(parse(text).unwrap()), text);
        }
        assert_eq!(option(Duration::from_secs(61)), "2m");
    }

    #[test]
    fn a_duration_is_shown_in_a_fitting_unit() {
        let text = |seconds| human(Duration::from_secs(seconds));
        assert_eq!([text(0), text(1), text(60)], ["0 seconds", "1 second", "1 minute"]);
        assert_eq!([text(7199), text(7200), text(172_799)], ["119 minutes", "2 hours", "47 hours"]);
        assert_eq!([text(172_800), text(864_000)], ["2 days", "10 days"]);
    }
}

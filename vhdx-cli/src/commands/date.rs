//! Formats points in time for text output, JSON and CSV.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns a point in time in whole seconds since 1970, negative before.
pub(super) fn unix_seconds(time: SystemTime) -> Option<i64> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs().try_into().ok(),
        Err(before) => i64::try_from(before.duration().as_secs()).ok().map(|seconds| -seconds),
    }
}

/// Returns a point in time in whole seconds since 1970; `None` before.
pub(super) fn seconds(time: SystemTime) -> Option<u64> {
    unix_seconds(time)?.try_into().ok()
}

/// Returns a point in time in UTC, to the minute: `2026-11-22 23:05`.
pub(super) fn utc(time: SystemTime) -> String {
    match seconds(time) {
        Some(seconds) => format!("{} {}", day(seconds), minute(seconds)),
        None => "before 1970".to_owned(),
    }
}

/// Returns a point in time in UTC, to the second, for times that are compared.
pub(super) fn utc_to_the_second(time: SystemTime) -> String {
    let second = seconds(time).map(|seconds| format!(":{:02}", seconds % 60));
    utc(time) + &second.unwrap_or_default()
}

/// Returns a point in time in UTC, in ISO 8601 format: `2026-11-22T23:05:17Z`; `None` before 1970.
pub(super) fn iso_8601(time: SystemTime) -> Option<String> {
    let seconds = seconds(time)?;
    Some(format!("{}T{}:{:02}Z", day(seconds), minute(seconds), seconds % 60))
}

fn minute(since_1970: u64) -> String {
    let minutes = since_1970 / 60 % (24 * 60);
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn day(since_1970: u64) -> String {
    let (year, month, day) = civil(since_1970 / (24 * 60 * 60));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Returns year, month and day for a number of days since 1970-01-01. Years are counted from March, so that a leap day
/// is the last day of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468; // from 0000-03-01
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days.saturating_add(DAYS_TO_1970);
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * era + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The expected times are those of `date --utc`.
    #[test]
    fn dates_match_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00"),
            (951_782_399, "2000-02-28 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (951_868_800, "2000-03-01 00:00"),
            (1_709_164_800, "2024-02-29 00:00"),
            (1_795_388_717, "2026-11-22 23:05"),
            (4_107_542_399, "2100-02-28 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
            (253_402_300_799, "9999-12-31 23:59"),
        ];
        for (seconds, text) in cases {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(utc_to_the_second(UNIX_EPOCH + Duration::from_secs(951_782_399)), "2000-02-28 23:59:59");
        assert_eq!(utc_to_the_second(UNIX_EPOCH - Duration::from_secs(1)), "before 1970");
        assert_eq!(utc(UNIX_EPOCH - Duration::from_secs(1)), "before 1970");
    }

    #[test]
    fn programs_get_iso_8601() {
        let iso = |seconds| iso_8601(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        assert_eq!(iso(1_793_037_423), "2026-10-26T17:57:03Z");
        assert_eq!(iso(951_868_799), "2000-02-29T23:59:59Z");
        assert_eq!(iso_8601(UNIX_EPOCH - Duration::from_secs(1)), None);
    }
}

//! Times as file systems store them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 100-nanosecond intervals from 1601 to 1970.
const INTERVALS_TO_1970: u64 = 116_444_736_000_000_000;
const DAY: u64 = 86_400;

/// Returns a time that is stored in intervals of 100 ns since 1601. Zero is no time.
pub(super) fn from_nt(intervals: u64) -> Option<SystemTime> {
    if intervals == 0 {
        return None;
    }
    let parts = |intervals: u64| {
        let nanoseconds = u32::try_from((intervals % 10_000_000).saturating_mul(100)).ok()?;
        Some(Duration::new(intervals / 10_000_000, nanoseconds))
    };
    match intervals.checked_sub(INTERVALS_TO_1970) {
        Some(after) => UNIX_EPOCH.checked_add(parts(after)?),
        None => UNIX_EPOCH.checked_sub(parts(INTERVALS_TO_1970.saturating_sub(intervals))?),
    }
}

/// Returns a time of FAT or exFAT: a date, and a time of that day with a resolution of 2 seconds.
///
/// `hundredths` is added; `minutes_east` is how far its zone is ahead of UTC.
pub(super) fn from_dos(date: u16, time: u16, hundredths: u8, minutes_east: i64) -> Option<SystemTime> {
    let (year, month, day) = (u64::from(date >> 9), u64::from((date >> 5) & 15), u64::from(date & 31));
    let (hour, minute, pair) = (u64::from(time >> 11), u64::from((time >> 5) & 63), u64::from(time & 31));
    if !(1..=12).contains(&month) || day < 1 || hour > 23 || minute > 59 || pair > 29 || hundredths > 199 {
        return None;
    }
    let days = days_to(year.saturating_add(1980), month)?.checked_add(day)?.checked_sub(1)?;
    let seconds = days * DAY + hour * 3600 + minute * 60 + pair * 2;
    let local = Duration::from_secs(seconds) + Duration::from_millis(u64::from(hundredths) * 10);
    let shift = Duration::from_secs(minutes_east.unsigned_abs().checked_mul(60)?);
    let utc = if minutes_east >= 0 { local.checked_sub(shift)? } else { local.checked_add(shift)? };
    UNIX_EPOCH.checked_add(utc)
}

/// Returns the days from 1970 to the first day of a month.
fn days_to(year: u64, month: u64) -> Option<u64> {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let months = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before: u64 = months.get(..usize::try_from(month).ok()?.checked_sub(1)?)?.iter().sum();
    Some(years + before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(time: Option<SystemTime>) -> i64 {
        match time.unwrap().duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_secs().cast_signed(),
            Err(before) => -before.duration().as_secs().cast_signed(),
        }
    }

    #[test]
    fn times_since_1601() {
        assert_eq!(seconds(from_nt(INTERVALS_TO_1970)), 0);
        assert_eq!(seconds(from_nt(INTERVALS_TO_1970 + 10_000_000)), 1);
        assert_eq!(seconds(from_nt(INTERVALS_TO_1970 - 10_000_000)), -1);
        assert_eq!(from_nt(0), None);
        let _ = from_nt(u64::MAX); // no overflow
    }

    #[test]
    fn dates_since_1980() {
        // 2024-02-29 12:34:56, by `date -u -d 2024-02-29T12:34:56Z +%s`
        let date = (44 << 9) | (2 << 5) | 29;
        let time = (12 << 11) | (34 << 5) | 28;
        assert_eq!(seconds(from_dos(date, time, 0, 0)), 1_709_210_096);
        assert_eq!(seconds(from_dos(date, time, 100, 60)), 1_709_210_096 - 3600 + 1);
        assert_eq!(seconds(from_dos(date, time, 0, -60)), 1_709_210_096 + 3600);
        assert_eq!(from_dos(0, 0, 0, 0), None);
        for date in 0..=u16::MAX {
            let _ = from_dos(date, u16::MAX, 255, -960);
            let _ = from_dos(date, 0, 0, 960);
        }
    }
}

//! Times of inodes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NANOSECONDS: u32 = 1_000_000_000;

/// Returns a time. `extra` has two more bits of the seconds, and the nanoseconds above them.
///
/// Returns `None` if the nanoseconds are invalid or the host cannot represent the time.
pub(super) fn time(seconds: u32, extra: u32) -> Option<SystemTime> {
    // The low 32 bits are signed, so the times reach from 1901 to 2446.
    let seconds = i64::from(seconds.cast_signed()).checked_add(i64::from(extra & 3) << 32)?;
    let nanoseconds = Some(extra >> 2).filter(|nanoseconds| *nanoseconds < NANOSECONDS)?;
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    time?.checked_add(Duration::from_nanos(u64::from(nanoseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_reach_from_1901_to_2446() {
        let seconds = |seconds| Duration::from_secs(seconds);
        assert_eq!(time(0x8000_0000, 0), UNIX_EPOCH.checked_sub(seconds(1 << 31)));
        assert_eq!(time(0xFFFF_FFFF, 0), UNIX_EPOCH.checked_sub(seconds(1)));
        assert_eq!(time(0x8000_0000, 1), UNIX_EPOCH.checked_add(seconds(1 << 31)));
        assert_eq!(time(0x7FFF_FFFF, 3), UNIX_EPOCH.checked_add(seconds((3 << 32) + (1 << 31) - 1)));
    }

    #[test]
    fn nanoseconds_count_forwards_also_before_1970() {
        // Windows counts in steps of 100 ns.
        let time = time(0xFFFF_FFFF, 999_999_900 << 2).unwrap();
        assert_eq!(UNIX_EPOCH.duration_since(time).unwrap(), Duration::from_nanos(100));
        assert_eq!(super::time(0, 1_000_000_000 << 2), None);
    }
}

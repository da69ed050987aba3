//! Conversion of Windows times.

/// The number of 100-nanosecond intervals in a second.
const INTERVALS: u64 = 10_000_000;
/// The number of seconds from 1601 to 1970.
const TO_1970: i64 = 11_644_473_600;

/// Returns a FILETIME (100-nanosecond intervals since 1601-01-01 UTC) as seconds since 1970-01-01 UTC, rounded down.
///
/// Times before 1970 are negative.
///
/// ```
/// assert_eq!(hyperv_config::unix_seconds(116_444_736_000_000_000), 0);
/// assert_eq!(hyperv_config::unix_seconds(0), -11_644_473_600);
/// ```
pub const fn unix_seconds(filetime: u64) -> i64 {
    // Nothing wraps: there are at most 1,844,674,407,370 seconds.
    (filetime / INTERVALS).cast_signed().wrapping_sub(TO_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected times are those of `date --utc`.
    #[test]
    fn times_of_real_files() {
        assert_eq!(unix_seconds(u64::from_le_bytes(*b"\xfc\xec\x38\xb4\xf1\x42\xd9\x01")), 1_676_653_386);
        assert_eq!(unix_seconds(u64::from_le_bytes(*b"\xa7\x6e\x45\x66\x9e\x97\xd7\x01")), 1_629_668_460);
        assert_eq!(unix_seconds(u64::MAX), 1_833_029_933_770);
    }
}

//! Parses and prints sizes such as `64K` or `10G`, in powers of 1024.

const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];

/// Parses a size such as `512`, `64K`, `10G` or `2T` into bytes. A `B` or `iB` may follow the unit.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let refusal = || format!("{text:?} is not a size such as 512, 64K, 10G or 2T");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].to_ascii_uppercase();
    let unit = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        unit => 1 + UNITS.iter().position(|known| *known == unit).ok_or_else(refusal)?,
    };
    let number: u64 = digits.parse().map_err(|_| refusal())?;
    number.checked_mul(1 << (10 * power)).ok_or_else(|| format!("{text:?} is too large"))
}

/// Returns a number of bytes with a fitting unit: `1.5 KiB`, `36 MiB`, `512 bytes`.
pub(crate) fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value.fract() == 0.0 { 0 } else { 1 };
    format!("{value:.digits$} {}iB", UNITS[unit])
}

/// Returns a number of bytes, exact and with a fitting unit: `37748736 (36 MiB)`.
pub(crate) fn both(bytes: u64) -> String {
    if bytes < 1024 { human(bytes) } else { format!("{bytes} ({})", human(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(parse("512"), Ok(512));
        assert_eq!(parse("64K"), Ok(64 << 10));
        assert_eq!(parse("10g"), Ok(10 << 30));
        assert_eq!(parse("2TiB"), Ok(2 << 40));
        assert_eq!(parse("1MB"), Ok(1 << 20));
    }

    #[test]
    fn texts_that_are_no_sizes_are_refused() {
        for text in ["", "K", "-1", "1.5G", "1X", "1KK", "1BB", "0x10", "1 G", "99999999P", "1é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn human_sizes() {
        assert_eq!(human(0), "0 bytes");
        assert_eq!(human(36 << 20), "36 MiB");
        assert_eq!(human(1536), "1.5 KiB");
        assert_eq!(human((1 << 20) - 1), "1.0 MiB");
        assert_eq!(both(4096), "4096 (4 KiB)");
    }
}

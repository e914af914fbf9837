//! Wall-clock time as RFC 3339 text, always in UTC: a static binary without time zone data has no other.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `when` with nanoseconds, trailing zeros cut, as the OCI state's `created` has it: `2026-01-02T03:04:05.6789Z`.
pub fn rfc3339_nanos(when: SystemTime) -> String {
    let since = when.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let fraction = format!(".{:09}", since.subsec_nanos());
    format!("{}{}Z", seconds(since.as_secs()), fraction.trim_end_matches('0').trim_end_matches('.'))
}

/// `when` to the second, as log lines have it: `2026-01-02T03:04:05Z`.
pub fn rfc3339(when: SystemTime) -> String {
    let since = when.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    format!("{}Z", seconds(since.as_secs()))
}

fn seconds(since_epoch: u64) -> String {
    let (days, second) = (since_epoch / 86_400, since_epoch % 86_400);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// The Gregorian date `days` after 1970-01-01. Years are counted from March, so that the leap day comes last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        // From `date -u -d @N +%FT%TZ`.
        for (at, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(at)), text);
        }
    }

    #[test]
    fn nanoseconds_lose_their_trailing_zeros() {
        let at = |nanos| rfc3339_nanos(UNIX_EPOCH + Duration::new(1, nanos));
        assert_eq!(at(0), "1970-01-01T00:00:01Z");
        assert_eq!(at(120_000_000), "1970-01-01T00:00:01.12Z");
        assert_eq!(at(1), "1970-01-01T00:00:01.000000001Z");
    }
}

//! Sizes and times as people write them: `64m`, `80%`, `1h`.
use anyhow::{Context, Result, bail};
use std::time::Duration;

/// Bytes: a number with k, m, g or t, for powers of 1024, with or without `b` or `iB` behind.
pub fn size(text: &str) -> Result<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.trim_end_matches("ib").trim_end_matches('b');
    let (digits, factor) = match number.chars().last() {
        Some('k') => (&number[..number.len() - 1], 1 << 10),
        Some('m') => (&number[..number.len() - 1], 1 << 20),
        Some('g') => (&number[..number.len() - 1], 1 << 30),
        Some('t') => (&number[..number.len() - 1], 1 << 40),
        _ => (number, 1),
    };
    times(digits, factor).with_context(|| format!("{text:?} is no size like 512m or 2g"))
}

/// Bytes of memory: a size, or a share of the machine's memory in percent.
pub fn memory(text: &str) -> Result<u64> {
    let Some(percent) = text.trim().strip_suffix('%') else { return size(text) };
    let percent: u64 = percent
        .trim()
        .parse()
        .ok()
        .filter(|p| (1..=100).contains(p))
        .with_context(|| format!("{text:?} is no share of the memory: write 1% to 100%"))?;
    let info = nix::sys::sysinfo::sysinfo().context("sysinfo")?;
    Ok(info.ram_total() / 100 * percent)
}

/// Milliseconds: a number of seconds, or with ms, s, m, h or d.
pub fn milliseconds(text: &str) -> Result<u64> {
    let number = text.trim();
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let unit = units.iter().find(|(unit, _)| number.ends_with(unit));
    let (digits, factor) = unit.map_or((number, 1000), |(unit, factor)| (number.trim_end_matches(unit), *factor));
    times(digits, factor)
        .ok()
        .filter(|time| *time > 0)
        .with_context(|| format!("{text:?} is no time: write 90s, 10m or 1h"))
}

/// A time as Go writes it, of one part or several: `1m30s`, `100ms`, `1.5h`.
pub fn duration(text: &str) -> Result<Duration> {
    const UNITS: [(&str, u64); 7] = [
        ("ns", 1),
        ("us", 1000),
        ("µs", 1000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let mut rest = text.trim();
    let mut total: u64 = 0;
    let wrong = || format!("{text:?} is no duration: write 100ms, 5s or 1m30s");
    while !rest.is_empty() && rest != "0" {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).with_context(wrong)?;
        let (number, unit) = rest.split_at(end);
        let after = unit.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(unit.len());
        let factor = UNITS.iter().find(|(name, _)| *name == &unit[..after]).with_context(wrong)?.1;
        total = times(number, factor).ok().and_then(|part| total.checked_add(part)).with_context(wrong)?;
        rest = &unit[after..];
    }
    if text.trim().is_empty() { bail!("{}", wrong()) } else { Ok(Duration::from_nanos(total)) }
}

/// Thousandths of a positive number with or without a decimal point.
pub fn thousandths(text: &str) -> Result<u64> {
    let number = times(text.trim(), 1000).ok().filter(|number| *number > 0);
    number.with_context(|| format!("{text:?} is no number of processors like 0.5 or 2"))
}

/// `digits`, which may have a decimal point, times `factor`.
fn times(digits: &str, factor: u64) -> Result<u64> {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match digits.split_once('.') {
        None if plain(digits) => digits.parse::<u64>()?.checked_mul(factor).context("it is too large"),
        Some((whole, part)) if plain(whole) && plain(part) => Ok((digits.parse::<f64>()? * factor as f64) as u64),
        _ => bail!("there is no number in it"),
    }
}

/// A number of bytes for people: `80.0 MiB`.
pub fn show_size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.iter().find(|(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => format!("{:.1} {unit}", bytes as f64 / (1_u64 << shift) as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("64k", 65536),
            ("1M", 1 << 20),
            ("2g", 2 << 30),
            ("1.5GiB", 3 << 29),
            ("10kb", 10240),
        ] {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "m", "-1", "1x", "1..5g", "99999999999t", "1 m m", "٣"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!((show_size(1536).as_str(), show_size(12).as_str()), ("1.5 KiB", "12 B"));
    }

    #[test]
    fn times_of_the_clock() {
        for (text, time) in [("90", 90_000), ("90s", 90_000), ("250ms", 250), ("10m", 600_000), ("1.5h", 5_400_000)] {
            assert_eq!(milliseconds(text).unwrap(), time, "{text}");
        }
        for bad in ["", "s", "0", "-5", "5w", "1h30m"] {
            assert!(milliseconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_of_processors() {
        assert_eq!((thousandths("1.5").unwrap(), thousandths("2").unwrap()), (1500, 2000));
        for bad in ["", "0", "-1", "x", "0.0001"] {
            assert!(thousandths(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_as_go_writes_them() {
        let milliseconds = |text: &str| duration(text).unwrap().as_millis();
        for (text, expected) in
            [("100ms", 100), ("5s", 5000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("0", 0), ("0s", 0)]
        {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
        for bad in ["", "5", "s", "-1s", "1x", "1s2", "1..5s", "99999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_of_the_memory() {
        let all = memory("100%").unwrap();
        assert!(all > 1 << 20 && memory("50%").unwrap().abs_diff(all / 2) < 100, "{all}");
        assert_eq!(memory("3k").unwrap(), 3072);
        for bad in ["0%", "101%", "%", "x%"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }
}

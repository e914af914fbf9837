//! Lists of processors and memory nodes in the kernel's list format, `0-3,7` (cpuset(7)).

/// How many numbers a set holds: CPU_SETSIZE, and more than any kernel's MAX_NUMNODES.
const SIZE: usize = 1024;

/// A set of numbers below 1024 as the kernel takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set(pub [u64; SIZE / 64]);

impl Set {
    /// How many numbers are in it.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Reads a list. As in runc, spaces around an element are allowed, and so are empty elements.
    ///
    /// # Errors
    /// What is wrong with it, in one phrase.
    pub fn parse(list: &str) -> Result<Set, String> {
        let mut set = Set([0; SIZE / 64]);
        for element in list.split(',').map(str::trim).filter(|element| !element.is_empty()) {
            let (first, last) = element.split_once('-').unwrap_or((element, element));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("invalid range: {element}"));
            }
            for n in first..=last {
                set.0[n / 64] |= 1 << (n % 64);
            }
        }
        if set.count() == 0 { Err(format!("no CPUs found in {list:?}")) } else { Ok(set) }
    }
}

fn number(text: &str) -> Result<usize, String> {
    // parse() would take a sign.
    let number = text.parse::<usize>().ok().filter(|_| !text.starts_with('+'));
    let number = number.ok_or_else(|| format!("invalid number {text:?}"))?;
    if number < SIZE { Ok(number) } else { Err(format!("values larger than {} are not supported", SIZE - 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_runc_reads_them() {
        assert_eq!(Set::parse("0-3,7").unwrap().0[0], 0b1000_1111);
        assert_eq!(Set::parse(" 1 , ,2,").unwrap().0[0], 0b110);
        assert_eq!(Set::parse("64,1023").unwrap().count(), 2);
        assert_eq!(Set::parse("64").unwrap().0[1], 1);
        assert_eq!(Set::parse("3-1").unwrap_err(), "invalid range: 3-1");
        assert_eq!(Set::parse("1024").unwrap_err(), "values larger than 1023 are not supported");
        for bad in ["", " , ", "x", "-1", "1-", "+1", "1-2-3", "1 - 2"] {
            assert!(Set::parse(bad).is_err(), "{bad:?}");
        }
    }
}

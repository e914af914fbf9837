//! Git's index (gitformat-index(5)), versions 2 to 4: which other repositories it names. Git goes into each of them to see
//! whether it has changed, and runs what its configuration says.
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A gitlink's mode.
const GITLINK: u32 = 0o160_000;
/// In an entry's flags: two bytes more of them follow.
const EXTENDED: u16 = 0x4000;
/// In an entry's flags: the length of its name.
const LENGTH: u16 = 0x0fff;
/// More gitlinks than this are not kept.
const MOST: usize = 10_000;
/// Longest name of an entry.
const LONGEST: usize = 1 << 16;

/// What an index names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Where other repositories are, as it says: below the top, if git has written it.
    pub gitlinks: Vec<PathBuf>,
    /// It is only the difference from another file, which was not read.
    pub is_split: bool,
}

/// The bytes of the ids in a repository: of SHA-1, or with `extensions.objectFormat` of SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// 20 bytes.
    Sha1 = 20,
    /// 32 bytes.
    Sha256 = 32,
}

/// Reads an index. Its own checksum is not looked at: git does not, either, unless asked to.
///
/// # Errors
/// It is none that git would take.
pub fn parse(bytes: &[u8], ids: Ids) -> Result<Named> {
    let id = ids as usize;
    let mut rest = bytes.get(..bytes.len().saturating_sub(id)).unwrap_or_default();
    if take(&mut rest, 4)? != b"DIRC" {
        bail!("no index");
    }
    let version = number(&mut rest)?;
    if !(2..=4).contains(&version) {
        bail!("an index of version {version}");
    }
    let count = number(&mut rest)?;
    let mut named = Named::default();
    let mut name = Vec::new();
    for _ in 0..count {
        let mode = entry(&mut rest, version, id, &mut name)?;
        if mode & 0o170_000 == GITLINK {
            // To git it is a text of C's.
            let path = name.split(|byte| *byte == 0).next().unwrap_or_default();
            named.gitlinks.push(PathBuf::from(OsString::from_vec(path.to_vec())));
            if named.gitlinks.len() > MOST {
                bail!("more than {MOST} submodules");
            }
        }
    }
    named.is_split = extensions(rest)?;
    Ok(named)
}

/// One entry: its mode, and its name in `name`, which holds that of the one before. Lengths are taken as git takes them
/// (`create_from_disk` in its read-cache.c), or what follows would be something else to it.
fn entry(rest: &mut &[u8], version: u32, id: usize, name: &mut Vec<u8>) -> Result<u32> {
    let before = rest.len();
    // Times, device and inode.
    take(rest, 24)?;
    let mode = number(rest)?;
    // Owner, size, id.
    take(rest, 12 + id)?;
    let flags = u16::from_be_bytes(take(rest, 2)?.try_into()?);
    if flags & EXTENDED != 0 {
        if version < 3 {
            bail!("an entry of another version");
        }
        take(rest, 2)?;
    }
    let mut kept = 0;
    if version == 4 {
        let taken_off = varint(rest)?;
        kept = name.len().checked_sub(taken_off).context("a name shorter than nothing")?;
    }
    let length = match usize::from(flags & LENGTH) {
        // It does not fit.
        length if length == usize::from(LENGTH) => {
            rest.iter().position(|byte| *byte == 0).context("no end of a name")?
        }
        length => length.checked_sub(kept).context("a name shorter than its beginning")?,
    };
    name.truncate(kept);
    name.extend(take(rest, length)?);
    if name.len() > LONGEST {
        bail!("a name of {} bytes", name.len());
    }
    // The null at the end, and in older versions more of them until it is a multiple of eight.
    let padding = if version == 4 { 1 } else { 8 - (before - rest.len()) % 8 };
    take(rest, padding)?;
    Ok(mode)
}

/// Whether one of the extensions makes it a part of an index. One in capital letters may be left out, says git.
fn extensions(mut rest: &[u8]) -> Result<bool> {
    let mut is_split = false;
    while rest.len() >= 8 {
        let name = take(&mut rest, 4)?;
        let length = number(&mut rest)?;
        match name {
            b"link" => is_split = true,
            // The directories of a sparse one stand for what is not checked out: nobody goes there.
            b"sdir" | [b'A'..=b'Z', ..] => {}
            _ => bail!("an extension {:?} that is not known", String::from_utf8_lossy(name)),
        }
        take(&mut rest, usize::try_from(length)?)?;
    }
    Ok(is_split)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count).context("it ends too early")?;
    *rest = left;
    Ok(taken)
}

fn number(rest: &mut &[u8]) -> Result<u32> {
    Ok(u32::from_be_bytes(take(rest, 4)?.try_into()?))
}

/// As in a pack, for an offset: seven bits each, and one more for each byte that follows.
fn varint(rest: &mut &[u8]) -> Result<usize> {
    let mut value = 0_usize;
    for at in 0..4 {
        let byte = take(rest, 1)?[0];
        value = (value << 7) + usize::from(byte & 0x7f) + usize::from(at > 0) * 128;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a length of more than four bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index as git writes it, of names with their modes.
    fn index(version: u32, ids: Ids, entries: &[(&str, u32)], extensions: &[u8]) -> Vec<u8> {
        let mut bytes = [b"DIRC".as_slice(), &version.to_be_bytes(), &(entries.len() as u32).to_be_bytes()].concat();
        let mut last = "";
        for (name, mode) in entries {
            let begin = bytes.len();
            bytes.extend([0; 24]);
            bytes.extend(mode.to_be_bytes());
            bytes.extend(vec![0; 12 + ids as usize]);
            bytes.extend((name.len().min(0xfff) as u16).to_be_bytes());
            if version == 4 {
                let common = last.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
                assert!(last.len() - common < 128);
                bytes.push((last.len() - common) as u8);
                bytes.extend(name[common..].bytes());
                bytes.push(0);
                last = name;
            } else {
                bytes.extend(name.bytes());
                bytes.extend(vec![0; 8 - (bytes.len() - begin) % 8]);
            }
        }
        bytes.extend(extensions);
        bytes.extend(vec![0; ids as usize]);
        bytes
    }

    #[test]
    fn gitlinks_of_all_versions_and_ids() {
        let long = "d/".repeat(2500) + "x";
        let entries =
            [("a/b", 0o100_644), ("a/lib", GITLINK), ("a/library", 0o120_000), (&long, GITLINK), ("z", GITLINK)];
        for ids in [Ids::Sha1, Ids::Sha256] {
            let named = parse(&index(2, ids, &entries, b"TREE\0\0\0\x02xx"), ids).unwrap();
            let expected = ["a/lib", &long, "z"].map(PathBuf::from).to_vec();
            assert_eq!(named, Named { gitlinks: expected, is_split: false });
            let short = [entries[0], entries[1], entries[2], entries[4]];
            let named = parse(&index(4, ids, &short, b"sdir\0\0\0\0"), ids).unwrap();
            assert_eq!(named.gitlinks, ["a/lib", "z"].map(PathBuf::from));
        }
        assert!(parse(&index(2, Ids::Sha1, &[], b"link\0\0\0\0"), Ids::Sha1).unwrap().is_split);
        assert!(parse(&index(2, Ids::Sha1, &[], b"mine\0\0\0\0"), Ids::Sha1).is_err());
        assert!(parse(&index(5, Ids::Sha1, &[], b""), Ids::Sha1).is_err());
    }

    #[test]
    fn one_that_is_cut_off_is_an_error_everywhere() {
        let whole = index(4, Ids::Sha1, &[("a/b", 0o100_644), ("a/lib", GITLINK)], b"");
        for end in 0..whole.len() {
            assert!(parse(&whole[..end], Ids::Sha1).is_err(), "{end}");
        }
        assert!(parse(&whole, Ids::Sha1).is_ok());
    }

    #[test]
    fn a_length_is_read_as_git_reads_it() {
        for (bytes, value) in [(&[0_u8][..], 0), (&[0x7f], 127), (&[0x80, 0], 128), (&[0xff, 0x7f], 16511)] {
            assert_eq!(varint(&mut &*bytes).unwrap(), value);
        }
        assert!(varint(&mut &[0xff; 9][..]).is_err());
    }
}

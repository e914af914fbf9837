//! The made-up /etc of a sandbox: who the user is and how names are looked up, and nothing else of the host's.
use super::view::Shown;
use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Name of the host inside, if nobody gives another.
pub const HOSTNAME: &str = "sandbox";

/// The one user there is.
pub struct User<'a> {
    /// Its login name.
    pub name: &'a str,
    /// Its id inside.
    pub uid: u32,
    /// Its group inside.
    pub gid: u32,
    /// Its home directory.
    pub home: &'a Path,
}

/// Writes the files into the new directory `dir`, and empty places for `shown`, the parts of the host's /etc that are
/// mounted there. `resolv_conf` is its file of name servers.
pub fn write(dir: &Path, user: &User, hostname: &str, shown: &[Shown], resolv_conf: &str) -> Result<()> {
    fs::create_dir(dir).with_context(|| dir.display().to_string())?;
    let put = |name: &str, text: String| fs::write(dir.join(name), text).with_context(|| format!("write {name}"));
    let User { name, uid, gid, home } = user;
    // A colon or a line's end in the path would make other fields and users of it.
    let odd = home.as_os_str().as_encoded_bytes().iter().any(|byte| *byte == b':' || byte.is_ascii_control());
    let home = if odd { Path::new("/") } else { home };
    let (root, own) =
        ("root:x:0:0:root:/root:/bin/sh\n", format!("{name}:x:{uid}:{gid}::{}:/bin/sh\n", home.display()));
    put("passwd", format!("{}{own}nobody:x:65534:65534:nobody:/:/bin/false\n", if *uid == 0 { "" } else { root }))?;
    let root = if *gid == 0 { "" } else { "root:x:0:\n" };
    put("group", format!("{root}{name}:x:{gid}:\nnogroup:x:65534:\n"))?;
    put("hosts", format!("127.0.0.1 localhost {hostname}\n::1 localhost {hostname}\n"))?;
    put("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned())?;
    put("hostname", format!("{hostname}\n"))?;
    put("resolv.conf", resolv_conf.to_owned())?;
    for Shown { path, directory } in shown {
        // Nothing is written but in `dir`, whatever a list says.
        let place = dir.join(Path::new(path).strip_prefix("/etc").context("not below /etc")?);
        let made = make_place(&place, *directory).or_else(|error| match (error.kind(), place.parent()) {
            (ErrorKind::NotFound, Some(parent)) => {
                fs::create_dir_all(parent)?;
                make_place(&place, *directory)
            }
            _ => Err(error),
        });
        made.with_context(|| format!("make a place for {path}"))?;
    }
    Ok(())
}

fn make_place(place: &Path, directory: bool) -> std::io::Result<()> {
    match directory {
        false => fs::write(place, ""),
        true => fs::create_dir(place).or_else(|error| if place.is_dir() { Ok(()) } else { Err(error) }),
    }
}

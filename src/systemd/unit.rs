//! Names of units, from `cgroupsPath` under `--systemd-cgroup`: valid as systemd takes them (systemd.unit(5)), so that
//! what is wrong is said of the configuration, before anything is started.
use crate::error::WithHint;
use crate::printable::printable;
use anyhow::{Result, anyhow, bail, ensure};

/// With the byte that ends it systemd allows 256.
const LONGEST: usize = 255;
/// Where containers are that name no slice, below the user's own systemd.
const SLICE: &str = "user.slice";

/// A scope, as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The slice that it is in; a dash in its name leads one deeper.
    pub slice: Option<String>,
    /// Its name, with `.scope`.
    pub name: String,
    /// What `systemctl` shows beside.
    pub description: String,
}

impl Unit {
    /// The scope that `path` (`slice:prefix:name`) means for the container `id`: `prefix-name.scope` in `slice`. For
    /// an empty path it is `rrunc-ID.scope`, and where no slice is named, user.slice.
    ///
    /// # Errors
    /// It is not of that form, or not what systemd takes for a name.
    pub fn parse(path: &str, id: &str) -> Result<Unit> {
        let description = format!("rrunc container {id}");
        if path.is_empty() {
            let name = format!("rrunc-{}.scope", escape(id));
            check(&name).map_err(|why| anyhow!("the container's id gives the scope {name:?}: {why}"))?;
            return Ok(Unit { slice: Some(SLICE.to_owned()), name, description });
        }
        let parts: Vec<&str> = path.split(':').collect();
        let &[slice, prefix, name] = &parts[..] else {
            let expected = "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups";
            let error = anyhow!("linux.cgroupsPath: {expected}, got {path:?} instead");
            return Err(error).hint(|| format!("write \"user.slice:rrunc:{id}\", or leave it out"));
        };
        let slice = if slice.is_empty() { SLICE } else { slice };
        check_slice(slice).map_err(|why| anyhow!("linux.cgroupsPath: invalid slice name: {slice:?}: {why}"))?;
        if name.ends_with(".slice") {
            return Err(anyhow!("linux.cgroupsPath: {name:?} is a slice, and a container is put into a scope"))
                .hint(|| format!("write \"{name}:rrunc:{id}\" for a scope in that slice"));
        }
        ensure!(!name.is_empty(), "linux.cgroupsPath: {path:?} names no scope after the last colon");
        let name = format!("{prefix}-{name}.scope");
        check(&name).map_err(|why| anyhow!("linux.cgroupsPath: invalid name of a scope: {name:?}: {why}"))?;
        Ok(Unit { slice: Some(slice.to_owned()), name, description })
    }
}

/// An id of a container in the name of a unit, which may have all its characters but the plus sign.
fn escape(id: &str) -> String {
    id.replace('+', "\\x2b")
}

/// Whether systemd takes it for the name of a unit that can be started.
fn check(name: &str) -> Result<()> {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(*c);
    if let Some(other) = name.chars().find(|c| !allowed(c)) {
        bail!("systemd takes no {:?} there, only letters, digits and :-_.\\", printable(&other.to_string()));
    }
    ensure!(name.len() <= LONGEST, "it has {} characters, and systemd allows {LONGEST}", name.len());
    let stem = name.rsplit_once('.').map_or("", |(stem, _)| stem);
    // TEMPLATE@INSTANCE
    if let Some((template, instance)) = stem.split_once('@') {
        ensure!(!template.is_empty() && !instance.is_empty(), "there is nothing on one side of the @");
    }
    Ok(())
}

fn check_slice(name: &str) -> Result<()> {
    let Some(stem) = name.strip_suffix(".slice") else { bail!("it does not end in .slice") };
    ensure!(!stem.is_empty(), "there is nothing before .slice");
    ensure!(!stem.contains('@'), "slices have no instances");
    check(name)?;
    // `-.slice` is the one above all.
    ensure!(stem == "-" || stem.split('-').all(|part| !part.is_empty()), "a dash has a name on both sides");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{hint_of, one_line};

    fn parts(path: &str, id: &str) -> (String, String) {
        let unit = Unit::parse(path, id).unwrap();
        assert_eq!(unit.description, format!("rrunc container {id}"));
        (unit.slice.unwrap(), unit.name)
    }

    fn refused(path: &str) -> String {
        one_line(&Unit::parse(path, "c").unwrap_err())
    }

    #[test]
    fn a_path_of_three_parts_is_a_scope_in_a_slice() {
        let pair = |slice: &str, name: &str| (slice.to_owned(), name.to_owned());
        assert_eq!(parts("user.slice:libpod:0123ab", "x"), pair("user.slice", "libpod-0123ab.scope"));
        assert_eq!(parts("machine-web.slice:a:b", "x"), pair("machine-web.slice", "a-b.scope"));
        assert_eq!(parts(":docker:b.scope@1", "x"), pair("user.slice", "docker-b.scope@1.scope"));
        assert_eq!(parts("-.slice::b", "x"), pair("-.slice", "-b.scope"));
    }

    #[test]
    fn without_a_path_the_scope_is_named_after_the_container() {
        assert_eq!(parts("", "a_b-c.d").1, "rrunc-a_b-c.d.scope");
        assert_eq!(parts("", "c++"), ("user.slice".to_owned(), "rrunc-c\\x2b\\x2b.scope".to_owned()));
        let long = one_line(&Unit::parse("", &"x".repeat(244)).unwrap_err());
        assert!(long.ends_with("it has 256 characters, and systemd allows 255"), "{long}");
        assert_eq!(parts("", &"x".repeat(243)).1.len(), 255);
    }

    #[test]
    fn what_is_no_unit_is_refused_by_name() {
        for path in ["a", "/a/b", "user.slice:b", "a:b:c:d"] {
            let error = Unit::parse(path, "c").unwrap_err();
            let expected = format!(
                "linux.cgroupsPath: expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {path:?} instead"
            );
            assert_eq!(one_line(&error), expected);
            assert_eq!(hint_of(&error), Some("write \"user.slice:rrunc:c\", or leave it out"));
        }
        let error = Unit::parse("user.slice:a:b.slice", "c").unwrap_err();
        assert_eq!(one_line(&error), "linux.cgroupsPath: \"b.slice\" is a slice, and a container is put into a scope");
        assert_eq!(hint_of(&error), Some("write \"b.slice:rrunc:c\" for a scope in that slice"));
        for (path, why) in [
            ("user:a:b", "invalid slice name: \"user\": it does not end in .slice"),
            (".slice:a:b", "there is nothing before .slice"),
            ("a--b.slice:a:b", "a dash has a name on both sides"),
            ("-a.slice:a:b", "a dash has a name on both sides"),
            ("a-.slice:a:b", "a dash has a name on both sides"),
            ("a@b.slice:a:b", "slices have no instances"),
            ("../a.slice:a:b", "systemd takes no \"/\" there, only letters, digits and :-_.\\"),
            ("user.slice:a:", "\"user.slice:a:\" names no scope after the last colon"),
            ("user.slice:a:b c", "invalid name of a scope: \"a-b c.scope\": systemd takes no \" \" there"),
            ("user.slice:a:b+c", "systemd takes no \"+\" there"),
            ("user.slice:a:b/../c", "systemd takes no \"/\" there"),
            ("user.slice:ä:b", "systemd takes no \"ä\" there"),
            ("user.slice:a:b@", "there is nothing on one side of the @"),
            ("user.slice:@a:b", "there is nothing on one side of the @"),
        ] {
            let error = refused(path);
            assert!(error.starts_with("linux.cgroupsPath: ") && error.contains(why), "{path}: {error}");
        }
        assert!(refused(&format!("user.slice:a:{}", "x".repeat(248))).ends_with("systemd allows 255"));
    }
}

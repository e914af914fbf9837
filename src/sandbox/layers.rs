//! What lies in what: the mount around each place, and what follows from it. Nothing is made in the host's directories, what
//! is to be masked is there, and a directory on the way to it cannot be renamed.
use super::view::shown;
use crate::error::with_hint;
use crate::links;
use anyhow::{Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Mounts by their places, to be looked up by the directories above a place: there may be thousands.
#[derive(Default)]
pub struct Layers<'a>(BTreeMap<&'a Path, &'a Value>);

/// Where a mount is.
pub fn destination(mount: &Value) -> &Path {
    Path::new(mount["destination"].as_str().unwrap_or_default())
}

impl<'a> Layers<'a> {
    /// Of two at one place the last one is seen.
    pub fn of(mounts: &'a [Value]) -> Layers<'a> {
        Layers(mounts.iter().map(|mount| (destination(mount), mount)).collect())
    }

    /// The mount around a place, which is not at it.
    pub fn around(&self, place: &Path) -> Option<&'a Value> {
        place.ancestors().skip(1).find_map(|dir| self.0.get(dir).copied())
    }

    /// What of the host is seen at a place that is no mount itself: nothing where a file system of the sandbox's own is, or
    /// a file of the bundle.
    fn on_host(&self, place: &Path) -> Option<PathBuf> {
        let around = self.around(place).filter(|mount| mount["type"] == "none")?;
        let source = around["source"].as_str().map(Path::new).filter(|source| source.is_absolute())?;
        Some(source.join(place.strip_prefix(destination(around)).ok()?))
    }

    /// Whether the program may write at a place what is `path` of the host.
    pub fn writes(&self, place: &Path, path: &Path) -> bool {
        self.around(place).is_some_and(is_writable) && self.on_host(place).is_some_and(|seen| seen == path)
    }

    /// Whether something is mounted at a place or below.
    fn leads_to(&self, place: &Path) -> bool {
        self.0.range(place..).next().is_some_and(|(first, _)| first.starts_with(place))
    }

    /// Those of the places that there is something to mask at, which was found on the host: another mount may lie over it.
    pub fn seen(&self, places: Vec<PathBuf>) -> Vec<PathBuf> {
        let is_there = |place: &Path| self.on_host(place).is_some_and(|path| path.symlink_metadata().is_ok());
        places.into_iter().filter(|place| self.0.contains_key(place.as_path()) || is_there(place)).collect()
    }

    /// The directories on the way from where the program may write to what is mounted or `masked` in there, each a mount of
    /// its own over itself. Else it could be renamed with all that is in it: another put in its place would be free, and the
    /// next sandbox would not find what is to be masked.
    pub fn pins(&self, masked: &[PathBuf]) -> Vec<Value> {
        let mut pins = BTreeMap::new();
        for place in self.0.keys().copied().chain(masked.iter().map(PathBuf::as_path)) {
            let Some(around) = self.around(place).filter(|mount| is_writable(mount)) else { continue };
            let Some(source) = around["source"].as_str().map(Path::new) else { continue };
            let root = destination(around);
            for dir in place.ancestors().skip(1).take_while(|dir| *dir != root) {
                let source = source.join(dir.strip_prefix(root).unwrap_or(dir));
                if is_plain_directory(&source) {
                    pins.entry(dir).or_insert_with(|| shown(&source, dir, true));
                }
            }
        }
        pins.into_values().collect()
    }

    /// Refuses to start in a directory that the user has named, and that would be made, empty, where the user's own is meant;
    /// or would be made in a directory of the host's.
    pub fn check_start(&self, dir: &Path) -> Result<()> {
        if self.leads_to(dir) {
            return Ok(());
        }
        let shown = dir.display();
        if let Some(path) = self.on_host(dir) {
            return match path.exists() {
                true => Ok(()),
                false => Err(anyhow!("--chdir {shown}: it is not there"))
                    .map_err(|error| with_hint(error, "make it first: nothing is made in the host's directories")),
            };
        }
        if dir.is_dir() {
            let hint = format!("show it with --bind {shown}, or --ro-bind {shown}");
            return Err(with_hint(anyhow!("--chdir {shown}: it is not in the sandbox's view"), hint));
        }
        Ok(())
    }
}

/// Takes those of the mounts, which are in order, away that have no place in a directory of the host's: a mount point made
/// there would stay behind.
///
/// # Errors
/// When that is an `important` one.
pub fn without_stubs(mounts: Vec<Value>, important: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
    let mut kept = Layers::default();
    let mut fits = Vec::new();
    for mount in &mounts {
        let place = destination(mount);
        let missing = kept.on_host(place).and_then(|path| Some((is_missing(&kept, place, &path)?, path)));
        fits.push(missing.is_none());
        match missing {
            None => {
                kept.0.insert(place, mount);
            }
            // What is shown in its own place is protected there.
            Some((Missing::Link, path))
                if important(mount) || Path::new(mount["source"].as_str().unwrap_or_default()) == path =>
            {
                let error = anyhow!("{} is not used: a link is in its way, {}", place.display(), path.display());
                let hint =
                    "name the place that the link leads to; or see that no other sandbox of this project changes it";
                return Err(with_hint(error, hint));
            }
            Some((_, path)) if important(mount) => {
                let error = anyhow!("{} is not there: the host has no {}", place.display(), path.display());
                let hint = "make it first, or choose another place: nothing is made in the host's directories";
                return Err(with_hint(error, hint));
            }
            Some((_, path)) => log::debug!("{} is not shown: the host has no {}", place.display(), path.display()),
        }
    }
    let mut fits = fits.into_iter();
    Ok(mounts.into_iter().filter(|_| fits.next() == Some(true)).collect())
}

/// Why nothing is mounted at a place.
enum Missing {
    Nothing,
    Link,
}

/// Whether `place`, which is `path` on the host, is not there to mount on. A link is not: init follows none.
fn is_missing(kept: &Layers, place: &Path, path: &Path) -> Option<Missing> {
    let open = |path: &Path| links::open(path, OFlag::O_PATH, Mode::empty());
    match open(path) {
        Ok(_) => None,
        Err(Errno::ELOOP) => {
            // What is around may be shown by way of a link itself (/bin).
            let around = kept.around(place)?;
            let source = Path::new(around["source"].as_str().unwrap_or_default()).canonicalize().ok()?;
            let real = source.join(place.strip_prefix(destination(around)).ok()?);
            open(&real).is_err().then_some(Missing::Link)
        }
        Err(_) => Some(Missing::Nothing),
    }
}

/// Whether it is of the host's files, and they may be changed.
fn is_writable(mount: &Value) -> bool {
    let options = mount["options"].as_array().into_iter().flatten();
    mount["type"] == "none" && !options.filter_map(Value::as_str).any(|option| matches!(option, "ro" | "rro"))
}

/// Whether it is a directory, and no link to one.
pub fn is_plain_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mount(place: &str, kind: &str, source: &str) -> Value {
        json!({"destination": place, "type": kind, "source": source, "options": []})
    }

    #[test]
    fn what_is_seen_at_a_place_is_told_by_the_mount_around_it() {
        let mounts = [
            mount("/home", "none", "/usr"),
            mount("/home/u", "tmpfs", "tmpfs"),
            mount("/home/u/p", "none", "/bin"),
            mount("/home/u/p", "none", "/etc"),
        ];
        let layers = Layers::of(&mounts);
        let on_host = |place: &str| layers.on_host(Path::new(place));
        assert_eq!(on_host("/home/bin"), Some("/usr/bin".into()));
        assert_eq!(on_host("/home/u/bin"), None);
        assert_eq!(on_host("/home/u/p/passwd"), Some("/etc/passwd".into()), "the last one at a place");
        assert_eq!(on_host("/home/ux/y"), Some("/usr/ux/y".into()), "names are whole");
        assert_eq!(on_host("/home"), None);
        let places = ["/home/bin", "/home/none", "/home/u", "/home/u/x", "/home/u/p/passwd"].map(PathBuf::from);
        assert_eq!(layers.seen(places.to_vec()), ["/home/bin", "/home/u", "/home/u/p/passwd"].map(PathBuf::from));
    }

    #[test]
    fn a_mount_without_a_place_is_left_out_or_refused() {
        let mounts =
            || vec![mount("/h", "none", "/etc"), mount("/h/no", "none", "/"), mount("/h/no/usr", "none", "/usr")];
        let left = without_stubs(mounts(), |_| false).unwrap();
        assert_eq!(left, mounts()[..1]);
        let error = without_stubs(mounts(), |mount| destination(mount) == Path::new("/h/no/usr")).unwrap_err();
        assert!(error.to_string().contains("/etc/no/usr"), "{error}");
        assert_eq!(
            without_stubs(vec![mount("/h", "tmpfs", "t"), mount("/h/no", "none", "/")], |_| true).unwrap().len(),
            2
        );
    }
}

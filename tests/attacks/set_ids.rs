//! Row 10b: files that are somebody's rights for everybody else.
use super::payloads;
use super::sandbox::{assert_all, changed, results, without_filter};
use crate::support::Place;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// Those files below the project that are anybody's way to the caller's ids.
fn set_ids(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.project()).expect("read the project").flatten();
    let set = entries.filter(|entry| entry.metadata().is_ok_and(|meta| meta.is_file() && meta.mode() & 0o6000 != 0));
    set.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn row_10b_no_call_makes_a_set_id_file_in_the_project() {
    let place = Place::new();
    for options in
        [&[][..], &["--as-root"], &["--userns"], &["--cap-add", "FSETID"], &["--security-opt", "seccomp=strict"]]
    {
        let inside = results(&payloads::in_sandbox(&place, options, "set_ids::every_way").success().stdout);
        let refused = |end: &str| end == "EPERM" || end == "ENOSYS";
        assert!(inside.len() > 30 && inside.iter().all(|(_, end)| refused(end)), "{options:?}: {inside:?}");
        assert_eq!(set_ids(&place), [""; 0], "{options:?}");
    }
    // The first control: without the filter each of them does it.
    let open = changed(&place, &[], "set_ids::every_way", without_filter);
    assert_all(&open, open.len(), "set");
    assert!(set_ids(&place).len() > 30);
    // The second: what has no such bit is made and opened.
    let fine = results(&payloads::in_sandbox(&place, &[], "set_ids::harmless").success().stdout);
    assert_all(&fine, 3, "true");
}

#[test]
fn row_10b_tools_that_meet_set_id_files_go_on() {
    let place = Place::new();
    fs::create_dir(place.project().join("shared")).expect("mkdir");
    fs::set_permissions(place.project().join("shared"), fs::Permissions::from_mode(0o2775)).expect("chmod");
    // The bit of a directory comes from the one above, not from a call. Whose owner cannot be had loses the bits in a copy.
    let script = "mkdir shared/sub && test -g shared/sub && cp -p /usr/bin/passwd . && test ! -u passwd && \
                  cp -a shared again; install -m 0755 /usr/bin/id own && umask 0 && : >new && mkdir dir && chmod 1777 dir";
    place.sh(&[], script).success();
    // What asks for them is told.
    place.sh(&[], "install -m 4755 /usr/bin/id own").fails(1, &["Operation not permitted"]);
    place.outside("install -m 4755 /usr/bin/id own && test -u own").success();
}

//! Rows 12 and 15: what the host does while a sandbox runs stays outside: what it mounts, and what its processors are busy with.
use crate::support::place::write;
use crate::support::{Place, find_program, runtime};
use std::fs;

/// On a host with shared mounts, as every one with systemd is: runs `call` in the project, has it wait for `go`, and mounts
/// something below the project meanwhile. What `call` printed.
fn with_a_late_mount(place: &Place, call: &str) -> String {
    write(&place.project().join("look"), LOOK);
    fs::create_dir_all(place.project().join("vault")).expect("mkdir");
    let script = format!(
        "mount --make-rshared / && {call} >seen 2>&1 & rrunc=$!
         for i in $(seq 3000); do grep -q waiting seen 2>/dev/null && break; sleep 0.01; done
         mount -t tmpfs t vault && echo LATE-SECRET >vault/secret && touch go
         wait $rrunc; test -e vault/planted && echo planted >>seen; umount vault; rm -f go; cat seen; rm seen"
    );
    let arguments = ["--user", "--map-root-user", "--mount", "sh", "-c", &script];
    let unshare = find_program("unshare").expect("unshare");
    place.call_program(&unshare, &arguments).cwd(&place.project()).run().success().stdout
}

const LOOK: &str = "echo waiting
for i in $(seq 3000); do [ -e go ] && break; sleep 0.01; done
[ -e go ] && echo went
cat vault/secret 2>/dev/null; echo planted 2>/dev/null >vault/planted; true
";

#[test]
fn row_15_what_the_host_mounts_later_does_not_appear_inside() {
    let place = Place::new();
    let sandbox = format!("{} sandbox", runtime().display());
    for flags in ["--read-only", "", "--userns --read-only"] {
        let seen = with_a_late_mount(&place, &format!("{sandbox} {flags} -- sh look"));
        assert_eq!(seen, "waiting\nwent\n", "{flags}");
        fs::remove_file(place.project().join("vault/planted")).ok();
    }
    // The control: the same bundle whose mounts follow the host's.
    let bundle = place.dir().join("written");
    let written =
        place.sandbox(&["--read-only", "--write-bundle", bundle.to_str().expect("plain"), "--", "sh", "look"]);
    written.run().success();
    let config = fs::read_to_string(bundle.join("config.json")).expect("read");
    let mut config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
    assert_eq!(config["linux"]["rootfsPropagation"], "rprivate");
    config["linux"]["rootfsPropagation"] = "rslave".into();
    // Ids of the namespace that it runs in.
    for ids in ["uidMappings", "gidMappings"] {
        config["linux"][ids][0]["hostID"] = 0.into();
    }
    write(&bundle.join("config.json"), &config.to_string());
    let seen = with_a_late_mount(&place, &format!("{} run -b {} c", runtime().display(), bundle.display()));
    assert!(seen.contains("LATE-SECRET") && seen.ends_with("planted\n"), "{seen}");
}

#[test]
fn row_12_what_the_hosts_machine_is_busy_with_is_masked_in_a_sandbox_too() {
    let place = Place::new();
    let script = "cat /proc/interrupts /proc/timer_list /proc/keys 2>/dev/null | wc -c; ls -A /sys/devices/virtual/powercap 2>/dev/null; true";
    place.sh(&[], script).success().prints("0\n");
    // The control.
    assert_ne!(place.outside("wc -c </proc/interrupts").success().line(), "0");
}

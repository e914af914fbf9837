//! What concerns the configuration as a whole: its version, annotations and hooks. A hook that could not run is an error
//! here and not in the middle of `start` or `delete`.
use super::Findings;
use super::process::NAME_AND_VALUE;
use oci_spec::runtime::{Hook, Spec};

/// The hooks of the configuration, in the order they run.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    /// In create, runtime namespaces (deprecated in the spec, still widely used).
    pub prestart: Vec<Hook>,
    /// In create, runtime namespaces.
    pub create_runtime: Vec<Hook>,
    /// In create, container namespaces, before pivot_root.
    pub create_container: Vec<Hook>,
    /// In start, inside the container.
    pub start_container: Vec<Hook>,
    /// After start, runtime namespaces.
    pub poststart: Vec<Hook>,
    /// After delete, runtime namespaces.
    pub poststop: Vec<Hook>,
}

impl Hooks {
    /// The hooks of `spec`.
    pub fn of(spec: &Spec) -> Hooks {
        let Some(hooks) = spec.hooks() else { return Hooks::default() };
        let list = |hooks: &Option<Vec<Hook>>| hooks.clone().unwrap_or_default();
        Hooks {
            #[allow(deprecated, reason = "the spec deprecates prestart, its users do not")]
            prestart: list(hooks.prestart()),
            create_runtime: list(hooks.create_runtime()),
            create_container: list(hooks.create_container()),
            start_container: list(hooks.start_container()),
            poststart: list(hooks.poststart()),
            poststop: list(hooks.poststop()),
        }
    }
}

pub(super) fn check(spec: &Spec, findings: &mut Findings) {
    check_version(spec.version(), findings);
    if spec.annotations().as_ref().is_some_and(|all| all.contains_key("")) {
        findings.problem("annotations", "a key must not be empty");
    }
    let hooks = Hooks::of(spec);
    for (kind, list) in [
        ("prestart", hooks.prestart),
        ("createRuntime", hooks.create_runtime),
        ("createContainer", hooks.create_container),
        ("startContainer", hooks.start_container),
        ("poststart", hooks.poststart),
        ("poststop", hooks.poststop),
    ] {
        for (i, hook) in list.iter().enumerate() {
            check_hook(&format!("hooks.{kind}[{i}]"), hook, findings);
        }
    }
}

/// config.md, "Specification version": any 1.x is accepted, and so is a pre-release of it.
fn check_version(version: &str, findings: &mut Findings) {
    match major(version) {
        // Early 1.0 candidates are what old tools still write.
        Some(0 | 1) => {}
        Some(_) => findings.problem("ociVersion", format!("{version} is not supported: rrunc knows 1.x")),
        None => findings.mendable(
            "ociVersion",
            format!("{version:?} is not a semantic version"),
            "write three numbers, those of the specification that the configuration follows: \"1.0.2\"",
        ),
    }
}

/// The major number of a semantic version (semver.org, 2.0.0).
fn major(version: &str) -> Option<u64> {
    let (version, build) = version.split_once('+').map_or((version, None), |(v, build)| (v, Some(build)));
    let (core, candidate) = version.split_once('-').map_or((version, None), |(core, rest)| (core, Some(rest)));
    let numeric = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| numeric(text) && (text == "0" || !text.starts_with('0'));
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let sound = build.is_none_or(|build| build.split('.').all(word))
        && candidate.is_none_or(|rest| rest.split('.').all(|part| word(part) && (!numeric(part) || number(part))));
    let numbers: Vec<&str> = core.split('.').collect();
    if !sound || numbers.len() != 3 || !numbers.iter().copied().all(number) {
        return None;
    }
    numbers[0].parse().ok()
}

/// config.md, "POSIX-platform Hooks". A hook of the container is not looked up: what is at its path may change.
fn check_hook(at: &str, hook: &Hook, findings: &mut Findings) {
    if !hook.path().is_absolute() {
        findings.problem(&format!("{at}.path"), format!("{} must be absolute", hook.path().display()));
    }
    if let Some(seconds) = hook.timeout().filter(|seconds| *seconds <= 0) {
        findings.problem(&format!("{at}.timeout"), format!("{seconds} must be greater than zero"));
    }
    for (i, entry) in hook.env().iter().flatten().enumerate() {
        if entry.split_once('=').is_none_or(|(name, _)| name.is_empty()) {
            let problem = format!("invalid environment variable {entry:?}: missing '='");
            findings.mendable(&format!("{at}.env[{i}]"), problem, NAME_AND_VALUE);
        }
    }
    let texts = hook.args().iter().flatten().chain(hook.env().iter().flatten());
    if let Some(text) = texts.map(String::as_str).chain(hook.path().to_str()).find(|text| text.contains('\0')) {
        findings.problem(at, format!("{text:?} holds a NUL byte"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn problems(member: &str, value: Value) -> Vec<String> {
        let mut config = json!({"ociVersion": "1.0.0"});
        config[member] = value;
        let mut findings = Findings::default();
        check(&serde_json::from_value(config).unwrap(), &mut findings);
        findings.problems
    }

    #[test]
    fn every_version_of_1_is_taken_and_what_is_no_version_refused() {
        for good in ["1.0.0", "1.0.2-dev", "1.99.0", "1.3.0+build.01", "1.0.0-rc.1-x.0+a-b", "0.6.0-dev"] {
            assert_eq!(problems("ociVersion", json!(good)), Vec::<String>::new(), "{good}");
        }
        for bad in [
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "v1.0.0",
            "01.0.0",
            "1.0.00",
            "1.0.0-",
            "1.0.0+",
            "1.0.0-01",
            "1.0.0-a..b",
            "1.0.0-ä",
            " 1.0.0",
            "1.+1.0",
            "1.0.0+a+b",
        ] {
            let found = problems("ociVersion", json!(bad));
            assert!(found.len() == 1 && found[0].contains("is not a semantic version"), "{bad}: {found:?}");
        }
        assert_eq!(problems("ociVersion", json!("2.0.0")), ["ociVersion: 2.0.0 is not supported: rrunc knows 1.x"]);
    }

    #[test]
    fn an_annotation_has_a_key_and_need_not_have_a_value() {
        assert_eq!(
            problems("annotations", json!({"a": "", "org.opencontainers.image.os": "plan9"})),
            Vec::<String>::new()
        );
        assert_eq!(problems("annotations", json!({"": "a"})), ["annotations: a key must not be empty"]);
    }

    #[test]
    fn a_hook_that_cannot_run_is_refused_whenever_it_would() {
        for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
            let of = |hook: Value| {
                let good = json!({"path": "/bin/true", "args": ["true"], "env": ["A=", "B=c=d"], "timeout": 1});
                problems("hooks", json!({kind: [good, hook]}))
            };
            assert_eq!(of(json!({"path": "/no/such/file"})), Vec::<String>::new(), "{kind}: looked at when it runs");
            for (hook, text) in [
                (json!({"path": "bin/true"}), ".path: bin/true must be absolute"),
                (json!({"path": "/a", "timeout": 0}), ".timeout: 0 must be greater than zero"),
                (json!({"path": "/a", "timeout": -3}), ".timeout: -3 must be greater than zero"),
                (json!({"path": "/a", "env": ["A"]}), ".env[0]: invalid environment variable \"A\": missing '='"),
                (json!({"path": "/a", "env": ["=A"]}), ".env[0]: invalid environment variable \"=A\": missing '='"),
                (json!({"path": "/a", "args": ["a\0b"]}), ": \"a\\0b\" holds a NUL byte"),
            ] {
                assert_eq!(of(hook), [format!("hooks.{kind}[1]{text}")]);
            }
        }
    }
}

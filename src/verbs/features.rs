//! `features`: what this binary supports, as the OCI features document (features.md). Fixed at compile time: what the
//! host lacks does not show.
use super::Outcome;
use crate::state::OCI_VERSION;

const DOCUMENT: &str = include_str!("../../profiles/features.json.in");

/// Runs the verb.
pub fn run() -> Outcome {
    DOCUMENT.replace("OCI_VERSION", OCI_VERSION).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{Capability, Features, MemoryPolicyFlagType, MemoryPolicyModeType};

    #[test]
    fn the_document_reads_back_and_names_only_what_there_is() {
        let output = run().output;
        let features: Features = serde_json::from_str(&output).unwrap();
        assert_eq!(features.oci_version_max(), OCI_VERSION);
        let document: serde_json::Value = serde_json::from_str(&output).unwrap();
        let names = document["linux"]["capabilities"].as_array().unwrap();
        assert_eq!(names.len(), 41, "CAP_CHOWN to CAP_CHECKPOINT_RESTORE");
        for name in names {
            serde_json::from_value::<Capability>(name.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let policy = &document["linux"]["memoryPolicy"];
        for mode in policy["modes"].as_array().unwrap() {
            serde_json::from_value::<MemoryPolicyModeType>(mode.clone()).unwrap_or_else(|e| panic!("{mode}: {e}"));
        }
        for flag in policy["flags"].as_array().unwrap() {
            serde_json::from_value::<MemoryPolicyFlagType>(flag.clone()).unwrap_or_else(|e| panic!("{flag}: {e}"));
        }
        let options: Vec<_> =
            document["mountOptions"].as_array().unwrap().iter().map(|o| o.as_str().unwrap()).collect();
        assert!(options.is_sorted() && options.contains(&"rro"));
    }
}

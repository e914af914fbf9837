//! Patterns of files below what was granted.
use crate::error::with_hint;
use ::glob::Pattern;
use anyhow::{Result, anyhow, bail};

/// One part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Name(String),
    /// With what every match of it begins and ends with: comparing that is quick.
    Glob(Pattern, String, String),
    Any,
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(pub(super) Vec<Part>);

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Absolute, or upwards, or no pattern at all.
    pub fn parse(text: &str) -> Result<Glob> {
        let parts = text.split('/').filter(|part| !part.is_empty() && *part != ".").map(|part| match part {
            ".." => bail!("{text:?} leads upwards"),
            "**" => Ok(Part::Any),
            _ if part.contains(['*', '?', '[']) => {
                let pattern = Pattern::new(part).map_err(|e| anyhow!("{text:?}: {}", e.msg));
                let prefix = part.split(['*', '?', '[']).next().unwrap_or_default().to_owned();
                let suffix = part.rsplit(['*', '?', ']']).next().unwrap_or_default().to_owned();
                pattern.map(|pattern| Part::Glob(pattern, prefix, suffix))
            }
            _ => Ok(Part::Name(part.to_owned())),
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let from_root = text.starts_with('/') || text.starts_with("~/");
        if from_root || parts.is_empty() || parts.last() == Some(&Part::Any) {
            return Err(with_hint(
                anyhow!("{text:?} is no pattern of files below what is granted"),
                "write `secrets/*.key`, or `**/*.pem` for any depth",
            ));
        }
        Ok(Glob(parts))
    }
}

impl Part {
    /// Whether it is the pattern of this name.
    pub(super) fn is(&self, name: &str) -> bool {
        match self {
            Part::Name(own) => own == name,
            Part::Glob(pattern, prefix, suffix) => {
                name.starts_with(prefix.as_str()) && name.ends_with(suffix.as_str()) && pattern.matches(name)
            }
            Part::Any => true,
        }
    }
}

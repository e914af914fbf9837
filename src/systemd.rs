//! stub
use anyhow::{Result, bail};
use std::path::PathBuf;
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub slice: Option<String>,
    pub name: String,
    pub description: String,
}
impl Unit {
    pub fn parse(_: &str, id: &str) -> Result<Unit> {
        Ok(Unit { slice: None, name: format!("rrunc-{id}.scope"), description: String::new() })
    }
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property;
pub fn start_scope(_: &Unit, _: &[i32], _: &[Property]) -> Result<PathBuf> {
    bail!("stub")
}
pub fn set_properties(_: &str, _: &[Property]) -> Result<()> {
    bail!("stub")
}
pub fn stop(_: &str) -> Result<()> {
    bail!("stub")
}
pub fn is_there() -> bool {
    false
}
pub fn attach(_: &str, _: &std::path::Path, _: &[i32]) -> Result<()> {
    bail!("stub")
}

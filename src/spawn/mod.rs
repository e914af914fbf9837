//! stub
pub mod gate;
pub mod wire;

//! Properties that hold for any input. `tests/hostile_*.rs` test them with a fixed number of inputs, `fuzz/` for any time. A
//! property that does not hold panics.

#![allow(dead_code, missing_docs)] // each program that includes this module uses a part of it
#![allow(clippy::unwrap_used)] // a property that does not hold panics

pub mod arguments;
pub mod bash;
pub mod files;
pub mod input;
pub mod parsers;

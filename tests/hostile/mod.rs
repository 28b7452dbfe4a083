//! What has to hold whatever comes in: properties of bytes. `tests/hostile_*.rs` try them with a fixed number of cases,
//! `fuzz/` for as long as one likes. A property that does not hold panics.

#![allow(dead_code, missing_docs)] // each program that has this uses a part of it
#![allow(clippy::unwrap_used)] // a property that does not hold panics

pub mod bash;
pub mod input;
pub mod places;
pub mod reading;
pub mod words;

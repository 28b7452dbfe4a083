//! netns-update: which units and drop-ins there should be. [`look`] reads what there is, [`plan`] compares, [`apply`] acts; the command
//! reports.

mod apply;
mod look;
mod plan;

pub use apply::{apply, finish, pending};
pub use look::{Machine, Scope};
pub use plan::plan;

//! netns-update: keeps the units and drop-ins up to date. [`machine`] reads the current state, [`plan`] compares it with the
//! wanted state, [`apply`] makes the changes. The command prints the reports.

mod apply;
mod machine;
mod plan;

pub use apply::{apply, reload, reload_pending};
pub use machine::{Machine, Scope};
pub use plan::plan;

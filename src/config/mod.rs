//! The files of an instance: [`plugin`] finds the types, [`declaration`] and [`about`] read what a plugin says of itself, [`layers`] are
//! the files that bash reads, [`plain`] those that only set variables, [`remembered`] the values that an instance keeps.

pub mod about;
pub mod declaration;
pub mod layers;
pub mod plain;
pub mod plugin;
pub mod remembered;

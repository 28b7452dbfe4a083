//! The files of an instance: [`plugin`] finds the types, [`declaration`] and [`about`] read what a plugin says of itself, [`layers`] are
//! the files that bash reads, [`plain`] those that only set variables, [`remembered`] the values that an instance keeps.

pub mod declaration;
pub mod header;
pub mod layers;
pub mod parse;
pub mod plugin;
pub mod remembered;

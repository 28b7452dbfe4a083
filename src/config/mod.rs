//! The configuration files of an instance:
//!
//! - [`plugin`] finds plugins and lists the types;
//! - [`declaration`] reads the declarations of a plugin, for the host;
//! - [`header`] reads the description and the settings of a plugin, for users;
//! - [`layers`] reads the files that bash sources;
//! - [`parse`] parses files that only set variables and define functions, without bash;
//! - [`remembered`] manages the values that an instance remembers between its hooks.

pub mod declaration;
pub mod header;
pub mod layers;
pub mod parse;
pub mod plugin;
pub mod remembered;

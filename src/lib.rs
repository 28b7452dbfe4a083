//! systemd-netns: a host for bash plugins that configure network namespaces.
//!
//! A hook is one call of one function of a plugin. Its data flows one way:
//!
//! ```text
//! words -> name -> plugin -> layers -> wrapper -> hook -> bash
//! ```
//!
//! [`name`] turns words into types, [`plugin`] and [`layers`] find the files, [`wrapper`] writes the bash text that
//! sources them (with `runtime.sh` in front, the functions that plugins may call), and [`hook`] becomes bash on it.
//! [`netns`] is the kernel's side: create, delete, enter and identify namespaces. [`units`] keeps the systemd units of
//! every type, by a plan that is then applied. [`requires`] tells which instances come before which. [`engine`] brings them
//! up, by those units or, where systemd does not run, by itself; [`gc`] finds and removes what nobody needs. [`trust`] says
//! who could have written what is run. [`firewall`] keeps a namespace closed until its rules are loaded. [`attach`] puts
//! services into namespaces. [`run_as`] runs a command as another user. [`graph`] draws what there is, [`leaktest`] measures
//! what gets out. [`foreign`] makes text from outside safe to print. [`paths`] is the only place that spells a directory, [`cli`] the only one
//! that reads arguments; [`commands`] has one short file for each applet.

pub mod argv;
pub mod attach;
pub mod bash;
pub mod check;
pub mod commands;
pub mod config;
pub mod engine;
pub mod exit;
pub mod firewall;
pub mod gc;
pub mod graph;
pub mod hook;
pub mod leaktest;
pub mod lifecycle;
pub mod name;
pub mod netlink;
pub mod netns;
pub mod paths;
pub mod print;
pub mod requires;
pub mod run;
pub mod sys;
pub mod systemd;
pub mod trust;
pub mod update;

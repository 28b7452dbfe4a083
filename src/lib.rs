//! systemd-netns: a host for bash plugins that configure network namespaces.
//!
//! A hook is one call of one function of a plugin. Its data flows one way:
//!
//! ```text
//! words -> name -> plugin -> layers -> wrapper -> bash
//! ```
//!
//! Each folder is a room. A room imports from earlier ones only, in this order (`tests/rooms.rs`):
//!
//! - [`name`] the words of a command line as types, [`paths`] every directory below one root, [`argv`] what this process was called by,
//!   [`exit`] its status, [`print`] all that it prints, [`sys`] files, processes, signals;
//! - [`netlink`] what the kernel says of networks, [`config`] the files of an instance, [`trust`] who could have written them, [`bash`] the
//!   texts that bash is given and what it answers, [`netns`] the namespaces themselves, [`systemd`] units and their files;
//! - [`firewall`] a namespace is closed until its rules are loaded, [`hook`] one hook, [`requires`] what comes before an instance,
//!   [`engine`] who brings it up;
//! - [`lifecycle`], [`attach`], [`update`], [`run`], [`leaktest`], [`gc`], [`graph`], [`status`], [`check`]: one capability each;
//! - [`commands`] one short file a verb.

mod argv;
mod attach;
mod bash;
mod check;
mod commands;
mod config;
mod engine;
mod exit;
mod firewall;
mod gc;
mod graph;
mod hook;
mod leaktest;
mod lifecycle;
mod name;
mod netlink;
mod netns;
mod paths;
mod print;
mod requires;
mod run;
mod status;
mod sys;
mod systemd;
mod trust;
mod update;

/// What `main` needs.
pub mod entry {
    pub use crate::argv::keep;
    pub use crate::commands::run;
    pub use crate::exit::{NotStarted, Status};
    pub use crate::print::error as print_error;
}

/// The one door for tests, fuzzing and benchmarks. Nobody else links this library, so all else is private, and the compiler tells what
/// is not used.
#[doc(hidden)]
pub mod internals {
    pub use crate::commands::{Ctl, InitArgs, NftSaveArgs, UpdateArgs};
    pub use crate::config::parse::assignments;
    pub use crate::name::{Instance, NsName, NsType, Target};
    pub use crate::paths::Paths;

    pub mod engine {
        pub use crate::engine::{Condition, active, state, systemd::instances};
    }
    pub mod explain {
        pub use crate::bash::explain::parse;
    }
    pub mod gc {
        pub use crate::gc::{What, find};
    }
    pub mod hook {
        pub use crate::hook::parse;
    }
    pub mod netlink {
        pub use crate::netlink::{for_each_answer, parse_link, parse_policy};
    }
    pub mod netns {
        pub use crate::netns::{create, delete, enter, names, ownership};
    }
    pub mod plugin {
        pub use crate::config::plugin::{configured, list};
    }
    pub mod requires {
        pub use crate::requires::Graph;
    }
    pub mod systemd {
        pub use crate::systemd::journal::messages;
        pub use crate::systemd::show::Properties;
        pub use crate::systemd::systemctl::{Loaded, Systemctl, parse};
        pub use crate::systemd::unit_files::templates;
    }
    pub mod update {
        pub use crate::update::plan;
    }
}

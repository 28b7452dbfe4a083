//! systemd-netns: runs bash plugins that configure network namespaces.
//!
//! A hook is one call of a function of a plugin. Data flows in one direction:
//!
//! ```text
//! arguments -> name -> plugin -> layers -> wrapper -> bash
//! ```
//!
//! Each folder of `src/`, and each file beside the folders, is called a room. A room imports only from rooms that are earlier in
//! this list (`tests/rooms.rs` checks it):
//!
//! - [`name`]: types of names; [`paths`]: all directories, below one root; [`argv`]: the command line; [`exit`]: the exit status;
//!   [`print`]: all output; [`sys`]: files, processes, signals;
//! - [`netlink`]: queries to the kernel; [`config`]: the files of an instance; [`trust`]: the permissions of these files;
//!   [`bash`]: the scripts for bash and their answers; [`netns`]: namespaces; [`systemd`]: units and their files;
//! - [`firewall`]: closes a namespace until its rules are loaded; [`library`]: the objects of plugins; [`hook`]: runs one hook; [`requires`]: the requirements of an
//!   instance; [`engine`]: brings instances up and down;
//! - [`lifecycle`], [`attach`], [`update`], [`run`], [`leaktest`], [`gc`], [`graph`], [`status`], [`check`]: one capability each;
//! - [`commands`]: one short file for each verb.

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
mod library;
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
mod watch;

/// The interface of `main`.
pub mod entry {
    pub use crate::argv::keep;
    pub use crate::commands::run;
    pub use crate::exit::{NotStarted, Status};
    pub use crate::print::error as print_error;
}

/// The interface of tests, fuzzing and benchmarks. No other program links this library. All other items are private, so the compiler
/// finds unused ones.
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
        pub use crate::gc::{OrphanKind, find};
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
        pub use crate::requires::parents::Parents;
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

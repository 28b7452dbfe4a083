//! What the kernel says of the network that this thread is in, by netlink(7): no process is started for it. `links` and
//! `routes` ask by `rtnetlink`, `nftables` and `trace` ask nf_tables; `message` is what both have in common.

mod links;
mod message;
mod nftables;
mod routes;
mod rtnetlink;
mod trace;

pub use links::{Link, link_in, links, namespace_number, set_down};
pub use message::walk;
pub use nftables::{Rules, filters, filters_anything, policy_in, rules, tables};
pub use routes::{Route, Way, routes, way};
pub use trace::{Decision, Header, Step, Traces};

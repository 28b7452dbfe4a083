//! What the kernel says of the network that this thread is in, by netlink(7): no process is started for it. `links` and
//! `routes` ask by `rtnetlink`, `nftables` and `trace` ask nf_tables; `message` is what both have in common.

mod links;
mod message;
mod nftables;
mod routes;
mod rtnetlink;
mod trace;

pub use links::{Link, parse_link, links, namespace_number, set_down};
pub use message::for_each_answer;
pub use nftables::{Rules, filters, filters_anything, parse_policy, rules, tables};
pub use routes::{Route, ChosenRoute, route_to, routes};
pub use trace::{Decision, Header, Step, Traces};

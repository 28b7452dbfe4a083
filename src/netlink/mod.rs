//! Queries the kernel about the network namespace of this thread, by netlink(7). `links` and `routes` use `rtnetlink`; `nftables`
//! and `trace` use nf_tables. `message` is the common part.

mod links;
mod message;
mod nftables;
mod routes;
mod rtnetlink;
mod trace;

pub use links::{Link, links, namespace_id, parse_link, set_down};
pub use message::for_each_answer;
pub use nftables::{Rules, filters, filters_anything, parse_policy, rules, tables};
pub use routes::{ChosenRoute, Route, route_to, routes};
pub use trace::{Decision, Header, Step, Traces};

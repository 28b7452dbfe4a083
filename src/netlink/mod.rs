//! Queries and changes the network namespace of this thread, by netlink(7). `links` and `routes` use `rtnetlink`; `nftables`
//! and `trace` use nf_tables, `changes` both. `message` is the common part.

mod change;
mod changes;
mod delete;
mod fdb;
mod links;
mod message;
mod nftables;
mod routes;
mod rtnetlink;
mod trace;

pub use change::{
    LinkChange, Mac, VethEnd, add_veth, change_link, delete_address, move_link, rename_link, replace_address,
    replace_default_route, set_up,
};
pub use changes::HostChanges;
pub use delete::{delete_link, delete_link_early};
pub use fdb::{FloodEntry, add_flood_address, delete_flood_address, delete_flood_entry, flood_entries};
pub use links::{Link, link_at, link_named, links, namespace_id, parse_link, read_addresses};
pub use message::{KernelError, for_each_answer};
pub use nftables::{Rules, Table, filters, filters_anything, parse_policy, rules, tables};
pub use routes::{
    ChosenRoute, OwnRoute, Route, RouteKey, add_route, conflicting_route, default_links, delete_route,
    own_routes, route_to, routes,
};
pub use trace::{Decision, Header, Step, Traces};

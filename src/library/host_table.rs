//! `host_table_load`, `host_table_remove`: the nftables table of an instance on the host.

use std::io::{Read, stdin};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::record::{Object, Record};
use super::{Call, forward};
use crate::firewall::nft;
use crate::name::{Instance, Side};
use crate::netlink::{self, Table};
use crate::paths::Paths;

/// The start of the names of our tables.
pub const PREFIX: &str = "netns_";

/// The longest comment that nft(8) accepts (`NFTNL_UDATA_COMMENT_MAXLEN` in its sources, without the NUL).
const COMMENT_MAX: usize = 127;

/// The table of an instance. Its family is `inet`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostTable {
    name: String,
    /// The hook that has created the table. Another hook does not delete it after a failure.
    made_by: String,
    /// The last hook that has loaded the rules.
    #[serde(default)]
    loaded_by: String,
    /// Whether an inside hook has loaded the rules, so that a restart loads them again.
    inside: bool,
    /// The rules in force after they were loaded, as [`list`] returns them; `None` before.
    rules: Option<String>,
}

impl HostTable {
    /// Whether this hook has created the table.
    pub(super) fn is_of(&self, hook: &str) -> bool {
        self.made_by == hook
    }

    /// Whether an earlier inside hook has loaded the table, and `hook` has not.
    pub(super) fn is_stale(&self, hook: &str) -> bool {
        self.inside && self.loaded_by != hook
    }

    /// Whether a restart loads the rules.
    pub(super) fn is_made_by_restart(&self) -> bool {
        self.inside
    }

    /// Deletes the table for a hook. Returns that it does not stay.
    /// Errors: nft(8) fails.
    pub(super) fn undo(&self, call: &Call) -> Result<bool> {
        let _host = call.enter_host()?;
        call.trace(&format!("nft delete table inet {}", self.name));
        self.remove().map(|()| false)
    }

    /// Deletes the table, if it exists.
    /// Errors: nft(8) fails.
    pub(super) fn remove(&self) -> Result<()> {
        let name = &self.name;
        // In one transaction, this succeeds also without the table.
        nft::command(&format!("add table inet {name}; delete table inet {name}"))
            .with_context(|| format!("cannot delete the table 'inet {name}' on the host"))
    }

    /// The addresses of the namespace that the rules replace with those of the host, whatever their destination.
    fn masqueraded(&self) -> Vec<String> {
        let rules = self.rules.iter().flat_map(|rules| rules.lines());
        let rules = rules.filter_map(|rule| rule.trim().strip_suffix(" masquerade"));
        let sources = rules
            .filter(|rule| !rule.contains("ct status dnat"))
            .filter_map(|rule| Some(rule.split_once(" saddr ")?.1.trim_matches(['{', '}', ' '])));
        sources.flat_map(|set| set.split(", ")).map(ToOwned::to_owned).collect()
    }

    /// Compares the rules in force with those that were loaded.
    pub(super) fn drift(&self) -> Result<Vec<String>> {
        let what = format!("the table 'inet {}' on the host", self.name);
        if !netlink::tables()?.iter().any(|table| table.family == "inet" && table.name == self.name) {
            return Ok(vec![format!("{what} does not exist")]);
        }
        let is_same = self.rules.as_ref() == Some(&list(&self.name)?);
        Ok(if is_same { Vec::new() } else { vec![format!("{what} has changed since it was loaded")] })
    }
}

/// `host_table_load`: loads the table of the instance, in place of an earlier one, in one transaction. stdin has its contents. Then the
/// host forwards the packets of `host_forward`.
/// Errors: stdin is empty, another program has created a table of this name, or nft(8) refuses the rules. An earlier table stays.
pub fn load(call: &Call, arguments: &[&str]) -> Result<()> {
    ensure!(arguments.is_empty(), "expected no arguments: the contents of the table are read from stdin");
    let mut contents = String::new();
    stdin().read_to_string(&mut contents).context("cannot read the contents of the table from stdin")?;
    ensure!(!contents.trim().is_empty(), "expected the contents of the table on stdin");
    let mut record = call.record()?;
    let earlier = table_of(&record).cloned();
    let mut table = HostTable {
        name: name_of(&call.instance),
        made_by: earlier.as_ref().map_or(&call.hook, |earlier| &earlier.made_by).clone(),
        loaded_by: call.hook.clone(),
        inside: call.side == Side::Inside,
        rules: None,
    };
    let _host = call.enter_host()?;
    if earlier.is_none() {
        refuse_foreign(&table.name, &call.instance)?;
        // First, because a signal may end this process at any moment.
        record.push(Object::Table(table.clone()));
        record.save(call.paths)?;
    }
    let (name, comment) = (&table.name, comment_of(&call.instance));
    let head = format!(
        "add table inet {name}; delete table inet {name}; table inet {name} {{ comment \"{comment}\";"
    );
    let script = format!("{head}\n{}\n}}\n", contents.trim_end());
    call.trace(&format!("nft --file - <<'END'\n{script}END"));
    let loaded = nft::load(&script, 1);
    if loaded.is_err() && earlier.is_none() {
        record.retain(|object| !matches!(object, Object::Table(_)));
        record.save(call.paths)?;
    }
    loaded.with_context(|| format!("cannot load the table 'inet {name}' on the host"))?;
    table.rules = Some(list(name)?);
    record.retain(|object| !matches!(object, Object::Table(_)));
    record.push(Object::Table(table));
    record.save(call.paths)?;
    forward::switch_on(call)
}

/// `host_table_remove`: removes the table of the instance, if it has one.
/// Errors: nft(8) fails.
pub fn remove(call: &Call, arguments: &[&str]) -> Result<()> {
    ensure!(arguments.is_empty(), "expected no arguments");
    let mut record = call.record()?;
    let Some(table) = table_of(&record) else { return Ok(()) };
    table.undo(call)?;
    record.retain(|object| !matches!(object, Object::Table(_)));
    record.save(call.paths)
}

/// The addresses of the namespace that an instance replaces with those of the host. They are empty if the record cannot be read: another
/// function reports this.
#[must_use]
pub fn masqueraded(paths: &Paths, instance: &Instance) -> Vec<String> {
    let record = Record::read(paths, instance).ok();
    record.as_ref().and_then(table_of).map(HostTable::masqueraded).unwrap_or_default()
}

/// Errors: another program has created the table of the instance. A command that was killed may have left one with our comment, which is
/// replaced. Without nf_tables in the kernel, nft(8) reports the error.
fn refuse_foreign(name: &str, instance: &Instance) -> Result<()> {
    let tables = netlink::tables().unwrap_or_default();
    let is_foreign = tables
        .iter()
        .any(|table| table.family == "inet" && table.name == name && owner(table).as_ref() != Some(instance));
    ensure!(
        !is_foreign,
        "the table 'inet {name}' exists on the host already, and `{instance}` has not created it; \
         fix: `nft delete table inet {name}`"
    );
    Ok(())
}

/// The rules in force in a table, without the values that change by themselves: counters, and the elements of sets.
fn list(table: &str) -> Result<String> {
    let output = nft::run(&["--stateless", "--terse", "list", "table", "inet", table], b"")?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

fn table_of(record: &Record) -> Option<&HostTable> {
    record.objects().iter().find_map(|object| match object {
        Object::Table(table) => Some(table),
        _ => None,
    })
}

/// The name of the table of an instance. nft(8) accepts letters, digits, `_`, `.`, `-` and `/` in a name. The name of a namespace has no
/// `/`, and a type has no `-`, so the name of a table belongs to one instance. It has at most 238 characters, the limit is 255.
fn name_of(instance: &Instance) -> String {
    format!("{PREFIX}{}-{}", instance.nstype, instance.name).replace(':', "/")
}

/// The comment of the table of an instance.
fn comment_of(instance: &Instance) -> String {
    let mut comment = format!("systemd-netns {instance}");
    comment.truncate(COMMENT_MAX); // names are ASCII
    comment
}

/// The instance that a table on the host belongs to; `None` for a foreign table.
fn owner(table: &Table) -> Option<Instance> {
    let (nstype, name) = table.name.strip_prefix(PREFIX)?.split_once('-')?;
    let instance: Instance = format!("{nstype}@{}", name.replace('/', ":")).parse().ok()?;
    (table.family == "inet" && table.comment == comment_of(&instance)).then_some(instance)
}

/// A table of ours on the host that no record contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanTable {
    /// The instance.
    pub instance: Instance,
    /// The name.
    pub name: String,
    handle: u64,
}

impl OrphanTable {
    /// Deletes the table, but not a later one with the same name.
    /// Errors: nft(8) fails.
    pub fn remove(&self) -> Result<()> {
        nft::command(&format!("delete table inet handle {}", self.handle))
    }
}

/// The tables on the host, of which some may be orphans.
#[derive(Debug)]
pub struct HostTables(Vec<Table>);

impl HostTables {
    /// Lists the tables. Call this before anything else is read: a table is recorded before it is created.
    /// Without the right to list tables, or without nf_tables in the kernel, the list is empty.
    #[must_use]
    pub fn list() -> Self {
        Self(netlink::tables().unwrap_or_default())
    }

    /// The tables that no record contains. A table with an unusable record is left out.
    #[must_use]
    pub fn orphans(self, paths: &Paths) -> Vec<OrphanTable> {
        let ours = self.0.into_iter().filter_map(|table| {
            Some(OrphanTable { instance: owner(&table)?, name: table.name, handle: table.handle })
        });
        let is_orphan = |table: &OrphanTable| {
            Record::read(paths, &table.instance).is_ok_and(|record| table_of(&record).is_none())
        };
        ours.filter(is_orphan).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masqueraded_addresses_are_those_of_rules_for_all_destinations() {
        let rules = [
            "\t\tiifname \"ve-a0\" oifname != \"ve-a0\" ip saddr { 10.0.0.0/8, 192.0.2.0/30 } masquerade",
            "\t\tiifname \"ve-a0\" oifname \"eth0\" ip6 saddr 2001:db8::/64 masquerade",
            "\t\tct status dnat oifname \"ve-a0\" ip saddr 127.0.0.0/8 ip daddr 192.0.2.2 masquerade",
        ];
        let table = HostTable {
            name: String::new(),
            made_by: String::new(),
            loaded_by: String::new(),
            inside: true,
            rules: Some(rules.join("\n")),
        };
        assert_eq!(table.masqueraded(), ["10.0.0.0/8", "192.0.2.0/30", "2001:db8::/64"]);
    }

    #[test]
    fn a_table_has_the_instance_in_its_name_and_comment() {
        let long = format!("t@{}", "n".repeat(190));
        for text in ["veth@shop", "a.b_c@d.e:f-g", "t@1-2-3", long.as_str()] {
            let instance: Instance = text.parse().unwrap();
            let table = |name: &str, comment: &str| Table {
                name: name.to_owned(),
                family: "inet",
                handle: 1,
                comment: comment.to_owned(),
                flags: 0,
            };
            let (name, comment) = (name_of(&instance), comment_of(&instance));
            assert!(
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte)),
                "{name}"
            );
            assert_eq!(owner(&table(&name, &comment)), Some(instance));
            assert_eq!(owner(&table(&name, "")), None);
            assert_eq!(owner(&Table { family: "ip", ..table(&name, &comment) }), None);
        }
        let names = ["a@b:c", "a@b-c", "a@b.c", "a@b_c"].map(|text| name_of(&text.parse().unwrap()));
        assert_eq!(names, ["netns_a-b/c", "netns_a-b-c", "netns_a-b.c", "netns_a-b_c"]);
    }
}

//! Finds the nftables rules that accept or drop the packets of the attempts. A separate table marks only these packets for
//! tracing. The chains of the table run before all other chains, and accept every packet. The table belongs to an nft process
//! (nft(8), "owner"). nft ends when this process ends, even by a crash. The kernel then removes the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{self, Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::firewall::nft;
use crate::netlink::{self, Decision, Header, Step, Traces};
use crate::print::{self, escape};
use crate::sys::wait::{try_wait_until, wait_until};

/// Poll interval for the table, the trace messages and the end of nft.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The values that identify the packets of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// The protocol number.
    pub(super) protocol: u8,
    pub(super) remote: IpAddr,
    pub(super) remote_port: u16,
    /// The local port, or the id of a ping.
    pub(super) local: u16,
}

/// The decisions of the rules about the packets of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Passage {
    /// Whether an outgoing packet was dropped.
    pub(super) dropped: bool,
    /// The rule or policy that dropped the outgoing packet, or else the last rule or policy that accepted an outgoing packet.
    pub(super) rule: Option<String>,
    /// The rule or policy that dropped the answer.
    pub(super) answer_dropped: Option<String>,
}

/// A trace that runs until [`Tracer::finish`].
pub(super) struct Tracer {
    nft: TableOwner,
    flows: Vec<Option<Flow>>,
    rules: Ruleset,
    stop: Arc<AtomicBool>,
    reader: JoinHandle<Result<Vec<Step>>>,
}

impl Tracer {
    /// Starts to trace the packets of these flows.
    /// Errors: nft is missing or fails, the kernel cannot trace packets, or the table cannot be created.
    pub(super) fn start(flows: Vec<Option<Flow>>) -> Result<Self> {
        let rules = nft::run(&["-s", "-a", "list", "ruleset"], b"").context("cannot run nft")?;
        let rules = Ruleset::parse(&escape::text(&rules));
        let traces = Traces::listen()?;
        let nft = TableOwner::create(&flows.iter().flatten().copied().collect::<Vec<_>>())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let reader = thread::spawn(move || {
            let mut steps = Vec::new();
            loop {
                let is_last = stopped.load(Ordering::Relaxed);
                steps.extend(traces.read()?);
                if is_last {
                    return Ok(steps);
                }
                thread::sleep(POLL_INTERVAL);
            }
        });
        Ok(Self { nft, flows, rules, stop, reader })
    }

    /// Removes the table and returns the decisions about each flow.
    pub(super) fn finish(self) -> Vec<Passage> {
        self.stop.store(true, Ordering::Relaxed);
        let steps = self.reader.join().unwrap_or_else(|_| bail!("the reading thread panicked"));
        let steps = steps.unwrap_or_else(|error| {
            warn_not_shown(&error);
            Vec::new()
        });
        let table = self.nft.table.clone();
        drop(self.nft);
        passages(
            &self.flows,
            steps.iter().filter(|step| step.table != table || step.header.is_some()),
            &|step| (step.table != table).then(|| self.rules.text(step)),
        )
    }
}

/// Warns that the results do not show the rules that decide, because packets cannot be traced.
pub(super) fn warn_not_shown(error: &anyhow::Error) {
    print::warn(&format!("the rules that decide are not shown: {error:#}"));
}

/// Follows the steps of each packet. `text` describes a step; it returns `None` for a step in the table of this process.
fn passages<'a>(
    flows: &[Option<Flow>],
    steps: impl Iterator<Item = &'a Step>,
    text: &dyn Fn(&Step) -> Option<String>,
) -> Vec<Passage> {
    let mut passages = vec![Passage::default(); flows.len()];
    // The flow of each packet, and whether the packet is outgoing.
    let mut packets: BTreeMap<u32, Option<(usize, bool)>> = BTreeMap::new();
    for step in steps {
        if let Some(header) = &step.header {
            packets.insert(step.packet, flow_of(flows, header));
        }
        let Some(Some((number, is_outgoing))) = packets.get(&step.packet) else { continue };
        let passage = &mut passages[*number];
        let Some(text) = text(step) else { continue };
        match (step.decision, is_outgoing) {
            (Decision::Drop, true) if !passage.dropped => {
                passage.dropped = true;
                passage.rule = Some(text);
            }
            (Decision::Accept, true) if !passage.dropped => passage.rule = Some(text),
            (Decision::Drop, false) => passage.answer_dropped = Some(text),
            _ => {}
        }
    }
    passages
}

/// Returns the index of the flow of a packet, and whether the packet is outgoing.
fn flow_of(flows: &[Option<Flow>], header: &Header) -> Option<(usize, bool)> {
    let matches = |flow: &Option<Flow>, remote: IpAddr, local: u16, port: u16| {
        flow.is_some_and(|flow| {
            let is_ping = [1, 58].contains(&flow.protocol);
            flow.protocol == header.protocol
                && flow.remote == remote
                && flow.local == local
                && (is_ping || flow.remote_port == port)
        })
    };
    let out = flows.iter().position(|flow| matches(flow, header.to, header.from_port, header.to_port));
    let back = || flows.iter().position(|flow| matches(flow, header.from, header.to_port, header.from_port));
    out.map(|number| (number, true)).or_else(|| back().map(|number| (number, false)))
}

/// The table, and the nft process that owns it.
struct TableOwner {
    table: String,
    process: Child,
    /// The stdin of nft. nft ends when it is closed.
    input: Option<ChildStdin>,
}

impl TableOwner {
    fn create(flows: &[Flow]) -> Result<Self> {
        let table = format!("netnsctl_leaktest_{}", process::id());
        let mut process = Command::new("nft")
            .arg("-i")
            // Otherwise nft would write a history file.
            .env("HOME", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run nft")?;
        let input = process.stdin.take();
        let mut owner = Self { table, process, input };
        let text = table_text(&owner.table, flows);
        let mut input = owner.input.as_ref().context("nft has no input")?;
        input.write_all(text.as_bytes()).context("cannot write to nft")?;
        // Wait until the table exists or nft has ended.
        let exists = try_wait_until(Duration::from_secs(3), POLL_INTERVAL, || {
            let exists = netlink::tables()?.iter().any(|table| table.name == owner.table);
            let has_ended = owner.process.try_wait().context("cannot wait for nft")?.is_some();
            anyhow::Ok((exists || has_ended).then_some(exists))
        })?;
        ensure!(
            exists == Some(true),
            "nft did not create a table (requirements: nft with interactive mode, `nft -i`; Linux 5.12 or later)"
        );
        Ok(owner)
    }
}

impl Drop for TableOwner {
    fn drop(&mut self) {
        drop(self.input.take());
        let ended = || (!matches!(self.process.try_wait(), Ok(None))).then_some(());
        if wait_until(Duration::from_secs(1), POLL_INTERVAL, ended).is_none() {
            _ = self.process.kill().and_then(|()| self.process.wait());
        }
    }
}

/// Returns the text of the table. nft executes one line as one transaction. The priority is the lowest possible number, so the
/// chains run first.
fn table_text(table: &str, flows: &[Flow]) -> String {
    let (mut out, mut back) = (String::new(), String::new());
    for flow in flows {
        let Flow { remote, remote_port, local, .. } = flow;
        let family = if remote.is_ipv4() { "ip" } else { "ip6" };
        let (sent, received) = match flow.protocol {
            6 => (
                format!("tcp sport {local} tcp dport {remote_port}"),
                format!("tcp sport {remote_port} tcp dport {local}"),
            ),
            17 => (
                format!("udp sport {local} udp dport {remote_port}"),
                format!("udp sport {remote_port} udp dport {local}"),
            ),
            1 => (format!("icmp id {local}"), format!("icmp id {local}")),
            _ => (format!("icmpv6 id {local}"), format!("icmpv6 id {local}")),
        };
        _ = write!(out, "{family} daddr {remote} {sent} meta nftrace set 1; ");
        _ = write!(back, "{family} saddr {remote} {received} meta nftrace set 1; ");
    }
    let chain = |name: &str, hook: &str, rules: &str| {
        format!("chain {name} {{ type filter hook {hook} priority -2147483648; policy accept; {rules}}}; ")
    };
    format!(
        "table inet {table} {{ flags owner; {}{}}}\n",
        chain("out", "output", &out),
        chain("back", "prerouting", &back)
    )
}

/// The rules as nft prints them, by table, chain and handle.
struct Ruleset(BTreeMap<(String, String, u64), String>);

impl Ruleset {
    /// Parses the output of `nft -a list ruleset`, in which each rule ends with its handle.
    fn parse(listing: &str) -> Self {
        let (mut table, mut chain, mut text) = (String::new(), String::new(), String::new());
        let mut rules = BTreeMap::new();
        for line in listing.lines() {
            let (content, handle) = match line.rsplit_once(" # handle ") {
                Some((content, handle)) => (content, handle.trim().parse::<u64>().ok()),
                None => (line, None),
            };
            let content = content.trim();
            let name_of = |kind: &str| Some(content.strip_prefix(kind)?.strip_suffix('{')?.trim().to_owned());
            if let Some(name) = name_of("table ") {
                (table, chain) = (name, String::new());
            } else if let Some(name) = name_of("chain ") {
                chain = name;
                text.clear();
            } else if content.ends_with(';') || content.is_empty() || content == "}" {
                text.clear();
            } else {
                // A rule with a long set has several lines.
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(content);
                if let Some(handle) = handle {
                    rules.insert((table.clone(), chain.clone(), handle), std::mem::take(&mut text));
                }
            }
        }
        Self(rules)
    }

    /// Returns the table, the chain, and the rule or policy of a step.
    fn text(&self, step: &Step) -> String {
        let table = format!("{} {}", step.family, step.table);
        let rule = match step.rule {
            None if step.decision == Decision::Drop => "policy drop".to_owned(),
            None => "policy accept".to_owned(),
            Some(handle) => self
                .0
                .get(&(table.clone(), step.chain.clone(), handle))
                .cloned()
                .unwrap_or_else(|| format!("rule {handle}")),
        };
        format!("{table} {}: {rule}", step.chain)
    }
}

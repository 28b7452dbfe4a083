//! Which rule decides: the packets of the attempts, and no others, are marked for tracing by a table of our own, before all other
//! chains; it decides nothing. The table belongs to the nft process that makes it (nft(8), "owner"), so the kernel removes it
//! when that ends, and it ends with this one, however that may be.

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

/// Pause between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// What the packets of an attempt can be told by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// The number of the protocol.
    pub(super) protocol: u8,
    pub(super) remote: IpAddr,
    pub(super) remote_port: u16,
    /// The port that it is from; of a ping, its number.
    pub(super) local: u16,
}

/// What became of the packets of an attempt in the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Passage {
    /// Whether they were dropped on the way out.
    pub(super) dropped: bool,
    /// What dropped them, else what let them pass last.
    pub(super) rule: Option<String>,
    /// What dropped the answer.
    pub(super) answer_dropped: Option<String>,
}

/// Traces while it lives.
pub(super) struct Tracer {
    nft: TableOwner,
    flows: Vec<Option<Flow>>,
    rules: Ruleset,
    stop: Arc<AtomicBool>,
    reader: JoinHandle<Result<Vec<Step>>>,
}

impl Tracer {
    /// Marks the packets of these flows.
    pub(super) fn start(flows: Vec<Option<Flow>>) -> Result<Self> {
        let rules = nft::run(&["-s", "-a", "list", "ruleset"], b"").context("cannot run nft")?;
        let rules = Ruleset::of(&escape::text(&rules));
        let traces = Traces::listen()?;
        let nft = TableOwner::make(&flows.iter().flatten().copied().collect::<Vec<_>>())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let reader = thread::spawn(move || {
            let mut steps = Vec::new();
            loop {
                let last = stopped.load(Ordering::Relaxed);
                steps.extend(traces.read()?);
                if last {
                    return Ok(steps);
                }
                thread::sleep(POLL_INTERVAL);
            }
        });
        Ok(Self { nft, flows, rules, stop, reader })
    }

    /// Removes the marks, and tells for each flow what became of it.
    pub(super) fn finish(self) -> Vec<Passage> {
        self.stop.store(true, Ordering::Relaxed);
        let steps = self.reader.join().unwrap_or_else(|_| bail!("the thread that reads them died"));
        let steps = steps.unwrap_or_else(|error| {
            print::warn(&format!("which rule decides is not known for all: {error:#}"));
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

/// Follows the steps of each packet. `text` has the words for a step; `None` for one of our own.
fn passages<'a>(
    flows: &[Option<Flow>],
    steps: impl Iterator<Item = &'a Step>,
    text: &dyn Fn(&Step) -> Option<String>,
) -> Vec<Passage> {
    let mut passages = vec![Passage::default(); flows.len()];
    // Whose packet it is, and whether it is on the way out.
    let mut packets: BTreeMap<u32, Option<(usize, bool)>> = BTreeMap::new();
    for step in steps {
        if let Some(header) = &step.header {
            packets.insert(step.packet, owner(flows, header));
        }
        let Some(Some((number, out))) = packets.get(&step.packet) else { continue };
        let passage = &mut passages[*number];
        let Some(text) = text(step) else { continue };
        match (step.decision, out) {
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

fn owner(flows: &[Option<Flow>], header: &Header) -> Option<(usize, bool)> {
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

/// The table, and the process that it belongs to.
struct TableOwner {
    table: String,
    process: Child,
    /// nft ends when this is closed.
    input: Option<ChildStdin>,
}

impl TableOwner {
    fn make(flows: &[Flow]) -> Result<Self> {
        let table = format!("netnsctl_leaktest_{}", process::id());
        let mut process = Command::new("nft")
            .arg("-i")
            // It would keep a history there.
            .env("HOME", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run nft")?;
        let input = process.stdin.take();
        let mut owner = Self { table, process, input };
        let text = text_of(&owner.table, flows);
        let mut input = owner.input.as_ref().context("nft has no input")?;
        input.write_all(text.as_bytes()).context("cannot write to nft")?;
        // That it has ended is found as well, and then there is no table.
        let is_there = try_wait_until(Duration::from_secs(3), POLL_INTERVAL, || {
            let is_there = netlink::tables()?.contains(&owner.table);
            let has_ended = owner.process.try_wait().context("cannot wait for nft")?.is_some();
            anyhow::Ok((is_there || has_ended).then_some(is_there))
        })?;
        ensure!(
            is_there == Some(true),
            "nft cannot trace here (it has to be able to be interactive, `nft -i`, and Linux to be 5.12 or later)"
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

/// The table, in one line: it is there whole or not at all. The priority is the first that there is.
fn text_of(table: &str, flows: &[Flow]) -> String {
    let (mut out, mut back) = (String::new(), String::new());
    for flow in flows {
        let Flow { remote, remote_port, local, .. } = flow;
        let family = if remote.is_ipv4() { "ip" } else { "ip6" };
        let (there, here) = match flow.protocol {
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
        _ = write!(out, "{family} daddr {remote} {there} meta nftrace set 1; ");
        _ = write!(back, "{family} saddr {remote} {here} meta nftrace set 1; ");
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

/// The rules as nft shows them, by table, chain and number.
struct Ruleset(BTreeMap<(String, String, u64), String>);

impl Ruleset {
    /// Reads what `nft -a list ruleset` prints: each rule ends in its number.
    fn of(listing: &str) -> Self {
        let (mut table, mut chain, mut text) = (String::new(), String::new(), String::new());
        let mut rules = BTreeMap::new();
        for line in listing.lines() {
            let (words, handle) = match line.rsplit_once(" # handle ") {
                Some((words, handle)) => (words, handle.trim().parse::<u64>().ok()),
                None => (line, None),
            };
            let words = words.trim();
            let named = |kind: &str| Some(words.strip_prefix(kind)?.strip_suffix('{')?.trim().to_owned());
            if let Some(name) = named("table ") {
                (table, chain) = (name, String::new());
            } else if let Some(name) = named("chain ") {
                chain = name;
                text.clear();
            } else if words.ends_with(';') || words.is_empty() || words == "}" {
                text.clear();
            } else {
                // A long set goes over several lines.
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(words);
                if let Some(handle) = handle {
                    rules.insert((table.clone(), chain.clone(), handle), std::mem::take(&mut text));
                }
            }
        }
        Self(rules)
    }

    /// Where a step was, and what it was.
    fn text(&self, step: &Step) -> String {
        let table = format!("{} {}", step.family, step.table);
        let what = match step.rule {
            None if step.decision == Decision::Drop => "policy drop".to_owned(),
            None => "policy accept".to_owned(),
            Some(handle) => self
                .0
                .get(&(table.clone(), step.chain.clone(), handle))
                .cloned()
                .unwrap_or_else(|| format!("rule {handle}")),
        };
        format!("{table} {}: {what}", step.chain)
    }
}

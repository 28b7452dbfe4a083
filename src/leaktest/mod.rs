//! Measures from inside the namespace which traffic leaves it. [`targets`] selects the attempts, [`probe`] and [`lookup`] make
//! them, [`trace`] finds the deciding rules, [`host`] the reasons for missing answers, [`expect`] compares the verdicts.

pub mod expect;
mod host;
pub mod inward;
mod lookup;
mod probe;
mod resolvers;
pub mod targets;
mod trace;

use std::fmt;
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;

use crate::name::NsName;
use crate::netlink::{self, ChosenRoute, Link};
use crate::netns::{self, Id, NameState};
use crate::paths::{GLOBAL_NETNS, OWN_NETNS, Paths};
use crate::sys::capability::{self, Capability};
use host::{Host, Way};
use probe::{Echoes, Probe};
use targets::Attempt;
use trace::{Passage, Tracer};

/// The result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The target answered, or the name has an address.
    Passes,
    /// The target, or a host on the way, answered with a refusal: the attempt left the namespace. For a lookup: the name is
    /// unknown.
    Refused,
    /// No answer arrived, or only a report that the host is unreachable. For a lookup: the name cannot be resolved.
    Unanswered,
    /// The attempt did not leave the namespace.
    Blocked,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passes => "passes",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Blocked => "blocked",
        })
    }
}

/// An attempt with its result.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// The result.
    pub verdict: Verdict,
    /// The interface that the kernel selected.
    pub interface: Option<String>,
    /// The route that the kernel selected, with the router.
    pub route: Option<String>,
    /// The rule or policy that dropped the packet, or else the last rule or policy that accepted the packet.
    pub rule: Option<String>,
    /// More details: the error, the rule that dropped the answer, or the resolvers of a name.
    pub detail: Option<String>,
}

/// The result of an attempt as any program sees it: without the information which rules decided.
#[derive(Debug, PartialEq, Eq)]
struct AttemptEnd {
    verdict: Verdict,
    detail: Option<String>,
}

impl AttemptEnd {
    fn new(verdict: Verdict, detail: impl Into<Option<String>>) -> Self {
        Self { verdict, detail: detail.into() }
    }
}

/// Makes all attempts at the same time. `with_defaults` puts the default attempts first.
/// Errors: the namespace is missing, belongs to the machine itself, or cannot be entered or inspected.
pub fn measure(
    paths: &Paths,
    name: &NsName,
    requested: Vec<Attempt>,
    with_defaults: bool,
) -> Result<Vec<Measurement>> {
    ensure_measurable(paths, name)?;
    let before = Host::observe();
    let host = File::open(OWN_NETNS).context("cannot read the current namespace (is /proc mounted?)")?;
    let (mut measurements, ways) = measure_inside(paths, name, requested, with_defaults, host.as_fd())?;
    let is_unanswered = |one: &Measurement| matches!(one.verdict, Verdict::Unanswered | Verdict::Refused);
    if measurements.iter().any(is_unanswered)
        && let Some((before, after)) = before.zip(Host::observe())
    {
        let unanswered = measurements.iter_mut().zip(&ways).filter(|(one, _)| is_unanswered(one));
        for (measurement, way) in unanswered {
            let Some(way) = way else { continue };
            measurement.detail = match measurement.detail.take() {
                None => after.reason(&before, way),
                Some(error) => {
                    let rule = after.rejection(&before, way).map(|rule| format!("; {rule}"));
                    Some(error + &rule.unwrap_or_default())
                }
            };
        }
    }
    Ok(measurements)
}

/// Makes the attempts inside the namespace. Returns each result with the way of its packets into the host.
fn measure_inside(
    paths: &Paths,
    name: &NsName,
    requested: Vec<Attempt>,
    with_defaults: bool,
    host: BorrowedFd,
) -> Result<(Vec<Measurement>, Vec<Option<Way>>)> {
    let _inside = netns::enter(paths, name)?;
    let host = netlink::namespace_id(host)?;
    let links = netlink::links()?;
    let mut attempts =
        if with_defaults { targets::default_attempts(&links, &netlink::routes()?) } else { Vec::new() };
    attempts.extend(requested);
    let mut echoes = Echoes::new().context("cannot generate random numbers")?;
    let probes: Vec<Prepared> = attempts.iter().map(|attempt| Probe::prepare(attempt, &mut echoes)).collect();
    let flows = probes.iter().map(|probe| probe.as_ref()?.as_ref().ok().map(Probe::flow)).collect();
    let tracer = Tracer::start(flows).map_err(|error| trace::warn_not_shown(&error)).ok();
    let ends = try_prepared(paths, name, &attempts, probes)?;
    let passages =
        tracer.map_or_else(|| attempts.iter().map(|_| Passage::default()).collect(), Tracer::finish);
    let results = attempts.into_iter().zip(ends).zip(passages);
    Ok(results.map(|((attempt, end), passage)| measurement(attempt, end, passage, &links, host)).unzip())
}

/// Checks the privileges, and that the namespace exists and is not the one of the machine itself.
fn ensure_measurable(paths: &Paths, name: &NsName) -> Result<()> {
    capability::require(Capability::SysAdmin, "to enter namespaces")?;
    capability::require(Capability::NetAdmin, "to trace packets")?;
    capability::require(Capability::NetRaw, "to send pings")?;
    let NameState::Namespace(id) = netns::inspect(paths, name)? else {
        bail!("{}", netns::not_found(name));
    };
    let is_host = |place: &str| Id::of(place.as_ref()).is_ok_and(|host| host == id);
    ensure!(
        !is_host(GLOBAL_NETNS) && !is_host(OWN_NETNS),
        "refusing to send packets: `{name}` is the namespace of the machine itself"
    );
    Ok(())
}

/// A probe, or the result if the socket could not be prepared; `None` for a name, which is looked up.
type Prepared = Option<Result<Probe, AttemptEnd>>;

/// Makes all attempts at the same time, in the namespace of this thread. `name` is the namespace whose files a lookup uses.
fn try_all(paths: &Paths, name: &NsName, attempts: &[Attempt]) -> Result<Vec<AttemptEnd>> {
    let mut echoes = Echoes::new().context("cannot generate random numbers")?;
    let probes = attempts.iter().map(|attempt| Probe::prepare(attempt, &mut echoes)).collect();
    try_prepared(paths, name, attempts, probes)
}

/// Makes each attempt in a new thread, which starts in the current namespace. The thread ends with the attempt, because a lookup
/// changes the mounts of the thread.
fn try_prepared(
    paths: &Paths,
    name: &NsName,
    attempts: &[Attempt],
    probes: Vec<Prepared>,
) -> Result<Vec<AttemptEnd>> {
    let try_one = |attempt: &Attempt, probe: Prepared| match probe {
        Some(Ok(probe)) => probe.run(),
        Some(Err(end)) => end,
        None => lookup::resolve(paths, name, &attempt.target.to_string()),
    };
    thread::scope(|scope| {
        let start = |(attempt, probe)| scope.spawn(move || try_one(attempt, probe));
        let running: Vec<_> = attempts.iter().zip(probes).map(start).collect();
        let ends = running.into_iter().map(ScopedJoinHandle::join).collect::<Result<_, _>>();
        ends.map_err(|_| anyhow!("a measuring thread panicked"))
    })
}

/// Combines the result of an attempt, the decisions of the rules, and the route that the kernel selected. `host` is the id of
/// the host's namespace. Also returns the way into the host, if the interface leads there.
fn measurement(
    attempt: Attempt,
    end: AttemptEnd,
    passage: Passage,
    links: &[Link],
    host: Option<i32>,
) -> (Measurement, Option<Way>) {
    let target = attempt.target.address();
    let way = target.map(netlink::route_to);
    let AttemptEnd { mut verdict, mut detail } = end;
    if passage.dropped {
        // A `reject` rule of this namespace sends the answer itself, so the answer does not come from outside.
        verdict = Verdict::Blocked;
    }
    if let Some(rule) = &passage.answer_dropped {
        detail = Some(format!("the answer was dropped by {rule}"));
    }
    let way = way.and_then(Result::ok).flatten();
    let interface = way.as_ref().and_then(|way| links.iter().find(|link| Some(link.index) == way.link));
    let leads_to_host = |link: &&Link| host.is_some() && link.peer_namespace == host;
    let into_host = interface.filter(leads_to_host).zip(target).and_then(|(link, target)| {
        let next = way.as_ref().and_then(|way| way.gateway).unwrap_or(target);
        Some(Way { source: host::source(link, next)?, target, link: link.clone() })
    });
    let measurement = Measurement {
        interface: interface.map(|link| link.name.clone()),
        route: way.as_ref().map(route),
        rule: passage.rule,
        attempt,
        verdict,
        detail,
    };
    (measurement, into_host)
}

fn route(way: &ChosenRoute) -> String {
    let via = |gateway: IpAddr| format!("{} via {gateway}", way.route);
    way.gateway.map_or_else(|| way.route.clone(), via)
}

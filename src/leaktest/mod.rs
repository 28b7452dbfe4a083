//! What gets out of a namespace, measured from inside: [`targets`] says what is tried, [`probe`] and [`lookup`] try it, [`trace`]
//! finds out which rule decides, and [`expect`] compares it with what is expected.

pub mod expect;
mod lookup;
mod probe;
mod resolvers;
pub mod targets;
mod trace;

use std::fmt;
use std::net::IpAddr;
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;

use crate::name::NsName;
use crate::netlink::{self, ChosenRoute, Link};
use crate::netns::{self, Entered, Id, Named};
use crate::paths::{GLOBAL_NETNS, OWN_NETNS, Paths};
use crate::print;
use crate::sys::capability::{self, Capability};
use probe::{Echoes, Probe};
use targets::Attempt;
use trace::{Passage, Tracer};

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was answered.
    Passes,
    /// It was answered by a refusal: it got out.
    Refused,
    /// Nothing came back.
    Unanswered,
    /// It did not leave the namespace.
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

/// What was found out about one attempt.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// What was tried.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// What became of it.
    pub verdict: Verdict,
    /// The interface that the kernel chose.
    pub interface: Option<String>,
    /// The route that it chose, with the router.
    pub route: Option<String>,
    /// The rule or policy that decided: the one that dropped it, or else the last one that let it pass.
    pub rule: Option<String>,
    /// What else is known: the error, or what dropped the answer.
    pub detail: Option<String>,
}

/// How an attempt ended, as a program sees it.
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

/// Makes all attempts at once, each for a second, and tells what became of them; before those that are asked for, the ones that lie
/// behind each interface, where `behind_each` says so.
/// Errors: there is no such namespace, it is the one of the machine itself, or it may not be entered.
pub fn measure(
    paths: &Paths,
    name: &NsName,
    asked: Vec<Attempt>,
    behind_each: bool,
) -> Result<Vec<Measurement>> {
    let _inside = enter(paths, name)?;
    let links = netlink::links()?;
    let mut attempts =
        if behind_each { targets::behind_each(&links, &netlink::routes()?) } else { Vec::new() };
    attempts.extend(asked);
    let mut echoes = Echoes::new().context("cannot draw random numbers")?;
    let probes: Vec<Prepared> = attempts.iter().map(|attempt| Probe::prepare(attempt, &mut echoes)).collect();
    let flows = probes.iter().map(|probe| probe.as_ref()?.as_ref().ok().map(Probe::flow)).collect();
    let tracer = Tracer::start(flows)
        .map_err(|error| print::warn(&format!("which rule decides is not known: {error:#}")))
        .ok();
    let answers = try_all(paths, name, &attempts, probes)?;
    let passages =
        tracer.map_or_else(|| attempts.iter().map(|_| Passage::default()).collect(), Tracer::finish);
    let ends = attempts.into_iter().zip(answers).zip(passages);
    Ok(ends.map(|((attempt, answer), passage)| measurement(attempt, answer, passage, &links)).collect())
}

/// Enters a namespace to send something from there.
fn enter(paths: &Paths, name: &NsName) -> Result<Entered> {
    capability::require(Capability::SysAdmin, "to enter namespaces")?;
    capability::require(Capability::NetAdmin, "to trace what rules do")?;
    capability::require(Capability::NetRaw, "to send pings")?;
    let Named::Namespace(id) = netns::look(paths, name)? else {
        bail!(
            "there is no namespace `{name}`: bring it up by `netnsctl up {name}`; `ip netns` lists those that are there"
        );
    };
    let is_host = |place: &str| Id::of(place.as_ref()).is_ok_and(|host| host == id);
    ensure!(
        !is_host(GLOBAL_NETNS) && !is_host(OWN_NETNS),
        "`{name}` is the namespace of this machine itself: nothing is sent from there"
    );
    netns::enter(paths, name)
}

/// A socket, or the answer where there is none to be had; `None` for a name, which is looked up.
type Prepared = Option<Result<Probe, AttemptEnd>>;

/// Makes each attempt in a thread, which begins in the namespace of this one, and ends with the attempt: a lookup changes its
/// mounts.
fn try_all(
    paths: &Paths,
    name: &NsName,
    attempts: &[Attempt],
    probes: Vec<Prepared>,
) -> Result<Vec<AttemptEnd>> {
    let try_one = |attempt: &Attempt, probe: Prepared| match probe {
        Some(Ok(probe)) => probe.run(),
        Some(Err(answer)) => answer,
        None => lookup::resolve(paths, name, &attempt.target.to_string()),
    };
    thread::scope(|scope| {
        let start = |(attempt, probe)| scope.spawn(move || try_one(attempt, probe));
        let running: Vec<_> = attempts.iter().zip(probes).map(start).collect();
        let answers = running.into_iter().map(ScopedJoinHandle::join).collect::<Result<_, _>>();
        answers.map_err(|_| anyhow!("a thread that measures has died"))
    })
}

/// Puts together what the program saw, what the rules did, and which way the kernel chose.
fn measurement(attempt: Attempt, answer: AttemptEnd, passage: Passage, links: &[Link]) -> Measurement {
    let way = attempt.target.address().map(netlink::route_to);
    let AttemptEnd { mut verdict, mut detail } = answer;
    if passage.dropped {
        // A rule that rejects sends an answer itself: it is not from outside.
        verdict = Verdict::Blocked;
    }
    if let Some(rule) = &passage.answer_dropped {
        detail = Some(format!("the answer was dropped by {rule}"));
    }
    let way = way.and_then(Result::ok).flatten();
    let interface = way.as_ref().and_then(|way| links.iter().find(|link| Some(link.index) == way.link));
    Measurement {
        interface: interface.map(|link| link.name.clone()),
        route: way.as_ref().map(route),
        rule: passage.rule,
        attempt,
        verdict,
        detail,
    }
}

fn route(way: &ChosenRoute) -> String {
    let via = |gateway: IpAddr| format!("{} via {gateway}", way.route);
    way.gateway.map_or_else(|| way.route.clone(), via)
}

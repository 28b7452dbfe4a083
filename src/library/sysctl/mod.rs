//! Sysctls: set, compare, restore.
//!
//! A sysctl of a namespace belongs to its instance. A sysctl of the host is counted over all instances (`count`).

mod count;
mod key;
mod variable;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::Call;
use super::enter_host;
use crate::config::layers::Layers;
use crate::config::remembered;
use crate::name::{Instance, NsName, Side};
use crate::netlink;
use crate::netns::{self, Entered};
use crate::paths::Paths;
use crate::print;
use count::Counts;
use key::{Settable, line};

pub use count::read as read_count;
pub use key::{Key, Value};
pub use variable::KernelVariable;

/// A sysctl that an instance has set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangedSysctl {
    #[serde(flatten)]
    variable: KernelVariable,
    #[serde(flatten)]
    value: Value,
    instance: Instance,
    /// The namespace; `None` on the host.
    namespace: Option<NsName>,
    /// What is restored in the namespace. On the host, the count has this.
    before: Option<Before>,
    /// The hook that has set the sysctl for the first time. Another hook does not restore it after a failure.
    made_by: String,
    /// The last hook that has set the sysctl.
    set_by: String,
    /// Whether that was an inside hook.
    set_inside: bool,
}

/// The value of a sysctl before it was set.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Before {
    /// `None` if it was never set.
    value: Option<String>,
    /// The value of the sysctl of all interfaces at this time, if a change of that sets this one.
    #[serde(default)]
    all: Option<String>,
}

impl Before {
    /// `value` is the present value of the sysctl. This thread is in its namespace.
    /// Errors: the sysctl of all interfaces cannot be read.
    fn new(key: &Key, value: Option<String>) -> Result<Self> {
        Ok(Self { value, all: read_all(key)? })
    }

    /// The value that the sysctl would have now. `all` is the present value of the sysctl of all interfaces: if it has changed, the
    /// kernel has set this one, too.
    fn value_after(&self, all: Option<String>) -> Option<String> {
        if self.all.is_some() && self.all != all { all } else { self.value.clone() }
    }

    /// Restores the value in the namespace of this thread, unless the present value is not `ours`. A sysctl of an interface that does not
    /// exist any more has ended with it.
    /// Errors: the kernel refuses.
    fn restore(&self, variable: &KernelVariable, ours: &Value, place: &str) -> Result<()> {
        let Some(key) = &variable.present_key()? else { return Ok(()) };
        let restored = self.restore_present(key, ours, place);
        if key.file().exists() { restored } else { Ok(()) } // its interface or module is gone, perhaps since this moment
    }

    fn restore_present(&self, key: &Key, ours: &Value, place: &str) -> Result<()> {
        let Some(present) = key.read()? else { return Ok(()) };
        let present = line(&present);
        let Some(before) = self.value_after(read_all(key)?) else {
            print::say(&format!(
                "sysctl '{key}' {place} stays '{present}': it was not set before, and the kernel cannot unset it"
            ));
            return Ok(());
        };
        let mut before = Value::new(&before);
        if before.is(&present) {
            return Ok(());
        }
        if ours.can_be(&present) {
            return key.write(&mut before).with_context(|| format!("cannot restore sysctl '{key}' {place}"));
        }
        print::say(&format!(
            "sysctl '{key}' {place} stays '{present}', which another program has set; before, it was '{}'",
            before.shown()
        ));
        Ok(())
    }
}

/// The value of the sysctl of all interfaces whose change sets this one, in the namespace of this thread.
fn read_all(key: &Key) -> Result<Option<String>> {
    key.of_all_interfaces().map_or(Ok(None), |all| all.read())
}

/// Moves this thread to a namespace, or to the host.
fn enter(paths: &Paths, namespace: Option<&NsName>) -> Result<Entered> {
    namespace.map_or_else(enter_host, |name| netns::enter(paths, name))
}

fn place_of(namespace: Option<&NsName>) -> String {
    namespace.map_or_else(|| "on the host".to_owned(), |name| format!("in namespace '{name}'"))
}

/// `sysctl_set`: sets sysctls in the namespace of the instance, or on the host. All keys are checked before the first one is set.
/// Arguments: [--host] KEY=VALUE...
/// Errors: a key is unknown or not of this place, another instance has set another value, or the kernel refuses a value.
pub fn set(call: &Call, arguments: &[&str]) -> Result<()> {
    let (namespace, words) = match arguments {
        ["--host", words @ ..] => (None, words),
        words => (Some(&call.instance.name), words),
    };
    let mut assignments: Vec<Assignment> = Vec::new();
    for word in words {
        let assignment = Assignment::parse(word).map_err(|error| locate(call, word, error))?;
        assignments.retain(|earlier| earlier.key != assignment.key); // the last one wins, as in sysctl.d(5)
        assignments.push(assignment);
    }
    let _there = enter(call.paths, namespace)?;
    let counts = namespace.is_none().then(|| Counts::lock(call.paths)).transpose()?;
    let mut record = call.record()?;
    let mut sysctls = Vec::new();
    for assignment in &assignments {
        let variable = KernelVariable::of(&assignment.key)?;
        let present = check(call, assignment, &variable, counts.as_ref())
            .map_err(|error| assignment.explain(call, namespace, error))?;
        let earlier = record.sysctls().find(|one| one.is(&variable, namespace)).cloned();
        let sysctl = new(call, &assignment.value, variable, namespace, earlier.as_ref(), present);
        sysctls.push((assignment, sysctl, earlier));
    }

    // First, because a signal may end this process at any moment.
    for (_, sysctl, _) in &sysctls {
        record.put_sysctl(sysctl.clone());
    }
    record.save(call.paths)?;
    for at in 0..sysctls.len() {
        let (assignment, sysctl, _) = &mut sysctls[at];
        call.trace(&sysctl.command());
        let done = match &counts {
            Some(counts) => counts.set(&sysctl.variable, &mut sysctl.value, &sysctl.instance),
            None => sysctl.variable.key.write(&mut sysctl.value),
        };
        if let Err(error) = done {
            let error = assignment.explain(call, namespace, error);
            for (_, sysctl, earlier) in &sysctls[at..] {
                record.forget_sysctl(sysctl);
                if let Some(earlier) = earlier {
                    record.put_sysctl(earlier.clone());
                }
            }
            record.save(call.paths)?;
            return Err(error);
        }
        record.put_sysctl(sysctl.clone()); // with the value that the kernel has stored
    }
    record.save(call.paths)
}

/// The record of a sysctl that will be set.
fn new(
    call: &Call,
    value: &str,
    variable: KernelVariable,
    namespace: Option<&NsName>,
    earlier: Option<&ChangedSysctl>,
    present: Before,
) -> ChangedSysctl {
    let before = earlier.and_then(|earlier| earlier.before.clone()).unwrap_or(present);
    ChangedSysctl {
        variable,
        value: Value::new(value).known_by(earlier.map(|earlier| &earlier.value)),
        instance: call.instance.clone(),
        namespace: namespace.cloned(),
        before: namespace.map(|_| before),
        made_by: earlier.map_or(&call.hook, |earlier| &earlier.made_by).clone(),
        set_by: call.hook.clone(),
        set_inside: call.side == Side::Inside,
    }
}

/// Checks that a sysctl can be set in the namespace of this thread, and returns its present value.
/// Errors: it cannot.
fn check(
    call: &Call,
    assignment: &Assignment,
    variable: &KernelVariable,
    counts: Option<&Counts>,
) -> Result<Before> {
    let key = &assignment.key;
    let is_of_host = || enter_host().is_ok_and(|_host| matches!(key.is_settable(), Ok(Settable::Yes)));
    match key.is_settable()? {
        Settable::Yes if counts.is_some() || key.is_net() => {}
        _ if counts.is_none() && (!key.is_net() || is_of_host()) => {
            bail!("it belongs to the whole host; hint: `sysctl_set --host`, or sysctl.d(5)")
        }
        Settable::Missing => bail!("unknown sysctl: {} does not exist", key.file().display()),
        _ => bail!("{} is read-only", key.file().display()),
    }
    if let Some(counts) = counts {
        counts.check(variable, &assignment.value, &call.instance)?;
    }
    let present = key.read().context("the present value could not be restored")?;
    Before::new(key, present)
}

/// A word `KEY=VALUE`.
struct Assignment<'a> {
    word: &'a str,
    key: Key,
    value: String,
}

impl<'a> Assignment<'a> {
    fn parse(word: &'a str) -> Result<Self> {
        let (key, value) =
            word.split_once('=').with_context(|| format!("'{word}' is not a sysctl: expected KEY=VALUE"))?;
        ensure!(!value.contains('\n'), "'{word}' is not a sysctl: the value has more than one line");
        Ok(Self { word, key: key.trim().parse()?, value: value.trim().to_owned() })
    }

    /// Adds the sysctl to an error.
    fn explain(&self, call: &Call, namespace: Option<&NsName>, error: anyhow::Error) -> anyhow::Error {
        let place = place_of(namespace);
        let error =
            error.context(format!("cannot set sysctl '{}' {place} to '{}'", self.key, line(&self.value)));
        locate(call, self.word, error)
    }
}

/// Adds `FILE:LINE` to an error, if a layer contains the key as it was written.
fn locate(call: &Call, word: &str, error: anyhow::Error) -> anyhow::Error {
    let key = word.split('=').next().unwrap_or(word).trim();
    let place = Layers::of(call.paths, &call.instance).ok().and_then(|layers| layers.place_of_text(key));
    match place {
        Some(place) => error.context(place),
        None => error,
    }
}

impl ChangedSysctl {
    /// Whether this is a sysctl of a namespace, or of the host.
    pub(super) fn is(&self, variable: &KernelVariable, namespace: Option<&NsName>) -> bool {
        self.variable.is_same_as(variable) && self.namespace.as_ref() == namespace
    }

    /// Whether both records are about the same sysctl.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.is(&other.variable, other.namespace.as_ref())
    }

    /// Whether `hook` has set the sysctl for the first time.
    pub(super) fn is_of(&self, hook: &str) -> bool {
        self.made_by == hook
    }

    /// Whether the sysctl is in the namespace of the instance.
    pub(super) fn is_inside(&self) -> bool {
        self.namespace.is_some()
    }

    /// Whether an inside hook has set the sysctl, so a restart sets it again.
    pub(super) fn is_made_by_restart(&self) -> bool {
        self.set_inside
    }

    /// Whether an earlier inside hook has set the sysctl, and `hook` has not.
    pub(super) fn is_stale(&self, hook: &str) -> bool {
        self.set_inside && self.set_by != hook
    }

    /// The command that sets the sysctl.
    fn command(&self) -> String {
        let inside = self.namespace.as_ref().map_or(String::new(), |name| format!("ip netns exec {name} "));
        inside + &self.variable.key.command(&self.value)
    }

    fn place(&self) -> String {
        place_of(self.namespace.as_ref())
    }

    /// Restores the sysctl; on the host, if no other instance has set it.
    /// Errors: the kernel refuses.
    pub(super) fn release(&self, paths: &Paths) -> Result<()> {
        let (Some(name), Some(before)) = (&self.namespace, &self.before) else {
            return Counts::lock(paths)?.release(&self.variable, &self.instance);
        };
        if !paths.namespace(name).exists() {
            return Ok(());
        }
        let _there = netns::enter(paths, name)?;
        before.restore(&self.variable, &self.value, &self.place())
    }

    /// Like [`release`](Self::release), when the instance goes down. `lost`: a foreign namespace has the name.
    /// Errors: the kernel refuses.
    pub(super) fn remove(&self, paths: &Paths, lost: bool) -> Result<()> {
        if lost && self.namespace.is_some() { Ok(()) } else { self.release(paths) }
    }

    /// Restores a sysctl in the namespace of this thread, whose name is gone.
    /// Errors: the kernel refuses.
    pub(super) fn remove_here(&self) -> Result<()> {
        self.before
            .as_ref()
            .map_or(Ok(()), |before| before.restore(&self.variable, &self.value, &self.place()))
    }

    /// Returns a line if the value was changed. An interface that is gone is a difference of the instance that has made it only.
    /// Errors: the value cannot be read.
    pub(super) fn drift(&self, paths: &Paths) -> Result<Vec<String>> {
        let _there = enter(paths, self.namespace.as_ref())?;
        // A new interface with the name needs the value, too.
        let key = self.variable.present_key()?.unwrap_or_else(|| self.variable.key.clone());
        if !key.file().exists()
            && let Some(ifname) = key.ifname()
            && netlink::link_named(ifname)?.is_none()
        {
            return Ok(Vec::new());
        }
        Ok(key.drift(&self.value, &self.place())?.into_iter().collect())
    }
}

/// The value of a sysctl of the host before the first instance has set it; `None` if the sysctl does not exist. This thread is in the
/// namespace of the host.
/// Errors: the sysctl, or its count, cannot be read.
pub fn value_before(paths: &Paths, key: &Key) -> Result<Option<String>> {
    if !key.file().exists() {
        return Ok(None);
    }
    let path = count::path(&paths.sysctls, &KernelVariable::of(key)?);
    let Some(count) = read_count(&path)? else { return key.read() };
    let all = key.of_all_interfaces().map_or(Ok(None), |all| value_before(paths, &all))?;
    Ok(count.before.value_after(all))
}

/// Removes an instance without remembered values from the count of a sysctl of the host.
/// Errors: the instance has remembered values now, or the sysctl cannot be restored.
pub fn release_lost(paths: &Paths, variable: &KernelVariable, instance: &Instance) -> Result<()> {
    let counts = Counts::lock(paths)?;
    // `set` writes the remembered values before it waits for the lock.
    ensure!(!remembered::exists(paths, instance), "`{instance}` has remembered values now");
    counts.release(variable, instance)
}

//! Every place on the disk that the program knows, below one root.

use std::path::{self, Path, PathBuf};

use crate::name::{Instance, NsName, NsType};

/// All places. `Paths::under("/")` on a live machine; a temporary directory in a test, an image's root in a build.
#[derive(Clone, Debug)]
pub struct Paths {
    /// What all the others lie below.
    pub root: PathBuf,
    /// The administrator's plugins, `.conf` and `.rules` files: `/etc/conf.d/netns`.
    pub conf: PathBuf,
    /// The plugins that ship: `/usr/share/systemd-netns`.
    pub share: PathBuf,
    /// Where the template units may have been installed, best first; the order is systemd's own
    /// (systemd.unit(5), "Unit File Load Path").
    pub templates: [PathBuf; 3],
    /// Where the copies of the template units are kept: `/etc/systemd/system`.
    pub units: PathBuf,
    /// The namespaces, as iproute2 makes them: `/run/netns`.
    pub netns: PathBuf,
    /// What plugins remember for each instance: `/run/systemd-netns/remembered`.
    pub remembered: PathBuf,
    /// Which namespaces `netnsinit --create` has made: `/run/systemd-netns/made`.
    pub ownership: PathBuf,
    /// Namespaces whose interfaces have to stay down: `/run/systemd-netns/closed`.
    pub closed: PathBuf,
    /// What the direct engine knows of each namespace: `/run/systemd-netns/direct`.
    pub direct: PathBuf,
    /// Exists from before `netns-update` changes a unit until systemd has read it: `/run/systemd-netns/reload`.
    pub reload: PathBuf,
    /// Exists exactly where systemd is PID 1 (`sd_booted(3)`).
    pub systemd: PathBuf,
    /// The settings of logins, login.defs(5): `/etc/login.defs`.
    pub login_defs: PathBuf,
    /// Which invocation of a unit runs, of each: `/run/systemd/units`.
    invocations: PathBuf,
}

impl Paths {
    /// The places below `root`.
    #[must_use]
    pub fn under(root: &Path) -> Self {
        // Absolute, or bash would take one that begins with a hyphen for an option. Without a current directory, as it is.
        let root = path::absolute(root).unwrap_or_else(|_| root.to_owned());
        Self {
            root: root.clone(),
            conf: root.join("etc/conf.d/netns"),
            share: root.join("usr/share/systemd-netns"),
            templates: ["usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"]
                .map(|place| root.join(place)),
            units: root.join("etc/systemd/system"),
            netns: root.join("run/netns"),
            remembered: root.join("run/systemd-netns/remembered"),
            ownership: root.join("run/systemd-netns/made"),
            closed: root.join("run/systemd-netns/closed"),
            direct: root.join("run/systemd-netns/direct"),
            reload: root.join("run/systemd-netns/reload"),
            systemd: root.join("run/systemd/system"),
            login_defs: root.join("etc/login.defs"),
            invocations: root.join("run/systemd/units"),
        }
    }

    /// What systemd makes when it starts a unit, and removes when that is down.
    #[must_use]
    pub fn invocation(&self, unit: &str) -> PathBuf {
        self.invocations.join(format!("invocation:{unit}"))
    }

    /// Whether this is the running machine itself, not an image of one.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// The two places of a plugin, the one that wins first.
    #[must_use]
    pub fn plugin(&self, nstype: &NsType) -> [PathBuf; 2] {
        let file = format!("{nstype}.sh");
        [self.conf.join(&file), self.share.join(&file)]
    }

    /// The layer that every type reads.
    #[must_use]
    pub fn default_conf(&self) -> PathBuf {
        self.conf.join("default.conf")
    }

    /// The layer that all instances of a type read.
    #[must_use]
    pub fn conf_of_type(&self, nstype: &NsType) -> PathBuf {
        self.conf.join(format!("{nstype}.conf"))
    }

    /// The last layer of an instance, its own.
    #[must_use]
    pub fn conf_of(&self, instance: &Instance) -> PathBuf {
        self.conf.join(format!("{}-{}.conf", instance.nstype, instance.name))
    }

    /// Where a namespace is bound.
    #[must_use]
    pub fn namespace(&self, name: &NsName) -> PathBuf {
        self.netns.join(name.to_string())
    }

    /// Which namespace `netnsinit --create` has made by that name.
    #[must_use]
    pub fn ownership(&self, name: &NsName) -> PathBuf {
        self.ownership.join(name.to_string())
    }

    /// Exists while the interfaces of a namespace have to stay down, since its firewall cannot be loaded; holds the reason.
    #[must_use]
    pub fn closed(&self, name: &NsName) -> PathBuf {
        self.closed.join(name.to_string())
    }

    /// What an instance remembers between its hooks.
    #[must_use]
    pub fn remembered(&self, instance: &Instance) -> PathBuf {
        self.remembered.join(instance.to_string())
    }

    /// What the direct engine knows of a namespace.
    #[must_use]
    pub fn state(&self, name: &NsName) -> PathBuf {
        self.direct.join(format!("{name}.json"))
    }

    /// What is locked while the direct engine works on a namespace.
    #[must_use]
    pub fn lock(&self, name: &NsName) -> PathBuf {
        self.direct.join(format!("{name}.lock"))
    }

    /// What the hooks of an instance have printed, where there is no journal.
    #[must_use]
    pub fn log(&self, instance: &Instance) -> PathBuf {
        self.direct.join(format!("{instance}.log"))
    }

    /// The files of a namespace that take the place of the host's: `/etc/netns/NAME`, as iproute2 defines it.
    #[must_use]
    pub fn files(&self, name: &NsName) -> PathBuf {
        self.root.join("etc/netns").join(name.to_string())
    }
}

/// The shell that hooks run in. Not below any root: it is a program of this machine.
pub const BASH: &str = "/bin/bash";

/// A network namespace, of this thread and of PID 1 (namespaces(7)).
pub const OWN_NETNS: &str = "/proc/thread-self/ns/net";
/// See [`OWN_NETNS`].
pub const GLOBAL_NETNS: &str = "/proc/1/ns/net";

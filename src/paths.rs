//! All paths of the program, below one root.

use std::path::{self, Path, PathBuf};

use crate::name::{Instance, NsName, NsType};

/// The paths: below `/` on a running machine, below a temporary directory in a test, below the root of an image in a build.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The root of all other paths.
    pub root: PathBuf,
    /// The administrator's plugins, `.conf` and `.rules` files: `/etc/conf.d/netns`.
    pub conf: PathBuf,
    /// The shipped plugins: `/usr/share/systemd-netns`.
    pub share: PathBuf,
    /// The directories of installed template units. The first one has priority, as in systemd (systemd.unit(5), "Unit File Load
    /// Path").
    pub templates: [PathBuf; 3],
    /// The directory of the copies of the template units: `/etc/systemd/system`.
    pub units: PathBuf,
    /// The mount points of namespaces, as in iproute2: `/run/netns`.
    pub netns: PathBuf,
    /// The remembered values of each instance: `/run/systemd-netns/remembered`.
    pub remembered: PathBuf,
    /// The ownership records, which tell which namespaces systemd-netns created: `/run/systemd-netns/made`.
    pub ownership: PathBuf,
    /// A file for each namespace whose interfaces must stay down: `/run/systemd-netns/closed`.
    pub closed: PathBuf,
    /// A file for each attached unit that was stopped while its namespace was up: `/run/systemd-netns/stopped`.
    pub stopped: PathBuf,
    /// A file for each instance with the instances and units that a connection has brought up: `/run/systemd-netns/woken`.
    pub woken: PathBuf,
    /// A file for each sysctl of the host that instances have set: `/run/systemd-netns/sysctls`.
    pub sysctls: PathBuf,
    /// The state of each daemon that a hook has started: `/run/systemd-netns/daemons`.
    pub daemons: PathBuf,
    /// The state files, locks and logs of the direct engine: `/run/systemd-netns/direct`.
    pub direct: PathBuf,
    /// Exists after `netns-update` has changed units, until systemd has read them: `/run/systemd-netns/reload`.
    pub reload: PathBuf,
    /// The socket of udev, which exists if udev runs: `/run/udev/control`.
    pub udev: PathBuf,
    /// Exists if systemd is PID 1 (`sd_booted(3)`).
    pub systemd: PathBuf,
    /// The settings of login(1), login.defs(5): `/etc/login.defs`.
    pub login_defs: PathBuf,
    /// A link for each active unit, to its invocation ID: `/run/systemd/units`.
    invocations: PathBuf,
}

impl Paths {
    /// Returns the paths below `root`.
    #[must_use]
    pub fn under(root: &Path) -> Self {
        // Absolute, because bash takes a path that begins with a hyphen for an option. This fails without a current directory.
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
            stopped: root.join("run/systemd-netns/stopped"),
            woken: root.join("run/systemd-netns/woken"),
            sysctls: root.join("run/systemd-netns/sysctls"),
            daemons: root.join("run/systemd-netns/daemons"),
            direct: root.join("run/systemd-netns/direct"),
            reload: root.join("run/systemd-netns/reload"),
            udev: root.join("run/udev/control"),
            systemd: root.join("run/systemd/system"),
            login_defs: root.join("etc/login.defs"),
            invocations: root.join("run/systemd/units"),
        }
    }

    /// A link that systemd creates when it starts a unit, and removes when the unit has stopped.
    #[must_use]
    pub fn invocation(&self, unit: &str) -> PathBuf {
        self.invocations.join(format!("invocation:{unit}"))
    }

    /// Whether these are the paths of the running machine, not of an image.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// The two possible paths of a plugin. The first one has priority.
    #[must_use]
    pub fn plugin(&self, nstype: &NsType) -> [PathBuf; 2] {
        let file = format!("{nstype}.sh");
        [self.conf.join(&file), self.share.join(&file)]
    }

    /// The layer of all types.
    #[must_use]
    pub fn default_conf(&self) -> PathBuf {
        self.conf.join("default.conf")
    }

    /// The layer of all instances of a type.
    #[must_use]
    pub fn conf_of_type(&self, nstype: &NsType) -> PathBuf {
        self.conf.join(format!("{nstype}.conf"))
    }

    /// The layer of one instance, which is read last.
    #[must_use]
    pub fn conf_of(&self, instance: &Instance) -> PathBuf {
        self.conf.join(format!("{}-{}.conf", instance.nstype, instance.name))
    }

    /// The mount point of a namespace.
    #[must_use]
    pub fn namespace(&self, name: &NsName) -> PathBuf {
        self.netns.join(name.to_string())
    }

    /// The ownership record of a namespace.
    #[must_use]
    pub fn ownership(&self, name: &NsName) -> PathBuf {
        self.ownership.join(name.to_string())
    }

    /// Exists while the interfaces of a namespace must stay down, because nft(8) cannot close the namespace. Contains the reason.
    #[must_use]
    pub fn closed(&self, name: &NsName) -> PathBuf {
        self.closed.join(name.to_string())
    }

    /// Exists while an attached unit must stay stopped when its namespace returns.
    #[must_use]
    pub fn stopped(&self, unit: &str) -> PathBuf {
        self.stopped.join(unit)
    }

    /// The instances and units that a connection to a port of an instance has brought up.
    #[must_use]
    pub fn woken(&self, instance: &Instance) -> PathBuf {
        self.woken.join(instance.to_string())
    }

    /// The remembered values of an instance.
    #[must_use]
    pub fn remembered(&self, instance: &Instance) -> PathBuf {
        self.remembered.join(instance.to_string())
    }

    /// The state of a daemon of an instance.
    #[must_use]
    pub fn daemon(&self, instance: &str, daemon: &str) -> PathBuf {
        self.daemons.join(format!("{instance}@{daemon}"))
    }

    /// The state file of a namespace (direct engine).
    #[must_use]
    pub fn state(&self, name: &NsName) -> PathBuf {
        self.direct.join(format!("{name}.json"))
    }

    /// The lock file of a namespace (direct engine).
    #[must_use]
    pub fn lock(&self, name: &NsName) -> PathBuf {
        self.direct.join(format!("{name}.lock"))
    }

    /// The output of the hooks of an instance, where no journal exists.
    #[must_use]
    pub fn log(&self, instance: &Instance) -> PathBuf {
        self.direct.join(format!("{instance}.log"))
    }

    /// The directory of the files that replace files of `/etc` in a namespace: `/etc/netns/NAME`, as in iproute2.
    #[must_use]
    pub fn files(&self, name: &NsName) -> PathBuf {
        self.root.join("etc/netns").join(name.to_string())
    }
}

/// The shell of hooks. This is a program of the running machine, so it is never below another root.
pub const BASH: &str = "/bin/bash";

/// The network namespace of this thread (namespaces(7)).
pub const OWN_NETNS: &str = "/proc/thread-self/ns/net";
/// The network namespace of PID 1.
pub const GLOBAL_NETNS: &str = "/proc/1/ns/net";

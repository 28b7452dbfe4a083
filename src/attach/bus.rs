//! The system bus of the host. Its socket is a file, so a network namespace does not hide it. A program that sets up a link
//! over the bus sends the index of the link. The host has another link with that index.

use anyhow::{Result, ensure};

use super::ServiceUnit;
use super::service_unit::UnitKind;
use crate::name::NsName;
use crate::systemd::show::Properties;

/// The directory of the socket. It is hidden as a whole, since a mount on the socket goes when that is replaced.
pub const DIRECTORY: &str = "/run/dbus";
/// The socket.
pub const SOCKET: &str = "/run/dbus/system_bus_socket";

/// Services that set up the host's links for a privileged program on the bus.
const MANAGERS: [&str; 4] =
    ["systemd-resolved.service", "systemd-networkd.service", "NetworkManager.service", "connman.service"];

/// The setting of a drop-in that hides the bus.
const HIDING: &str = "TemporaryFileSystem=/run/dbus:ro";
/// The comment of a drop-in by which the administrator lets the service have the bus.
const KEEPING: &str = "# --keep-bus: the service may use the system bus of the host.";

/// Whether an attached service has the system bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bus {
    /// It has the bus, and the administrator has not decided that.
    #[default]
    Undecided,
    /// `--hide-bus`
    Hidden,
    /// `--keep-bus`
    Kept,
}

impl Bus {
    /// Reads it from the text of a drop-in.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let has = |wanted| text.lines().any(|line| line == wanted);
        if has(HIDING) {
            Self::Hidden
        } else if has(KEEPING) {
            Self::Kept
        } else {
            Self::Undecided
        }
    }

    /// The option of `netnsctl attach`, after a blank, or nothing.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::Undecided => "",
            Self::Hidden => " --hide-bus",
            Self::Kept => " --keep-bus",
        }
    }

    /// The lines of the drop-in.
    pub(super) fn lines(self) -> String {
        match self {
            Self::Undecided => String::new(),
            Self::Hidden => {
                format!("# --hide-bus: the service cannot change the host's network over D-Bus.\n{HIDING}\n")
            }
            Self::Kept => format!("{KEEPING}\n"),
        }
    }

    /// Checks that a unit can be attached with the option.
    /// Errors: the unit is a socket, or owns a name on the bus.
    pub fn fits(self, unit: &ServiceUnit, properties: &Properties) -> Result<()> {
        let option = self.option().trim_start();
        ensure!(
            option.is_empty() || unit.kind() == UnitKind::Service,
            "cannot use {option} for the socket `{unit}`: use it for the service that the socket starts"
        );
        let name = properties.get("BusName");
        ensure!(
            self != Self::Hidden || name.is_empty(),
            "cannot hide the bus from `{unit}`: the service has to own BusName={name} on the bus; use --keep-bus"
        );
        Ok(())
    }
}

/// Finds the managers of links that run or are enabled on the host.
/// Errors: systemctl is missing or fails.
pub fn managers() -> Result<Vec<String>> {
    let is_used = |one: &Properties| one.runs() || one.get("UnitFileState").starts_with("enabled");
    let all = Properties::of("ActiveState,UnitFileState", MANAGERS)?;
    Ok(all.iter().filter(|one| is_used(one)).map(|one| one.id().to_owned()).collect())
}

/// Describes the risk of a service of root that can reach the bus. `managers` are those of the host; `ours` is the decision in
/// a drop-in that is about to be replaced.
#[must_use]
pub fn risk(
    unit: &str,
    properties: &Properties,
    namespace: &NsName,
    managers: &[String],
    ours: Bus,
) -> Option<String> {
    let applies = unit.ends_with(".service")
        && !managers.is_empty()
        && is_privileged(properties)
        && reaches(properties, ours);
    applies.then(|| {
        format!(
            "`{unit}` runs as root and has the system bus of the host: by {}, a program such as resolvectl changes links of the \
             host, not those of `{namespace}`",
            managers.join(" or ")
        )
    })
}

/// Whether the processes of a service are root to the managers, which ask polkit for anybody else.
fn is_privileged(properties: &Properties) -> bool {
    ["", "root", "0"].contains(&properties.get("User")) && properties.get("DynamicUser") != "yes"
}

/// Whether a service can connect to the bus, by its own settings.
fn reaches(properties: &Properties, ours: Bus) -> bool {
    let is_hidden = |key: &str| {
        properties.words(key).any(|word| {
            let path = word.trim_start_matches(['-', '+']).split(':').next().unwrap_or_default();
            let is_ours =
                ours == Bus::Hidden && key == "TemporaryFileSystem" && HIDING.ends_with(&format!("={word}"));
            !is_ours && ["/run", "/run/dbus", SOCKET, "/var/run", "/var/run/dbus"].contains(&path)
        })
    };
    let families = properties.get("RestrictAddressFamilies");
    let refused = families.starts_with('~');
    let has_unix = families.trim_start_matches('~').split_whitespace().any(|family| family == "AF_UNIX");
    !["InaccessiblePaths", "TemporaryFileSystem"].into_iter().any(is_hidden)
        && (families.is_empty() || has_unix != refused)
        && ["RootDirectory", "RootImage"].iter().all(|key| properties.get(key).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn risk_of(listing: &str, ours: Bus) -> Option<String> {
        let properties = Properties::parse(&format!("Id=a.service\n{listing}")).remove(0);
        risk("a.service", &properties, &"n".parse().unwrap(), &["systemd-resolved.service".to_owned()], ours)
    }

    #[test]
    fn a_service_of_root_that_has_the_bus_is_a_risk() {
        for (listing, is_risk) in [
            ("", true),
            ("User=root", true),
            ("User=web", false),
            ("DynamicUser=yes", false),
            ("InaccessiblePaths=-/run/docker.sock -/run/dbus", false),
            ("TemporaryFileSystem=/run:ro", false),
            ("TemporaryFileSystem=/run/dbus:ro", false),
            ("TemporaryFileSystem=/var", true),
            ("RestrictAddressFamilies=AF_INET AF_INET6", false),
            ("RestrictAddressFamilies=AF_INET AF_UNIX", true),
            ("RestrictAddressFamilies=~AF_UNIX", false),
            ("RestrictAddressFamilies=~AF_NETLINK", true),
            ("RootDirectory=/srv/web", false),
        ] {
            assert_eq!(risk_of(listing, Bus::Undecided).is_some(), is_risk, "{listing}");
        }
        assert!(risk_of("TemporaryFileSystem=/run/dbus:ro", Bus::Hidden).is_some());
        assert!(risk_of("TemporaryFileSystem=/run/dbus:ro /run", Bus::Hidden).is_none());
    }

    #[test]
    fn without_a_manager_of_links_there_is_no_risk_nor_of_a_socket() {
        let (properties, name) = (Properties::default(), "n".parse().unwrap());
        assert_eq!(risk("a.service", &properties, &name, &[], Bus::Undecided), None);
        assert_eq!(risk("a.socket", &properties, &name, &["x.service".to_owned()], Bus::Undecided), None);
    }

    #[test]
    fn the_option_is_read_from_the_lines_that_it_writes() {
        for bus in [Bus::Undecided, Bus::Hidden, Bus::Kept] {
            assert_eq!(Bus::of(&bus.lines()), bus);
        }
    }

    #[test]
    fn a_socket_and_a_service_with_a_bus_name_cannot_be_without_the_bus() {
        let properties = Properties::parse("Id=a.service\nBusName=org.example\n").remove(0);
        let service: ServiceUnit = "a".parse().unwrap();
        assert!(
            Bus::Hidden.fits(&service, &properties).unwrap_err().to_string().contains("BusName=org.example")
        );
        assert!(Bus::Kept.fits(&service, &properties).is_ok());
        assert!(Bus::Hidden.fits(&service, &Properties::default()).is_ok());
        let socket: ServiceUnit = "a.socket".parse().unwrap();
        assert!(Bus::Hidden.fits(&socket, &Properties::default()).is_err());
        assert!(Bus::Undecided.fits(&socket, &properties).is_ok());
    }
}

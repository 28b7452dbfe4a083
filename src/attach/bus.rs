//! The system bus of the host. The socket is a file, so a network namespace does not hide the bus. A program that sets
//! up a link over the bus sends the index of the link. On the host this index belongs to another link.

use anyhow::{Result, ensure};

use super::ServiceUnit;
use super::service_unit::UnitKind;
use crate::name::NsName;
use crate::systemd::show::Properties;

/// The directory of the socket. The whole directory is hidden: a mount on the socket would disappear when the socket is
/// replaced.
pub const DIRECTORY: &str = "/run/dbus";
/// The socket.
pub const SOCKET: &str = "/run/dbus/system_bus_socket";

/// The link managers: services that change links of the host when a privileged program asks them over the bus.
const MANAGERS: [&str; 4] =
    ["systemd-resolved.service", "systemd-networkd.service", "NetworkManager.service", "connman.service"];

/// The setting of a drop-in that hides the bus.
const HIDE_SETTING: &str = "TemporaryFileSystem=/run/dbus:ro";
/// The comment in a drop-in that records `--keep-bus`: the administrator lets the service use the bus.
const KEEP_COMMENT: &str = "# --keep-bus: the service may use the system bus of the host.";

/// Whether an attached service can use the system bus of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bus {
    /// The administrator has given neither option. The service can use the bus.
    #[default]
    Undecided,
    /// `--hide-bus`
    Hidden,
    /// `--keep-bus`
    Kept,
}

impl Bus {
    /// Reads the setting from the text of a drop-in.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let has = |wanted| text.lines().any(|line| line == wanted);
        if has(HIDE_SETTING) {
            Self::Hidden
        } else if has(KEEP_COMMENT) {
            Self::Kept
        } else {
            Self::Undecided
        }
    }

    /// The option of `netnsctl attach` with a leading space, or an empty string.
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
                format!(
                    "# --hide-bus: the service cannot change the host's network over D-Bus.\n{HIDE_SETTING}\n"
                )
            }
            Self::Kept => format!("{KEEP_COMMENT}\n"),
        }
    }

    /// Checks that a unit can be attached with this setting.
    /// Errors: an option was given, and the unit is a socket; or `--hide-bus` was given, and the unit owns a name on the bus.
    pub fn ensure_allowed(self, unit: &ServiceUnit, properties: &Properties) -> Result<()> {
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

/// Finds the link managers that run or are enabled on the host.
/// Errors: systemctl is missing or fails.
pub fn managers() -> Result<Vec<String>> {
    let is_used = |one: &Properties| one.runs() || one.get("UnitFileState").starts_with("enabled");
    let all = Properties::of("ActiveState,UnitFileState", MANAGERS)?;
    Ok(all.iter().filter(|one| is_used(one)).map(|one| one.id().to_owned()).collect())
}

/// Describes the risk of a root service that can reach the bus. `managers`: the link managers of the host. `decision`: the
/// setting of an existing drop-in.
#[must_use]
pub fn risk(
    unit: &str,
    properties: &Properties,
    namespace: &NsName,
    managers: &[String],
    decision: Bus,
) -> Option<String> {
    let applies = unit.ends_with(".service")
        && !managers.is_empty()
        && is_privileged(properties)
        && can_reach(properties, decision);
    applies.then(|| {
        format!(
            "`{unit}` runs as root and can use the system bus of the host: through {}, a program such as resolvectl changes links \
             of the host, not of `{namespace}`",
            managers.join(" or ")
        )
    })
}

/// Whether a service runs as root. For requests of other users, the link managers ask polkit.
fn is_privileged(properties: &Properties) -> bool {
    ["", "root", "0"].contains(&properties.get("User")) && properties.get("DynamicUser") != "yes"
}

/// Whether the service's own settings allow a connection to the bus.
fn can_reach(properties: &Properties, decision: Bus) -> bool {
    let is_hidden = |key: &str| {
        properties.values(key).any(|entry| {
            let path = entry.trim_start_matches(['-', '+']).split(':').next().unwrap_or_default();
            let is_ours = decision == Bus::Hidden
                && key == "TemporaryFileSystem"
                && HIDE_SETTING.ends_with(&format!("={entry}"));
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

    fn risk_of(listing: &str, decision: Bus) -> Option<String> {
        let properties = Properties::parse(&format!("Id=a.service\n{listing}")).remove(0);
        risk(
            "a.service",
            &properties,
            &"n".parse().unwrap(),
            &["systemd-resolved.service".to_owned()],
            decision,
        )
    }

    #[test]
    fn a_root_service_with_the_bus_is_a_risk() {
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
    fn without_a_link_manager_a_service_is_not_a_risk_and_a_socket_never_is() {
        let (properties, name) = (Properties::default(), "n".parse().unwrap());
        assert_eq!(risk("a.service", &properties, &name, &[], Bus::Undecided), None);
        assert_eq!(risk("a.socket", &properties, &name, &["x.service".to_owned()], Bus::Undecided), None);
    }

    #[test]
    fn the_setting_is_read_back_from_the_drop_in() {
        for bus in [Bus::Undecided, Bus::Hidden, Bus::Kept] {
            assert_eq!(Bus::of(&bus.lines()), bus);
        }
    }

    #[test]
    fn the_bus_cannot_be_hidden_from_a_socket_or_from_a_service_with_a_bus_name() {
        let properties = Properties::parse("Id=a.service\nBusName=org.example\n").remove(0);
        let service: ServiceUnit = "a".parse().unwrap();
        assert!(
            Bus::Hidden
                .ensure_allowed(&service, &properties)
                .unwrap_err()
                .to_string()
                .contains("BusName=org.example")
        );
        assert!(Bus::Kept.ensure_allowed(&service, &properties).is_ok());
        assert!(Bus::Hidden.ensure_allowed(&service, &Properties::default()).is_ok());
        let socket: ServiceUnit = "a.socket".parse().unwrap();
        assert!(Bus::Hidden.ensure_allowed(&socket, &Properties::default()).is_err());
        assert!(Bus::Undecided.ensure_allowed(&socket, &properties).is_ok());
    }
}

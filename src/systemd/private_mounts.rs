//! Settings that give a unit its own mount namespace or network. The changes that the unit makes there are hidden from the host.

use anyhow::Result;

use super::show::Properties;

/// The settings (systemd.exec(5), `exec_needs_mount_namespace` in systemd's src/core/execute.c).
const SETTINGS: &str = "BindLogSockets,BindPaths,BindReadOnlyPaths,DynamicUser,ExecPaths,ExtensionDirectories,ExtensionImages,\
    InaccessiblePaths,IPCNamespacePath,LogNamespace,MountFlags,MountImages,NoExecPaths,PrivateBPF,PrivateDevices,PrivateIPC,\
    PrivateMounts,PrivateNetwork,PrivatePIDs,PrivateTmp,ProcSubset,ProtectControlGroups,ProtectHome,ProtectKernelLogs,ProtectKernelModules,\
    ProtectKernelTunables,ProtectProc,ProtectSystem,ReadOnlyPaths,ReadWritePaths,RootDirectory,RootImage,TemporaryFileSystem";

/// The values that have no effect. systemd does not show empty lists.
const DEFAULTS: [&str; 6] = ["", "no", "0", "all", "default", "shared"];

/// A unit with such settings.
#[derive(Debug)]
pub struct PrivateMounts {
    /// The unit.
    pub unit: String,
    /// The settings: `PrivateTmp=yes`.
    pub settings: Vec<String>,
}

impl PrivateMounts {
    /// Finds the units with such settings. Drop-ins count, also those for all services (`service.d`).
    /// Errors: systemctl is missing or fails.
    pub fn of<Unit: AsRef<str>>(units: impl IntoIterator<Item = Unit>) -> Result<Vec<Self>> {
        let found = Properties::of(SETTINGS, units)?
            .into_iter()
            .map(|unit| Self { settings: settings(&unit), unit: unit.id().to_owned() });
        Ok(found.filter(|unit| !unit.settings.is_empty()).collect())
    }

    /// Returns the command that shows the files with the settings, as an advice.
    #[must_use]
    pub fn advice(&self) -> String {
        format!("remove the setting; `systemctl cat {}` shows its file", self.unit)
    }
}

fn settings(unit: &Properties) -> Vec<String> {
    let set =
        SETTINGS.split(',').map(|key| (key, unit.get(key))).filter(|(_, value)| !DEFAULTS.contains(value));
    set.map(|(key, value)| format!("{key}={}", value.replace('\n', " "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_with_an_effect_are_found() {
        let listing = "Id=a.service\nPrivateTmp=yes\nProtectHome=no\nProtectProc=default\nProcSubset=all\nReadOnlyPaths=/a /b\n\
                       MountFlags=\nPrivateNetwork=yes\nPrivateUsers=yes\n";
        let found = settings(&Properties::parse(listing)[0]);
        assert_eq!(found, ["PrivateNetwork=yes", "PrivateTmp=yes", "ReadOnlyPaths=/a /b"]);
    }
}

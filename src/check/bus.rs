//! Reports attached services that can use the system bus of the host although `--hide-bus` was given, or that were attached with
//! neither `--hide-bus` nor `--keep-bus`.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Finding;
use super::view::open;
use crate::attach::bus::{self, Bus};
use crate::attach::{self, Attached, ServiceUnit};
use crate::paths::Paths;
use crate::systemd::show::Properties;

/// Checks an attached unit, or an instance of an attached template.
pub(super) fn check(
    paths: &Paths,
    unit: &ServiceUnit,
    one: &Attached,
    properties: &Properties,
    managers: &[String],
) -> Vec<Finding> {
    let option = attach::bus_setting(paths, unit);
    let id = properties.get("Id");
    let instances: Vec<String> = one.instances.iter().map(ToString::to_string).collect();
    let mut findings = Vec::new();
    if option == Bus::Hidden {
        let shown =
            attach::exposing_mounts(id, properties, &[bus::DIRECTORY.into()], "the system bus of the host");
        findings.extend(shown.into_iter().map(Finding::error));
        let pid = properties.main_pid().filter(|pid| findings.is_empty() && is_open(*pid));
        findings.extend(pid.map(|pid| {
            Finding::error(format!(
                "`{id}` (process {pid}) can use the system bus of the host, {}",
                bus::SOCKET
            ))
            .advice(format!("`systemctl restart {id}`"))
        }));
    } else if option == Bus::Undecided
        && let Some(risk) = bus::risk(id, properties, &one.namespace, managers, Bus::Undecided)
    {
        findings.push(Finding::warning(risk).advice(format!(
            "`netnsctl attach {unit} {} --hide-bus` hides the bus, --keep-bus accepts the risk",
            instances.join(" ")
        )));
    }
    let place = attach::drop_in_path(paths, unit).display().to_string();
    findings.into_iter().map(|finding| finding.at(&place)).collect()
}

/// Whether a process can connect to the bus of the host by its path.
fn is_open(pid: u32) -> bool {
    let id = |found: Metadata| (found.dev(), found.ino());
    let found = open(pid, Path::new(bus::SOCKET)).and_then(|found| Ok(found.metadata()?)).map(id);
    matches!((found, Path::new(bus::SOCKET).metadata().map(id)), (Ok(found), Ok(host)) if found == host)
}

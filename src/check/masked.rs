//! Reports masked units of instances. systemd does not start a masked unit (systemctl(1), "mask").

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Examined, Finding};
use crate::engine::preflight::masked_unit;
use crate::name::Instance;
use crate::systemd::UNIT_PATH;
use crate::systemd::unit_files::leads_to_null;

/// Checks the units of the wanted instances. Instances with the same mask have the same finding. A mask can be intended, but not that
/// of a firewall: `up` refuses it.
pub(super) fn check(examined: &[Examined], is_wanted: &dyn Fn(&Instance) -> bool) -> BTreeSet<Finding> {
    let wanted = examined.iter().filter(|one| is_wanted(&one.instance));
    let masks = wanted.flat_map(|Examined { instance, declaration, .. }| {
        let mut units = vec![instance.name.unit(), instance.outside_unit(), instance.unit()];
        units.extend(declaration.firewall.then(|| instance.name.closed_unit()));
        units.into_iter().filter_map(|unit| mask(&unit, declaration.firewall))
    });
    masks.collect()
}

fn mask(unit: &str, is_firewall: bool) -> Option<Finding> {
    let template = || Some(format!("{}@.service", unit.split_once('@')?.0));
    let file = unit_file(unit).or_else(|| unit_file(&template()?)).filter(|file| is_mask(file))?;
    let masked = file.file_name()?.to_str()?;
    let message = masked_unit(masked);
    let finding = if is_firewall { Finding::error(message) } else { Finding::note(message) };
    Some(finding.at(file.display().to_string()))
}

/// The file of a unit in the first directory that has one.
fn unit_file(unit: &str) -> Option<PathBuf> {
    UNIT_PATH
        .iter()
        .map(|directory| Path::new(directory).join(unit))
        .find(|path| path.symlink_metadata().is_ok())
}

/// Whether a unit file is a mask: a link to `/dev/null`, or an empty file.
fn is_mask(file: &Path) -> bool {
    leads_to_null(file) || file.metadata().is_ok_and(|found| found.is_file() && found.len() == 0)
}

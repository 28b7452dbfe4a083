//! Properties of units, parsed from `systemctl show`.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;

use super::systemctl::systemctl;

/// The properties of one unit (systemd.unit(5), org.freedesktop.systemd1(5)).
#[derive(Clone, Debug, Default)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Queries the properties `KEY,KEY` of units, by names or patterns. A pattern matches loaded units, also inactive ones.
    /// Errors: systemctl is missing or fails.
    pub fn of<Unit: AsRef<str>>(keys: &str, units: impl IntoIterator<Item = Unit>) -> Result<Vec<Self>> {
        // Each name has a result, in the order of the names, even if the unit does not exist.
        let units: Vec<String> = units.into_iter().map(|unit| unit.as_ref().to_owned()).collect();
        if units.is_empty() {
            return Ok(Vec::new()); // systemctl would show systemd itself
        }
        // Without `--all`, a pattern matches only active units.
        let all = units.iter().any(|unit| unit.contains('*')).then_some("--all");
        let properties = format!("--property=Id,{keys}");
        let options = [properties.as_str()].into_iter().chain(all).chain(["--"]);
        // Times are in UTC. systemd 249 and 250 do not have the option `--timestamp=unix`.
        let answer = systemctl("show").env("TZ", "UTC").args(options).args(units).run()?.success()?;
        Ok(Self::parse(&answer.text()))
    }

    /// Parses blocks of `KEY=value` lines. Empty lines separate the blocks. The values of a repeated key are joined with
    /// newlines. Blocks without `Id` are ignored.
    #[must_use]
    pub fn parse(listing: &str) -> Vec<Self> {
        let block = |block: &str| {
            let mut properties: BTreeMap<String, String> = BTreeMap::new();
            for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
                let known = properties.entry(key.to_owned()).or_default();
                if !known.is_empty() {
                    known.push('\n');
                }
                *known += value;
            }
            Self(properties)
        };
        listing.split("\n\n").map(block).filter(|found| !found.id().is_empty()).collect()
    }

    /// The value of a property; empty if it is missing.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// The values of a property that is a list.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.get(key).split_whitespace()
    }

    /// The values of several properties `KEY,KEY` that are lists.
    pub fn all_values<'a>(&'a self, keys: &'a str) -> impl Iterator<Item = &'a str> {
        keys.split(',').flat_map(|key| self.values(key))
    }

    /// A time of the unit in microseconds of the monotonic clock; 0 if the unit has not had this state.
    #[must_use]
    pub fn time(&self, key: &str) -> u64 {
        self.get(key).parse().unwrap_or(0)
    }

    /// The main name of the unit.
    #[must_use]
    pub fn id(&self) -> &str {
        self.get("Id")
    }

    /// The time of the last change of state.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        // `Mon 2025-11-24 16:00:00 UTC`
        let mut words = self.values("StateChangeTimestamp").skip(1);
        let (date, time) = (words.next()?, words.next()?);
        format!("{date}T{time}Z").parse().ok()
    }

    /// Adds a value to a property that is a list.
    pub fn add(&mut self, key: &str, value: &str) {
        let values = format!("{} {value}", self.get(key));
        self.0.insert(key.to_owned(), values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_is_a_unit_and_truncated_lines_are_left_out() {
        let units = Properties::parse(
            "Id=a.service\nMainPID=7\nBindPaths=a\nBindPaths=b\n\nMainPID=0\n\nId=b.service\nMainP",
        );
        assert_eq!(units.len(), 2);
        assert_eq!((units[0].get("MainPID"), units[0].get("BindPaths")), ("7", "a\nb"));
        assert_eq!((units[1].id(), units[1].get("MainPID")), ("b.service", ""));
    }

    #[test]
    fn the_time_of_a_change_is_in_seconds_and_can_be_missing() {
        let units = Properties::parse(
            "StateChangeTimestamp=Mon 2025-11-24 16:00:00 UTC\nId=a\n\nId=b\nStateChangeTimestamp=\n",
        );
        let seconds: Vec<_> = units.iter().map(|unit| unit.since().map(Timestamp::as_second)).collect();
        assert_eq!(seconds, [Some(1_764_000_000), None]);
    }
}

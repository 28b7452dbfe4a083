//! `wireguard_read` and `wireguard_commands`: print the parts of a tunnel that bash applies. Also reads the tunnel for the other functions.

use anyhow::{Result, anyhow, bail, ensure};

use super::super::Call;
use super::super::link::add::split;
use super::super::link::settings::Settings;
use super::config::{COMMANDS, Config};
use super::settings::below;
use crate::print;
use crate::trust;

/// `wireguard_read`: reads a tunnel, and prints its settings for bash, `NAME=VALUE`, unless they are set already. A line with an error
/// begins with `!`. Arguments: PREFIX -- [NAME=VALUE...].
/// Errors: the arguments are invalid.
pub fn read(call: &Call, arguments: &[&str]) -> Result<()> {
    let (words, values) = split(arguments)?;
    let [prefix] = words else { bail!("expected PREFIX") };
    let settings = Settings::read(prefix, values)?;
    if settings.one("NSNAME_SOCKET") == Some(call.instance.name.as_ref()) {
        let setting = settings.name("NSNAME_SOCKET");
        print::say(&format!(
            "!{setting}: is the namespace of the tunnel itself; name another one, or unset it"
        ));
        return Ok(());
    }
    let config = match trusted(call, &settings).and_then(|()| Config::read(&call.paths.root, &settings)) {
        Ok(config) => config,
        Err(faults) => {
            // One line each, so that no part of a value can look like another line.
            for line in faults.iter().flat_map(|fault| fault.lines()) {
                print::say(&format!("!{line}"));
            }
            return Ok(());
        }
    };
    for (key, values) in [
        ("IFADDR", config.addresses.clone()),
        ("ROUTES", config.routes()),
        ("MTU", config.mtu.iter().map(ToString::to_string).collect()),
        ("DNS_SERVERS", joined(&config.dns)),
        ("DNS_SEARCH", joined(&config.search)),
    ] {
        if settings.one(key).is_none() {
            for value in values {
                print::say(&format!("{}={value}", settings.name(key)));
            }
        }
    }
    Ok(())
}

/// The words in one text; nothing if there are none.
fn joined(words: &[String]) -> Vec<String> {
    if words.is_empty() { Vec::new() } else { vec![words.join(" ")] }
}

/// `wireguard_commands`: prints the commands of the file for a moment, one a line, if they are allowed. Arguments: PREFIX KEY --
/// [NAME=VALUE...].
/// Errors: the file cannot be read, or is invalid.
pub fn commands(call: &Call, arguments: &[&str]) -> Result<()> {
    let (words, values) = split(arguments)?;
    let [prefix, key] = words else { bail!("expected PREFIX KEY") };
    ensure!(COMMANDS.contains(key), "'{key}' is not one of {}", COMMANDS.join(", "));
    let settings = Settings::read(prefix, values)?;
    let Some(ifname) = settings.one("IFNAME") else { bail!("{} is not set", settings.name("IFNAME")) };
    let config = valid(call, &settings)?;
    for (_, command) in config.commands.iter().filter(|(found, _)| found == key) {
        print::say(&command.replace("%i", ifname));
    }
    Ok(())
}

/// Checks that only root may write the files of a tunnel: they decide where its traffic goes.
fn trusted(call: &Call, settings: &Settings) -> Result<(), Vec<String>> {
    let paths = ["CONFIG", "PRIVATE_KEY_FILE"].into_iter().filter_map(|key| settings.one(key));
    trust::require(&call.paths.root, paths.map(|path| below(&call.paths.root, path)))
        .map_err(|error| vec![format!("{error:#}")])
}

/// Reads a tunnel.
/// Errors: a value is invalid.
pub(super) fn valid(call: &Call, settings: &Settings) -> Result<Config> {
    let config = trusted(call, settings).and_then(|()| Config::read(&call.paths.root, settings));
    config.map_err(|faults| anyhow!(faults.join("\n")))
}

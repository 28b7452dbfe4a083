//! `wireguard_read` and `wireguard_commands`: print the parts of a tunnel that bash applies. Also reads the tunnel for the other functions.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail, ensure};

use super::super::link::add::split;
use super::super::link::settings::Settings;
use super::super::{Call, link, place_of};
use super::config::{COMMANDS, Config, FileLine};
use super::port;
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
    let found = read_all(call, &settings).and_then(|config| {
        let results = missing_settings(&settings, &config);
        let taken = || port::taken(call, &settings, &config).map(|error| format!("{error:#}"));
        match refused(call, &settings, values, &config, &results).or_else(taken) {
            Some(fault) => Err(vec![fault]),
            None => Ok(results),
        }
    });
    let results = match found {
        Ok(results) => results,
        Err(faults) => {
            // One line each, so that no part of a value can look like another line.
            for line in faults.iter().flat_map(|fault| fault.lines()) {
                print::say(&format!("!{line}"));
            }
            return Ok(());
        }
    };
    for word in results {
        print::say(&word);
    }
    Ok(())
}

/// The settings that have their values from the file, as NAME=VALUE.
fn missing_settings(settings: &Settings, config: &Config) -> Vec<String> {
    let values = [
        ("IFADDR", config.addresses.clone()),
        ("ROUTES", config.routes()),
        ("MTU", config.mtu.iter().map(ToString::to_string).collect()),
        ("DNS_SERVERS", joined(&config.dns)),
        ("DNS_SEARCH", joined(&config.search)),
    ];
    let missing = values.into_iter().filter(|(key, _)| settings.one(key).is_none());
    missing
        .flat_map(|(key, values)| values.into_iter().map(move |value| (key, value)))
        .map(|(key, value)| format!("{}={value}", settings.name(key)))
        .collect()
}

/// Checks the values together, as `link_add` and `link_configure` do. Returns a message about the line of the file, or the setting.
fn refused(
    call: &Call,
    settings: &Settings,
    values: &[&str],
    config: &Config,
    missing: &[String],
) -> Option<String> {
    let words: Vec<&str> = values.iter().copied().chain(missing.iter().map(String::as_str)).collect();
    let (name, message) =
        link::problem(call.paths, &call.instance, "wireguard", settings.prefix(), "", &words)?;
    let is_of_file = missing.iter().any(|word| word.split_once('=').is_some_and(|(one, _)| one == name));
    let table = message.contains("\"table\" value"); // as ip(8) calls it
    let expected = "expected auto, off, or the number or name of a routing table";
    if table
        && is_of_file
        && let Some(value) = settings.one("TABLE")
    {
        return Some(format!("{}: '{value}': {expected}", settings.name("TABLE")));
    }
    let keys: &[&str] = match name.strip_prefix(settings.prefix()).unwrap_or_default() {
        _ if !is_of_file => &[],
        "_IFADDR" => &["Address"],
        "_ROUTES" if table => &["Table"],
        "_ROUTES" => &["AllowedIPs"],
        _ => &["MTU"],
    };
    Some(match config.line_of(keys, &message) {
        Some(FileLine { place, key, value }) if table => format!("{place}: {key}: '{value}': {expected}"),
        Some(FileLine { place, key, value }) => format!("{place}: {key}: '{value}': {message}"),
        None => format!("{name}: {message}"),
    })
}

/// The words in one text; nothing if there are none.
fn joined(words: &[String]) -> Vec<String> {
    if words.is_empty() { Vec::new() } else { vec![words.join(" ")] }
}

/// `wireguard_commands`: prints the commands of the file for a moment, each in a line with its place, if they are allowed.
/// Arguments: PREFIX KEY -- [NAME=VALUE...].
/// Errors: the file cannot be read, or is invalid.
pub fn commands(call: &Call, arguments: &[&str]) -> Result<()> {
    let (words, values) = split(arguments)?;
    let [prefix, key] = words else { bail!("expected PREFIX KEY") };
    ensure!(COMMANDS.contains(key), "'{key}' is not one of {}", COMMANDS.join(", "));
    let settings = Settings::read(prefix, values)?;
    let Some(ifname) = settings.one("IFNAME") else { bail!("{} is not set", settings.name("IFNAME")) };
    let config = valid(call, &settings)?;
    for line in config.lines.iter().filter(|line| line.key == *key) {
        print::say(&format!("{}\t{}", line.place, line.value.replace("%i", ifname)));
    }
    Ok(())
}

/// Checks that only root may write the files of a tunnel: they decide where its traffic goes.
fn trusted(call: &Call, settings: &Settings) -> Result<(), Vec<String>> {
    let root = &call.paths.root;
    let paths = ["CONFIG", "PRIVATE_KEY_FILE"].into_iter().filter_map(|key| settings.one(key));
    let paths: Vec<PathBuf> = paths.map(|path| below(root, path)).collect();
    if trust::allowed() {
        return trust::require(root, paths).map_err(|error| vec![format!("{error:#}")]);
    }
    let found = trust::check(root, paths);
    if found.is_empty() { Ok(()) } else { Err(found.iter().map(ToString::to_string).collect()) }
}

/// Reads a tunnel.
/// Errors: a line for each fault, `PLACE: MESSAGE`.
fn read_all(call: &Call, settings: &Settings) -> Result<Config, Vec<String>> {
    trusted(call, settings)?;
    Config::read(&call.paths.root, settings).map_err(|faults| {
        // A setting that no file sets has its default.
        let setting = settings.name("CONFIG");
        let is_missing = |path: &&str| !below(&call.paths.root, path).exists();
        match settings.one("CONFIG").filter(is_missing) {
            Some(path)
                if faults.iter().any(|fault| fault.starts_with(&setting))
                    && place_of(call.paths, &call.instance, &setting).is_none() =>
            {
                vec![format!(
                    "{path}: the file does not exist: save the file of wg-quick(8) there, or set {setting}"
                )]
            }
            _ => faults,
        }
    })
}

/// Reads a tunnel.
/// Errors: a value is invalid.
pub(super) fn valid(call: &Call, settings: &Settings) -> Result<Config> {
    read_all(call, settings).map_err(|faults| anyhow!(faults.join("\n")))
}

//! Names, and the command lines of all applets.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use clap::Parser;
use systemd_netns::internals::Paths;
use systemd_netns::internals::hook;
use systemd_netns::internals::{Ctl, InitArgs, NftSaveArgs, UpdateArgs};
use systemd_netns::internals::{Instance, NsName, NsType, Target};

/// The maximum length of a name; see `src/name/mod.rs`.
const MAX_LENGTH: usize = 200;

/// An accepted name is unchanged, and each path with it stays in its directory.
pub fn name(argument: &[u8]) {
    let os = OsStr::from_bytes(argument);
    let paths = Paths::under(Path::new("/root"));
    let is_plain = |inner: &[u8]| {
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || inner.contains(byte);
        argument.len() <= MAX_LENGTH && argument.iter().all(is_allowed) && !b".:-".contains(&argument[0])
    };
    if let Ok(nstype) = NsType::new(os) {
        assert!(is_plain(b".") && nstype.as_ref().as_bytes() == argument && nstype.as_ref() != "default");
        assert_eq!(paths.plugin(&nstype)[0].parent(), Some(paths.conf.as_path()));
        assert_eq!(paths.conf_of_type(&nstype).parent(), Some(paths.conf.as_path()));
    }
    if let Ok(name) = NsName::new(os) {
        assert!(is_plain(b".:-") && name.as_ref().as_bytes() == argument);
        assert_eq!(paths.namespace(&name).parent(), Some(paths.netns.as_path()));
        assert_eq!(paths.state(&name).parent(), Some(paths.direct.as_path()));
    }
    let Ok(text) = std::str::from_utf8(argument) else { return };
    if let Ok(instance) = text.parse::<Instance>() {
        assert_eq!(instance.to_string(), text);
        assert!(format!("netns_outside-{text}.service").len() > 255 || text.len() <= 2 * MAX_LENGTH + 1);
        assert_eq!(paths.remembered(&instance).parent(), Some(paths.remembered.as_path()));
        assert_eq!(paths.conf_of(&instance).parent(), Some(paths.conf.as_path()));
    }
    if let Ok(Target::Namespace(name)) = text.parse() {
        assert_eq!(name.as_ref(), text);
    }
}

/// A command line is accepted or refused. Accepted arguments are unchanged.
pub fn command_line(arguments: &[Vec<u8>]) {
    let arguments: Vec<OsString> = arguments.iter().cloned().map(OsString::from_vec).collect();
    if let Ok(hook) = hook::parse(&arguments) {
        assert_eq!(hook.extra, arguments[2..arguments.len() - 2]);
    }
    if let Ok(options) = InitArgs::read(arguments.clone()) {
        assert!(arguments.ends_with(&options.arguments), "{arguments:?}: {options:?}");
    }
    let after = |name: &str| [OsString::from(name)].into_iter().chain(arguments.iter().cloned());
    _ = UpdateArgs::try_parse_from(after("netns-update"));
    _ = NftSaveArgs::try_parse_from(after("netns-nft-save"));
    for verb in ["up", "list", "status", "check", "show", "run", "new", "cat", "types", "completion"] {
        let verb = [OsString::from("netnsctl"), verb.into()];
        _ = Ctl::try_parse_from(verb.into_iter().chain(arguments.iter().cloned()));
    }
    _ = Ctl::try_parse_from(after("netnsctl"));
}

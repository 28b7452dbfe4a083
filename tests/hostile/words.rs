//! Names and words of every applet.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use clap::Parser;
use systemd_netns::internals::Paths;
use systemd_netns::internals::hook;
use systemd_netns::internals::{Ctl, InitArgs, NftSaveArgs, UpdateArgs};
use systemd_netns::internals::{Instance, NsName, NsType, Target};

/// The longest name; in `src/name/` is why.
const MAX: usize = 200;

/// A name that is taken is what it was, and no path goes out of its directory by it.
pub fn name(word: &[u8]) {
    let os = OsStr::from_bytes(word);
    let paths = Paths::under(Path::new("/root"));
    let plain = |inside: &[u8]| {
        word.len() <= MAX
            && word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || inside.contains(byte))
            && !b".:-".contains(&word[0])
    };
    if let Ok(nstype) = NsType::new(os) {
        assert!(plain(b".") && nstype.as_ref().as_bytes() == word && nstype.as_ref() != "default");
        assert_eq!(paths.plugin(&nstype)[0].parent(), Some(paths.conf.as_path()));
        assert_eq!(paths.conf_of_type(&nstype).parent(), Some(paths.conf.as_path()));
    }
    if let Ok(name) = NsName::new(os) {
        assert!(plain(b".:-") && name.as_ref().as_bytes() == word);
        assert_eq!(paths.namespace(&name).parent(), Some(paths.netns.as_path()));
        assert_eq!(paths.state(&name).parent(), Some(paths.direct.as_path()));
    }
    let Ok(text) = std::str::from_utf8(word) else { return };
    if let Ok(instance) = text.parse::<Instance>() {
        assert_eq!(instance.to_string(), text);
        assert!(format!("netns_outside-{text}.service").len() > 255 || text.len() <= 2 * MAX + 1);
        assert_eq!(paths.remembered(&instance).parent(), Some(paths.remembered.as_path()));
        assert_eq!(paths.conf_of(&instance).parent(), Some(paths.conf.as_path()));
    }
    if let Ok(Target::Namespace(name)) = text.parse() {
        assert_eq!(name.as_ref(), text);
    }
}

/// A command line is taken or refused, and words that are taken are the same words.
pub fn command_line(words: &[Vec<u8>]) {
    let words: Vec<OsString> = words.iter().cloned().map(OsString::from_vec).collect();
    if let Ok(hook) = hook::parse(&words) {
        assert_eq!(hook.extra, words[2..words.len() - 2]);
    }
    if let Ok(options) = InitArgs::read(words.clone()) {
        assert!(words.ends_with(&options.arguments), "{words:?}: {options:?}");
    }
    let behind = |name: &str| [OsString::from(name)].into_iter().chain(words.iter().cloned());
    _ = UpdateArgs::try_parse_from(behind("netns-update"));
    _ = NftSaveArgs::try_parse_from(behind("netns-nft-save"));
    for verb in ["up", "list", "status", "check", "show", "run", "new", "cat", "types", "completion"] {
        let verb = [OsString::from("netnsctl"), verb.into()];
        _ = Ctl::try_parse_from(verb.into_iter().chain(words.iter().cloned()));
    }
    _ = Ctl::try_parse_from(behind("netnsctl"));
}

//! Builds the environment of a login.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::sys::user::User;

/// The variables that describe the terminal. They are kept, as `runuser --login` does.
const TERMINAL_VARIABLES: [&str; 3] = ["TERM", "COLORTERM", "NO_COLOR"];

/// Returns the environment of a user: the variables of a login, of the terminal, and of `preserved`. `inherited` reads a variable
/// of this process, `login_defs` is the text of login.defs(5).
#[must_use]
pub fn of(
    user: &User,
    preserved: &[String],
    inherited: impl Fn(&str) -> Option<OsString>,
    login_defs: &str,
) -> BTreeMap<OsString, OsString> {
    let path = path(login_defs, user.uid.is_root());
    let login = [
        ("HOME", user.home.as_str()),
        ("LOGNAME", &user.name),
        ("PATH", path),
        ("SHELL", &user.shell),
        ("USER", &user.name),
    ];
    let kept = TERMINAL_VARIABLES.into_iter().chain(preserved.iter().map(String::as_str));
    let kept = kept.filter_map(|name| Some((name.into(), inherited(name)?)));
    login.map(|(name, value)| (name.into(), value.into())).into_iter().chain(kept).collect()
}

/// Returns the search path of a login (login.defs(5), `ENV_PATH` and `ENV_SUPATH`). The default is the path of su(1).
fn path(login_defs: &str, root: bool) -> &str {
    let (key, default) = if root {
        ("ENV_SUPATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    } else {
        ("ENV_PATH", "/usr/local/bin:/usr/bin:/bin")
    };
    let value_start = |line: &'_ str| -> Option<usize> {
        let rest = line.trim_start().strip_prefix(key)?;
        rest.starts_with(char::is_whitespace).then(|| line.len() - rest.trim_start().len())
    };
    let found = login_defs.lines().rev().find_map(|line| Some(line[value_start(line)?..].trim_end()));
    let found = found.map(|value| value.strip_prefix("PATH=").unwrap_or(value));
    found.filter(|path| path.starts_with('/') && !path.contains(char::is_whitespace)).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use nix::unistd::{Gid, Uid};

    use super::*;

    fn bob() -> User {
        User {
            name: "bob".into(),
            uid: Uid::from_raw(1000),
            gid: Gid::from_raw(1000),
            groups: Vec::new(),
            home: "/home/bob".into(),
            shell: "/bin/bash".into(),
        }
    }

    #[test]
    fn the_environment_has_the_variables_of_a_login_of_the_terminal_and_the_preserved_ones() {
        let inherited = |name: &str| match name {
            "TERM" => Some("xterm".into()),
            "KEPT" => Some("yes".into()),
            "HOME" => Some("/root".into()),
            "SECRET" => Some("s3cret".into()),
            _ => None,
        };
        let environment = of(&bob(), &["KEPT".into(), "UNSET".into()], inherited, "");
        let names: Vec<_> = environment.keys().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["HOME", "KEPT", "LOGNAME", "PATH", "SHELL", "TERM", "USER"]);
        assert_eq!(environment[&OsString::from("HOME")], "/home/bob");
        let environment = of(&bob(), &["HOME".into()], inherited, "");
        assert_eq!(environment[&OsString::from("HOME")], "/root");
    }

    #[test]
    fn a_usable_path_of_login_defs_overrides_the_default() {
        let defs = "# ENV_PATH /no\nENV_SUPATH\tPATH=/sbin:/bin\nENV_PATH   PATH=/a:/b \nENV_PATHS /c\n";
        assert_eq!(path(defs, false), "/a:/b");
        assert_eq!(path(defs, true), "/sbin:/bin");
        assert_eq!(path("ENV_PATH /x", false), "/x");
        for unusable in ["", "ENV_PATH", "ENV_PATH PATH=", "ENV_PATH PATH=a", "ENV_PATH PATH=/a /b"] {
            assert_eq!(path(unusable, false), "/usr/local/bin:/usr/bin:/bin", "{unusable}");
        }
    }
}

//! The user who runs a command. Programs of the system look up the user. Then this process changes to the user.

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::sys::program::{Output, Program};

/// A user, with the data that a login needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The user's number.
    pub uid: Uid,
    /// The primary group.
    pub gid: Gid,
    /// All groups.
    pub groups: Vec<Gid>,
    /// The home directory.
    pub home: String,
    /// The login shell.
    pub shell: String,
}

impl User {
    /// Looks up a user by name or number, with getent(1) and id(1). This program is static, so it cannot load the libraries
    /// for the sources in nsswitch.conf(5).
    /// Errors: the user is invalid or unknown, or a program fails.
    pub fn look_up(user: &str) -> Result<Self> {
        ensure!(!user.is_empty() && !user.starts_with('-'), "invalid user `{user}`");
        let answer = query("getent", &["passwd", user])?;
        if answer.status.code() == Some(2) {
            bail!("unknown user `{user}`: `getent passwd {user}` finds no entry");
        }
        let entry = stdout(answer, "getent")?;
        let found =
            Self::parse(entry.trim_end()).with_context(|| format!("cannot parse `{}`", entry.trim_end()))?;
        let groups = stdout(query("id", &["-G", &found.name])?, "id")?;
        let groups = groups.split_whitespace().map(|group| Ok(Gid::from_raw(group.parse()?)));
        let groups = groups.collect::<Result<_>>().context("cannot parse the list of groups from `id -G`")?;
        Ok(Self { groups, ..found })
    }

    /// Parses a line of passwd(5).
    fn parse(entry: &str) -> Result<Self> {
        let fields: Vec<&str> = entry.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else {
            bail!("expected 7 fields, got {}", fields.len())
        };
        let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
        Ok(Self {
            name: name.to_owned(),
            uid: Uid::from_raw(uid.parse().context("invalid user number")?),
            gid: Gid::from_raw(gid.parse().context("invalid group number")?),
            groups: Vec::new(),
            home: or(home, "/"),
            shell: or(shell, "/bin/sh"),
        })
    }

    /// Sets the groups and the user of this process, and drops the capabilities unless the user is root. no_new_privs is not
    /// set: it would break ping(8), which has a file capability.
    /// Errors: a system call fails.
    pub fn assume(&self) -> Result<()> {
        setgroups(&self.groups).context("cannot set the groups")?;
        setresgid(self.gid, self.gid, self.gid).context("cannot set the primary group")?;
        setresuid(self.uid, self.uid, self.uid).context("cannot set the user")?;
        if !self.uid.is_root() {
            // The kernel clears the permitted set unless a securebit forbids it. It never clears the inheritable set.
            let none = CapabilitySet::empty();
            rustix::thread::set_capabilities(
                None,
                CapabilitySets { effective: none, permitted: none, inheritable: none },
            )
            .context("cannot drop the capabilities")?;
            rustix::thread::clear_ambient_capability_set().context("cannot drop the ambient capabilities")?;
        }
        Ok(())
    }
}

fn query(program: &str, arguments: &[&str]) -> Result<Output> {
    let program = Program::new(program).label(format!("{program} {}", arguments.join(" "))).args(arguments);
    program.run().context("cannot look up the user")
}

fn stdout(answer: Output, program: &str) -> Result<String> {
    let answer = answer.success().context("cannot look up the user")?;
    String::from_utf8(answer.stdout).with_context(|| format!("{program} printed invalid UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_reads_a_line_of_passwd_and_empty_fields_get_the_defaults_of_login() {
        let bob = User::parse("bob:x:1000:100:Bob,,,:/home/bob:/bin/bash").unwrap();
        assert_eq!((bob.uid.as_raw(), bob.gid.as_raw()), (1000, 100));
        assert_eq!((bob.home.as_str(), bob.shell.as_str()), ("/home/bob", "/bin/bash"));
        let bare = User::parse("bare:x:1:1:::").unwrap();
        assert_eq!((bare.home.as_str(), bare.shell.as_str()), ("/", "/bin/sh"));
        for line in ["", "bob", "bob:x:a:1:::", "bob:x:1:-1:::", "bob:x:1:1:::::"] {
            assert!(User::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_name_that_getent_would_read_as_an_option_is_refused() {
        for name in ["", "--help", "-s"] {
            assert!(User::look_up(name).is_err(), "{name}");
        }
    }
}

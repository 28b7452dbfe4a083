//! The user that a command runs as: found through the system's own programs, then assumed by this process.

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::sys::program::{Output, Program};

/// A user with all that a login needs.
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
    /// Looks a user up by name or number. Users may come from any source in nsswitch.conf(5), which a static program cannot
    /// load: getent(1) and id(1) can.
    /// Errors: there is no such user, or the system cannot answer.
    pub fn look_up(user: &str) -> Result<Self> {
        ensure!(!user.is_empty() && !user.starts_with('-'), "invalid user `{user}`");
        let found = ask("getent", &["passwd", user])?;
        if found.status.code() == Some(2) {
            bail!("unknown user `{user}`: `getent passwd {user}` finds nothing");
        }
        let entry = text(found, "getent")?;
        let identity =
            Self::parse(entry.trim_end()).with_context(|| format!("cannot parse `{}`", entry.trim_end()))?;
        let groups = text(ask("id", &["-G", &identity.name])?, "id")?;
        let groups = groups.split_whitespace().map(|group| Ok(Gid::from_raw(group.parse()?)));
        let groups = groups.collect::<Result<_>>().context("cannot parse the list of groups from `id -G`")?;
        Ok(Self { groups, ..identity })
    }

    /// Reads a line of passwd(5).
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

    /// Gives this process the groups and the user, and takes away all capabilities of any user but root. no_new_privs stays
    /// as it is: ping(8) gets its capability from its file.
    /// Errors: the kernel refuses one of them.
    pub fn assume(&self) -> Result<()> {
        setgroups(&self.groups).context("cannot set the groups")?;
        setresgid(self.gid, self.gid, self.gid).context("cannot set the primary group")?;
        setresuid(self.uid, self.uid, self.uid).context("cannot set the user")?;
        if !self.uid.is_root() {
            // The kernel clears the permitted set unless a securebit forbids it, and never the inheritable one.
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

fn ask(program: &str, words: &[&str]) -> Result<Output> {
    let asked = Program::new(program).label(format!("{program} {}", words.join(" "))).args(words).run();
    asked.context("cannot look up the user")
}

fn text(answer: Output, program: &str) -> Result<String> {
    let answer = answer.success().context("cannot look up the user")?;
    String::from_utf8(answer.stdout).with_context(|| format!("{program} printed invalid UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd_is_parsed_and_empty_fields_have_the_defaults_of_login() {
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
    fn an_invalid_name_is_no_option_of_getent() {
        for name in ["", "--help", "-s"] {
            assert!(User::look_up(name).is_err(), "{name}");
        }
    }
}

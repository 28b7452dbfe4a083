//! `netnsctl run`: a command in a namespace, as `ip netns exec` does it.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::lifecycle;
use crate::attach::bus;
use crate::cli::Run;
use crate::commands::{NotBegun, Status};
use crate::name::NsName;
use crate::netns::{self, Named};
use crate::paths::Paths;
use crate::privilege::{self, Capability};
use crate::resolver;
use crate::run_as::{self, Plan};

/// How what hides a directory is mounted.
const HIDING: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

pub(super) fn run(paths: &Paths, options: &Run) -> Result<Status> {
    let name = &options.name;
    privilege::need(Capability::SysAdmin, "to enter namespaces")?;
    // The system may ask the network for users, and has to do so from the host.
    let plan = |user: &String| {
        Plan::new(user, &options.preserve_env, &options.command, &paths.login_defs).map_err(NotBegun::from)
    };
    let plan = options.user.as_ref().map(plan).transpose()?;
    if options.up {
        lifecycle::up_quietly(paths, name)?;
    }
    if !matches!(netns::look(paths, name)?, Named::Namespace(_)) {
        bail!(
            "there is no namespace `{name}`: bring it up by `netnsctl up {name}`, or let this do so by --up"
        );
    }
    // For good: this process becomes the command.
    std::mem::forget(netns::enter(paths, name)?);
    unshare(CloneFlags::CLONE_NEWNS).context("cannot unshare the mounts")?;
    let all = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, all, None::<&str>).context("cannot keep the mounts apart")?;
    show_own_interfaces();
    show_own_files(paths, name)?;
    if options.hide_bus {
        hide_bus()?;
    }
    execute(options, plan)
}

/// Has /sys show the interfaces of this namespace (ip-netns(8)). Containers may not allow it, and few programs look there.
fn show_own_interfaces() {
    let remounted = umount2("/sys", MntFlags::MNT_DETACH)
        .and_then(|()| mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>));
    if let Err(error) = remounted {
        crate::warn(&format!("/sys shows the host's interfaces: {}", error.desc()));
    }
}

/// Puts the files of /etc/netns/NAME over those in /etc, and something empty over where the host's resolvers are asked. The
/// latter come first: /etc/resolv.conf may be a link into one of them, and what is mounted in there stays, whatever the host
/// does to its own.
fn show_own_files(paths: &Paths, name: &NsName) -> Result<()> {
    let mut doors = resolver::side_doors(paths, name, false);
    doors.retain(|door| door.is_dir());
    let mut covers = Vec::new();
    for file in netns::files(paths, name) {
        let target = Path::new("/etc").join(file.file_name().unwrap_or_default());
        let found = resolver::target(&target);
        if let Some(found) =
            found.ok().filter(|found| found.exists() || doors.iter().any(|door| found.starts_with(door)))
        {
            covers.push((file, found));
        } else if target.is_symlink() {
            bail!(
                "{} is a link to nothing, so {} cannot take its place, and the host's could come back meanwhile: remove the link, or make \
                 what it points to",
                target.display(),
                file.display()
            );
        } else {
            crate::warn(&format!(
                "{} is left out: there is no {} that it could replace",
                file.display(),
                target.display()
            ));
        }
    }
    for door in &doors {
        let options = Some("mode=0755,size=64k");
        mount(Some("netns"), door, Some("tmpfs"), HIDING, options)
            .with_context(|| format!("cannot hide {}", door.display()))?;
    }
    for (file, target) in covers {
        if !target.exists() {
            File::create(&target).with_context(|| format!("cannot create {}", target.display()))?;
        }
        mount(Some(&file), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("cannot put {} over {}", file.display(), target.display()))?;
    }
    for door in &doors {
        let flags = HIDING | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, door, None::<&str>, flags, None::<&str>)
            .with_context(|| format!("cannot write-protect {}", door.display()))?;
    }
    Ok(())
}

/// Mounts an empty directory over that of the system bus. It is created where no bus has run yet, to hide a later one too.
fn hide_bus() -> Result<()> {
    let directory = Path::new(bus::DIRECTORY);
    let hidden = fs::create_dir_all(directory).map_err(anyhow::Error::from).and_then(|()| {
        let flags = HIDING | MsFlags::MS_RDONLY;
        Ok(mount(Some("netns"), directory, Some("tmpfs"), flags, Some("mode=0755,size=64k"))?)
    });
    hidden.with_context(|| format!("cannot hide {}", directory.display()))
}

/// Becomes the command, or runs it as another user and ends as it ends.
fn execute(options: &Run, plan: Option<Plan>) -> Result<Status> {
    match plan {
        Some(plan) => plan.run(),
        None => Ok(run_as::exec(&options.command, |command| command)),
    }
}

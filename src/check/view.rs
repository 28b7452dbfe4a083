//! Checks the files of `/etc` and the resolvers that a process in a namespace sees. It reads the running process, because
//! mounts in it can disappear.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::Finding;
use crate::name::NsName;
use crate::netns::resolver::{self, ResolvConf};
use crate::netns::{self, Id, mounts, processes};
use crate::paths::Paths;
use crate::print::escape;

/// Only this many bytes of two files are compared.
const COMPARED_MAX: u64 = 1 << 20;

/// Reports commands of `netnsctl run` that do not see a file of their namespace, or can query a resolver of the host.
pub(super) fn commands(paths: &Paths) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let processes = processes::by_namespace();
    for namespace in netns::names(paths)? {
        let Ok(id) = Id::of(&paths.namespace(&namespace)) else { continue };
        for one in processes.get(&id).into_iter().flatten().filter(|one| mounts::exist_for(one.pid)) {
            let Ok(pid) = one.pid.try_into() else { continue };
            let whose = format!("process {pid} ({}) in `{namespace}`", escape::line(&one.name));
            let advice = "end it, then repeat `netnsctl run`";
            findings.extend(files(paths, &namespace, &whose, pid, advice));
            findings.extend(open_resolver_sockets(paths, &namespace, &whose, pid, advice));
        }
    }
    Ok(findings)
}

/// Reports files of the namespace that the process does not see.
pub(super) fn files(paths: &Paths, namespace: &NsName, whose: &str, pid: u32, restart: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if has_changed_root(pid) {
        return findings; // the program itself has chosen its files
    }
    for file in netns::etc_files(paths, namespace) {
        let target = Path::new("/etc").join(file.file_name().unwrap_or_default());
        if !file.is_file() || target.symlink_metadata().is_err() {
            continue; // `stale` and `attach` report these
        }
        let wanted = File::open(&file).map_err(anyhow::Error::from).and_then(|file| read(&file));
        let found = open(pid, &target).and_then(|file| read(&file));
        match (wanted, found) {
            (Ok(wanted), Ok(found)) if wanted == found => {}
            (Ok(_), found) => {
                let has = found.ok().filter(|_| target == Path::new(resolver::RESOLV_CONF));
                let servers = has.map(|text| format!(": {}", nameservers(&text))).unwrap_or_default();
                let replaced = target == Path::new(resolver::RESOLV_CONF)
                    && matches!(ResolvConf::of(paths), ResolvConf::File(_));
                let hint = if replaced {
                    ", each time that a program has replaced the file of the host; see \"Replaced files\" in netnsctl(8)"
                } else {
                    ""
                };
                findings.push(
                    Finding::error(format!(
                        "{} of {whose} differs from {}{servers}",
                        target.display(),
                        file.display()
                    ))
                    .advice(format!("{restart}{hint}")),
                );
            }
            (Err(error), _) => findings.push(Finding::error(format!("{}: {error:#}", file.display()))),
        }
    }
    findings
}

/// Reports resolvers of the host that the process can query.
pub(super) fn open_resolver_sockets(
    paths: &Paths,
    namespace: &NsName,
    whose: &str,
    pid: u32,
    restart: &str,
) -> Vec<Finding> {
    let directories = resolver::resolver_directories(paths, namespace, false);
    let is_open = |socket: &&&str| {
        directories.iter().any(|directory| Path::new(**socket).starts_with(directory))
            && open(pid, Path::new(**socket)).is_ok()
    };
    let finding = |socket: &&str| {
        Finding::error(format!("{whose} can query a resolver of the host, through {socket}")).advice(restart)
    };
    resolver::SOCKETS.iter().filter(is_open).map(finding).collect()
}

/// Whether a process has changed its root (chroot(2)). With `RootDirectory=`, the root is the root of the mount namespace.
fn has_changed_root(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/root")).is_ok_and(|root| root != Path::new("/"))
}

/// Opens a path as a process sees it. Links are followed within the root of the process.
pub(super) fn open(pid: u32, path: &Path) -> Result<File> {
    let root = File::open(format!("/proc/{pid}/root"))?;
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let found = openat2(&root, path.strip_prefix("/").unwrap_or(path), how)?;
    Ok(File::from(found))
}

/// Reads a regular file, which may be open with `O_PATH`. Other kinds are refused, because the process may have put a pipe there
/// that would block.
fn read(file: &File) -> Result<Vec<u8>> {
    ensure!(file.metadata()?.is_file(), "it is not a regular file");
    let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).context("cannot read it")?;
    let mut content = Vec::new();
    again.take(COMPARED_MAX).read_to_end(&mut content).context("cannot read it")?;
    Ok(content)
}

/// Returns the servers in a resolv.conf(5), for a message.
fn nameservers(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let servers: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("nameserver")?.split_whitespace().next()).collect();
    if servers.is_empty() {
        "it uses 127.0.0.1".to_owned()
    } else {
        format!("it uses {}", servers.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_are_read_from_resolv_conf() {
        let text = b"# c\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 # x\nsearch a\n";
        assert_eq!(nameservers(text), "it uses 192.0.2.1, 2001:db8::1");
        assert_eq!(nameservers(b""), "it uses 127.0.0.1");
    }
}

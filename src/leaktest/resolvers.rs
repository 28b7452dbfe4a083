//! Finds the resolvers of the C library in a namespace: the servers of resolv.conf, and daemons of the host (nscd and
//! systemd-resolved). A namespace reaches these daemons through Unix sockets, but they use the network of the host.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::name::NsName;
use crate::netns::resolver;
use crate::paths::Paths;

/// Describes the resolvers that `netnsctl run` uses in a namespace; `None` if no resolver was found.
pub(super) fn describe(paths: &Paths, namespace: &NsName) -> Option<String> {
    let servers = servers(paths, namespace);
    let hidden = resolver::resolver_directories(paths, namespace, false);
    let sources = sources(paths, namespace);
    let is_used = |socket: &str| {
        let is_hidden = hidden.iter().any(|directory| Path::new(socket).starts_with(directory));
        // glibc queries nscd before it reads nsswitch.conf.
        let is_source =
            socket.starts_with(resolver::NSCD) || sources.iter().any(|source| source == "resolve");
        !is_hidden && is_source && fs::symlink_metadata(paths.root.join(&socket[1..])).is_ok()
    };
    let sockets: Vec<&str> = resolver::SOCKETS.into_iter().filter(|socket| is_used(socket)).collect();
    if sockets.is_empty() {
        return servers;
    }
    let sockets = sockets.join(" and ");
    if !sources.iter().any(|source| source == "dns") {
        return Some(format!(
            "resolved through {sockets}, in the network of the host; nsswitch.conf does not list `dns`"
        ));
    }
    let servers = servers.unwrap_or_else(|| "no resolv.conf exists".to_owned());
    // The library does not report which of them answered.
    Some(format!("{servers}; {sockets} can also have answered, from the network of the host"))
}

/// Returns the path of an `/etc` file as a namespace sees it.
fn file(paths: &Paths, namespace: &NsName, name: &str) -> PathBuf {
    let own = paths.files(namespace).join(name);
    if own.exists() { own } else { paths.root.join("etc").join(name) }
}

fn read(file: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(file).ok()?.take(65536).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Returns the path of resolv.conf and the servers in it.
fn servers(paths: &Paths, namespace: &NsName) -> Option<String> {
    let file = file(paths, namespace, "resolv.conf");
    let text = read(&file)?;
    let servers: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("nameserver")?.split_whitespace().next()).collect();
    let servers = if servers.is_empty() { "none".to_owned() } else { servers.join(", ") };
    Some(format!("servers in {}: {servers}", file.display()))
}

/// Returns the services of the `hosts` line in nsswitch.conf(5). If this line is missing, returns the default services of glibc.
fn sources(paths: &Paths, namespace: &NsName) -> Vec<String> {
    let text = read(&file(paths, namespace, "nsswitch.conf")).unwrap_or_default();
    let line =
        text.lines().find_map(|line| line.trim_start().strip_prefix("hosts")?.trim_start().strip_prefix(':'));
    let services = line.unwrap_or("files dns");
    services.split('#').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describe_lists_the_servers_and_the_sockets_of_the_host_that_can_answer() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        let name: NsName = "a".parse().unwrap();
        let put = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let description = || describe(&paths, &name).unwrap_or_default();
        assert_eq!(description(), "");
        put("etc/resolv.conf", "nameserver 127.0.0.53\n");
        let servers = description();
        assert!(servers.ends_with("/etc/resolv.conf: 127.0.0.53"), "{servers}");

        put("run/systemd/resolve/io.systemd.Resolve", "");
        assert_eq!(description(), servers); // nsswitch.conf does not list `resolve`
        put("etc/nsswitch.conf", "hosts: files resolve [!UNAVAIL=return] dns # the default of Debian\n");
        let resolved = "/run/systemd/resolve/io.systemd.Resolve";
        let also = |socket: &str| {
            format!("{servers}; {socket} can also have answered, from the network of the host")
        };
        assert_eq!(description(), also(resolved));
        put("etc/nsswitch.conf", "hosts: files resolve # no dns\n");
        assert_eq!(
            description(),
            format!(
                "resolved through {resolved}, in the network of the host; nsswitch.conf does not list `dns`"
            )
        );
        put("etc/nsswitch.conf", "hosts: files dns\n");
        put("run/nscd/socket", "");
        assert_eq!(description(), also("/run/nscd/socket"));

        // The own resolv.conf of the namespace hides both sockets.
        put("etc/netns/a/resolv.conf", "nameserver 192.0.2.53\n");
        put("etc/nsswitch.conf", "hosts: files resolve dns\n");
        assert!(description().ends_with("/etc/netns/a/resolv.conf: 192.0.2.53"), "{}", description());
    }
}

//! Who the C library asks for a name: the servers of a resolv.conf, from the namespace, or a daemon on the host's network, by a
//! socket of the file system.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::name::NsName;
use crate::netns::resolver;
use crate::paths::Paths;

/// Who is asked by `netnsctl run` in that namespace, as far as it can be told.
pub(super) fn whom(paths: &Paths, namespace: &NsName) -> Option<String> {
    let conf = servers(paths, namespace);
    let hidden = resolver::resolver_directories(paths, namespace, false);
    let sources = sources(paths, namespace);
    let asks = |socket: &str| {
        let is_hidden = hidden.iter().any(|directory| Path::new(socket).starts_with(directory));
        // nscd comes before nsswitch.conf.
        let wanted = socket.starts_with(resolver::NSCD) || sources.iter().any(|source| source == "resolve");
        !is_hidden && wanted && fs::symlink_metadata(paths.root.join(&socket[1..])).is_ok()
    };
    let sockets: Vec<&str> = resolver::SOCKETS.into_iter().filter(|socket| asks(socket)).collect();
    if sockets.is_empty() {
        return conf;
    }
    let sockets = sockets.join(" and ");
    if !sources.iter().any(|source| source == "dns") {
        return Some(format!("asked by {sockets}, from the host's network: nsswitch.conf names no `dns`"));
    }
    let conf = conf.unwrap_or_else(|| "there is no resolv.conf".to_owned());
    Some(format!("{conf}, and {sockets} may have answered from the host's network: which cannot be told"))
}

/// The file of `/etc` that is read in a namespace.
fn file(paths: &Paths, namespace: &NsName, name: &str) -> PathBuf {
    let own = paths.files(namespace).join(name);
    if own.exists() { own } else { paths.root.join("etc").join(name) }
}

fn read(file: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(file).ok()?.take(65536).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Which file names servers, and which.
fn servers(paths: &Paths, namespace: &NsName) -> Option<String> {
    let file = file(paths, namespace, "resolv.conf");
    let text = read(&file)?;
    let servers: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("nameserver")?.split_whitespace().next()).collect();
    Some(format!(
        "{} names {}",
        file.display(),
        if servers.is_empty() { "no server".to_owned() } else { servers.join(", ") }
    ))
}

/// The services of nsswitch.conf(5) for hosts; without that line, those of glibc.
fn sources(paths: &Paths, namespace: &NsName) -> Vec<String> {
    let text = read(&file(paths, namespace, "nsswitch.conf")).unwrap_or_default();
    let line =
        text.lines().find_map(|line| line.trim_start().strip_prefix("hosts")?.trim_start().strip_prefix(':'));
    let words = line.unwrap_or("files dns");
    words.split('#').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_of_a_question_is_told_or_said_to_be_unknown() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        let name: NsName = "a".parse().unwrap();
        let put = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let whom = || whom(&paths, &name).unwrap_or_default();
        assert_eq!(whom(), "");
        put("etc/resolv.conf", "nameserver 127.0.0.53\n");
        let alone = whom();
        assert!(alone.ends_with("/etc/resolv.conf names 127.0.0.53"), "{alone}");

        put("run/systemd/resolve/io.systemd.Resolve", "");
        assert_eq!(whom(), alone); // nobody asks by it
        put("etc/nsswitch.conf", "hosts: files resolve [!UNAVAIL=return] dns # as Debian has it\n");
        let resolved = "/run/systemd/resolve/io.systemd.Resolve";
        let unknown = |by: &str| {
            format!("{alone}, and {by} may have answered from the host's network: which cannot be told")
        };
        assert_eq!(whom(), unknown(resolved));
        put("etc/nsswitch.conf", "hosts: files resolve # no dns\n");
        assert_eq!(
            whom(),
            format!("asked by {resolved}, from the host's network: nsswitch.conf names no `dns`")
        );
        put("etc/nsswitch.conf", "hosts: files dns\n");
        put("run/nscd/socket", "");
        assert_eq!(whom(), unknown("/run/nscd/socket"));

        // A namespace with a file of its own: both are hidden.
        put("etc/netns/a/resolv.conf", "nameserver 192.0.2.53\n");
        put("etc/nsswitch.conf", "hosts: files resolve dns\n");
        assert!(whom().ends_with("/etc/netns/a/resolv.conf names 192.0.2.53"), "{}", whom());
    }
}

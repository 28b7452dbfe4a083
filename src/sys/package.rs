//! The command that installs a package on this distribution.

use std::{env, fs};

/// The package managers, with the distributions (`ID` or `ID_LIKE` in os-release(5)) that use them.
const INSTALLERS: [(&str, &[&str]); 5] = [
    ("apt install", &["debian", "ubuntu"]),
    ("dnf install", &["fedora", "rhel", "centos"]),
    ("pacman -S", &["arch"]),
    ("zypper install", &["suse", "opensuse"]),
    ("apk add", &["alpine"]),
];

/// The name of the packages with the kernel and its modules, without the architecture.
pub const KERNEL: &str = "linux-image";

/// Debian packages that have another name elsewhere, with the distribution and the name there.
const OTHER_NAMES: [(&str, &str, &str); 5] = [
    ("iproute2", "dnf install", "iproute"),
    (KERNEL, "dnf install", "kernel-modules"),
    (KERNEL, "pacman -S", "linux"),
    (KERNEL, "zypper install", "kernel-default"),
    (KERNEL, "apk add", "linux-lts"),
];

/// The next step for a user who lacks a program: `apt install PACKAGE`, or the same for this distribution. `package` is the name
/// of the package in Debian.
#[must_use]
pub fn hint(package: &str) -> String {
    // os-release(5): the second file is used if the first one does not exist.
    let read = |path| fs::read_to_string(path).ok();
    let text = read("/etc/os-release").or_else(|| read("/usr/lib/os-release")).unwrap_or_default();
    installer(&text).map_or_else(
        || format!("hint: install the package that is called `{}` on Debian", debian(package)),
        |installer| format!("hint: `{installer} {}`", name(package, installer)),
    )
}

/// The command of the distribution that an os-release(5) file describes.
fn installer(os_release: &str) -> Option<&'static str> {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        shell_words::split(line.unwrap_or_default()).unwrap_or_default().join(" ")
    };
    let (id, like) = (value("ID"), value("ID_LIKE"));
    let of =
        |word: &str| INSTALLERS.iter().find(|(_, words)| words.contains(&word)).map(|(command, _)| *command);
    // `opensuse-leap`, `opensuse-tumbleweed`
    of(&id).or_else(|| like.split_whitespace().find_map(of)).or_else(|| of(id.split('-').next()?))
}

fn name(package: &str, installer: &str) -> String {
    let other =
        OTHER_NAMES.iter().find(|(debian, where_used, _)| *debian == package && *where_used == installer);
    other.map_or_else(|| debian(package), |(.., name)| (*name).to_owned())
}

/// The name in Debian, where the package of the kernel has the architecture in its name.
fn debian(package: &str) -> String {
    let architecture = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if package == KERNEL { format!("{KERNEL}-{architecture}") } else { package.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_the_one_of_the_distribution_or_of_a_similar_one() {
        for (text, expected) in [
            ("PRETTY_NAME=\"Debian\"\nID=debian\n", Some("apt install")),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Some("apt install")),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Some("dnf install")),
            ("ID=fedora\n", Some("dnf install")),
            ("ID=arch\n", Some("pacman -S")),
            ("ID=\"opensuse-leap\"\n", Some("zypper install")),
            ("ID=alpine\n", Some("apk add")),
            ("ID=other\n", None),
            ("", None),
        ] {
            assert_eq!(installer(text), expected, "{text}");
        }
        assert_eq!(name("iproute2", "dnf install"), "iproute");
        assert_eq!(name("iproute2", "apt install"), "iproute2");
    }
}

//! Names of interfaces.

/// Longest name of an interface in bytes (`IFNAMSIZ` in include/uapi/linux/if.h, less the NUL).
const IFNAME_MAX: usize = 15;

/// The names of directories in `/proc/sys/net/ipv4/conf` that are not interfaces (`devinet_sysctl_register` in net/ipv4/devinet.c).
const RESERVED: [&str; 2] = ["all", "default"];

/// The reason why a text cannot be the name of an interface; `None` if it can. The kernel refuses these names (`dev_valid_name` in
/// net/core/dev.c, and [`RESERVED`]), or replaces `%d` in them by a number.
#[must_use]
pub fn problem(name: &str) -> Option<String> {
    if name.len() > IFNAME_MAX {
        Some(format!(
            "interface name `{name}` is too long: {} characters, at most {IFNAME_MAX} are possible",
            name.len()
        ))
    } else if name == "."
        || name == ".."
        || name.contains(|character: char| "/:%".contains(character) || character.is_whitespace())
    {
        Some(format!(
            "invalid interface name `{name}`: it is `.` or `..`, or contains a slash, a colon, a percent sign or white space"
        ))
    } else if RESERVED.contains(&name) {
        Some(format!(
            "the kernel reserves the name `{name}` for the sysctls of all or of new interfaces; fix: use another name"
        ))
    } else {
        None
    }
}

//! The overflow user: the owner that the kernel shows in a user namespace for a user who is not mapped (user_namespaces(7),
//! "Unmapped user and group IDs").

use std::fs;

/// The overflow uid (`DEFAULT_OVERFLOWUID` in include/linux/highuid.h). It is usually also the uid of `nobody`.
const OVERFLOW_UID: u32 = 65534;

/// Whether a uid represents the unmapped users, who are outside of this user namespace.
///
/// No user in this namespace is an unmapped user. The unmapped users have set up the files that this namespace sees, so they
/// are trusted. `false` if the namespace has its own user with this uid.
pub fn is_unmapped(uid: u32) -> bool {
    uid == OVERFLOW_UID && fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !maps(&map, uid))
}

/// Whether a uid map contains a uid. A line has the first uid inside the namespace, the first uid outside, and the number of
/// uids.
fn maps(map: &str, uid: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> =
            line.split_ascii_whitespace().filter_map(|field| field.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if (first..first + count).contains(&u64::from(uid)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overflow_uid_is_unmapped_if_the_map_does_not_contain_it() {
        assert!(maps("         0          0 4294967295\n", OVERFLOW_UID));
        assert!(maps("0 100000 65536\n", OVERFLOW_UID));
        assert!(!maps("0 1000 1\n", OVERFLOW_UID));
        assert!(!maps("0 1000 1\n1 100000 65533\n", OVERFLOW_UID));
    }
}

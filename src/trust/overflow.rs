//! The owner that the kernel shows in a user namespace for whoever is not in it (user_namespaces(7), "Unmapped user and
//! group IDs").

use std::fs;

/// Its number (`DEFAULT_OVERFLOWUID` in include/linux/highuid.h), as a rule that of `nobody`.
const OVERFLOW: u32 = 65534;

/// Whether this number stands for the users outside of this user namespace. Nobody in here is one of them, and which of them
/// it is cannot be told: they have set up what this namespace sees, and are trusted with that. Where the namespace has a user
/// of this number of its own, it is that one.
pub fn is_nobody_here(uid: u32) -> bool {
    uid == OVERFLOW && fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !maps(&map, uid))
}

/// Whether a map has a number: lines of the first one inside, the first one outside, and how many.
fn maps(map: &str, uid: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if (first..first + count).contains(&u64::from(uid)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_of_outside_where_nobody_inside_has_it() {
        assert!(maps("         0          0 4294967295\n", OVERFLOW));
        assert!(maps("0 100000 65536\n", OVERFLOW));
        assert!(!maps("0 1000 1\n", OVERFLOW));
        assert!(!maps("0 1000 1\n1 100000 65533\n", OVERFLOW));
    }
}

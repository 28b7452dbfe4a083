//! Reads POSIX access control lists (acl(5)).

use std::path::Path;

use xattr::get;

/// The extended attribute, and the version of its format (include/uapi/linux/posix_acl_xattr.h).
const NAME: &str = "system.posix_acl_access";
const VERSION: u32 = 2;

/// The write permission, and the tags of the entries (include/uapi/linux/posix_acl.h).
const WRITE: u16 = 0o2;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;

/// A user or group, besides the owner, that an access control list allows to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A user, by uid.
    User(u32),
    /// A group, by gid.
    Group(u32),
    /// The group of the file.
    OwningGroup,
}

/// The users and groups that the list of a file allows to write. `None` if there is no list that can be read.
pub fn writers(path: &Path) -> Option<Vec<Writer>> {
    parse(&get(path, NAME).ok()??)
}

/// Parses a list: a header, then entries with a tag, permissions, and the number of a user or group.
fn parse(bytes: &[u8]) -> Option<Vec<Writer>> {
    let (version, entries) = bytes.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let entries: Vec<(u16, u16, u32)> = entries
        .chunks_exact(8)
        .map(|entry| {
            let half = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
            (half(0), half(2), u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]))
        })
        .collect();
    let mask = entries.iter().find(|(tag, ..)| *tag == MASK).map_or(WRITE, |(_, rights, _)| *rights);
    let writes = entries.iter().filter(|(_, rights, _)| rights & mask & WRITE != 0);
    Some(
        writes
            .filter_map(|&(tag, _, id)| match tag {
                USER => Some(Writer::User(id)),
                GROUP => Some(Writer::Group(id)),
                GROUP_OBJ => Some(Writer::OwningGroup),
                _ => None,
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            bytes.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_mask_limits_the_writers_of_a_list() {
        let entries =
            [(0x01, 6, 0), (USER, 6, 1000), (USER, 4, 1001), (GROUP_OBJ, 4, 0), (GROUP, 7, 50), (0x20, 4, 0)];
        let with = |mask| parse(&list(&[&entries[..], &[(MASK, mask, 0)]].concat()));
        assert_eq!(with(6), Some(vec![Writer::User(1000), Writer::Group(50)]));
        assert_eq!(with(4), Some(vec![]));
        assert_eq!(parse(&list(&[(GROUP_OBJ, 6, 0)])), Some(vec![Writer::OwningGroup]));
    }

    #[test]
    fn an_invalid_list_has_no_writers() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[1, 0, 0, 0]), None);
    }
}

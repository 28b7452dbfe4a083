use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use tempfile::TempDir;

use super::check;

/// Creates a root with the file `conf/a.conf`, which only its owner can write.
fn machine() -> (TempDir, PathBuf) {
    let root = TempDir::new().unwrap();
    let path = root.path().canonicalize().unwrap();
    fs::create_dir(path.join("conf")).unwrap();
    mode(&path.join("conf"), 0o755);
    put(&path.join("conf/a.conf"));
    (root, path)
}

fn put(path: &Path) {
    fs::write(path, "").unwrap();
    mode(path, 0o644);
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The findings below a root, each as `FILE: why; command`, without the root and the label.
fn found(root: &Path, files: &[&str]) -> Vec<String> {
    let root_text = root.to_string_lossy();
    check(root, files.iter().map(|file| root.join(file)))
        .iter()
        .map(|file| file.to_string().replace("fix: ", "").replace(&format!("{root_text}/"), ""))
        .collect()
}

const FILE: &[&str] = &["conf/a.conf"];

#[test]
fn a_file_that_only_its_owner_can_write_is_safe() {
    let (_root, path) = machine();
    assert_eq!(found(&path, FILE), [""; 0]);
    assert_eq!(found(&path, &["conf/none.conf", "none/a.conf"]), [""; 0]);
}

#[test]
fn a_file_that_any_user_can_write_is_unsafe() {
    let (_root, path) = machine();
    mode(&path.join("conf/a.conf"), 0o646);
    assert_eq!(found(&path, FILE), ["conf/a.conf: any user can write it; `chmod o-w conf/a.conf`"]);
}

#[test]
fn a_writable_directory_on_the_path_is_unsafe_even_if_sticky_or_without_the_file() {
    let (_root, path) = machine();
    for (bits, advice) in [
        (0o777, "`chmod o-w conf`"),
        (0o757, "`chmod o-w conf`"),
        (0o1777, "`chmod o-w conf`, or move the file to another directory if other users need this one"),
    ] {
        mode(&path.join("conf"), bits);
        let found = found(&path, &["conf/none.conf"]);
        assert!(found.contains(&format!("conf: any user can create files in it; {advice}")), "{found:?}");
    }
}

#[test]
fn each_finding_is_reported_once() {
    let (_root, path) = machine();
    mode(&path.join("conf"), 0o757);
    put(&path.join("conf/b.conf"));
    assert_eq!(found(&path, &["conf/a.conf", "conf/b.conf"]).len(), 1);
}

#[test]
fn directories_above_the_root_are_not_checked() {
    let (_root, path) = machine();
    mode(&path, 0o777);
    assert_eq!(found(&path, FILE), [""; 0]);
    // Nor on the path of a link.
    symlink(path.join("conf/a.conf"), path.join("conf/link.conf")).unwrap();
    assert_eq!(found(&path, &["conf/link.conf"]), [""; 0]);
}

#[test]
fn each_directory_on_the_path_of_a_link_is_checked() {
    let (_root, path) = machine();
    fs::create_dir_all(path.join("open/shut")).unwrap();
    mode(&path.join("open"), 0o777);
    mode(&path.join("open/shut"), 0o755);
    put(&path.join("open/shut/real.conf"));
    symlink("../open/shut", path.join("conf/way")).unwrap();
    symlink("way/real.conf", path.join("conf/link.conf")).unwrap();
    assert_eq!(
        found(&path, &["conf/link.conf"]),
        ["open: any user can create files in it; `chmod o-w open`"]
    );
    mode(&path.join("open"), 0o755);
    mode(&path.join("open/shut/real.conf"), 0o666);
    let found = found(&path, &["conf/link.conf"]);
    assert!(
        found.contains(
            &"open/shut/real.conf: any user can write it; `chmod o-w open/shut/real.conf`".to_owned()
        )
    );
}

#[test]
fn link_loops_and_dangling_links_are_not_findings() {
    let (_root, path) = machine();
    symlink("round.conf", path.join("conf/round.conf")).unwrap();
    symlink("nowhere", path.join("conf/none.conf")).unwrap();
    assert_eq!(found(&path, &["conf/round.conf", "conf/none.conf"]), [""; 0]);
}

#[test]
fn a_link_in_proc_cannot_be_checked() {
    let (_root, path) = machine();
    let (reader, _writer) = std::io::pipe().unwrap();
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&reader);
    symlink(format!("/proc/self/fd/{descriptor}"), path.join("conf/pipe.conf")).unwrap();
    let found = found(&path, &["conf/pipe.conf"]);
    assert!(found.iter().any(|one| one.contains("the target of this link cannot be checked")), "{found:?}");
}

#[test]
fn a_link_to_dev_null_is_safe() {
    let (_root, path) = machine();
    symlink("/dev/null", path.join("conf/null.conf")).unwrap();
    assert_eq!(found(&path, &["conf/null.conf"]), [""; 0]);
}

// The tests below need root, because only root can change the owner of a file.

#[test]
fn a_file_or_a_link_of_another_user_is_unsafe() {
    if !geteuid().is_root() {
        return;
    }
    let (_root, path) = machine();
    chown(path.join("conf/a.conf"), Some(12345), None).unwrap();
    symlink("a.conf", path.join("conf/link.conf")).unwrap();
    std::os::unix::fs::lchown(path.join("conf/link.conf"), Some(12345), None).unwrap();
    assert_eq!(
        found(&path, &["conf/link.conf"]),
        [
            "conf/link.conf: it belongs to the user 12345; `chown -h root conf/link.conf`",
            "conf/a.conf: it belongs to the user 12345; `chown root conf/a.conf`"
        ]
    );
    // The owner of the root is trusted.
    chown(&path, Some(12345), None).unwrap();
    assert_eq!(found(&path, &["conf/link.conf"]), [""; 0]);
}

#[test]
fn a_file_is_unsafe_if_a_group_other_than_that_of_root_can_write_it() {
    if !geteuid().is_root() {
        return;
    }
    let (_root, path) = machine();
    mode(&path.join("conf/a.conf"), 0o664);
    assert_eq!(found(&path, FILE), [""; 0]);
    chown(path.join("conf/a.conf"), None, Some(12345)).unwrap();
    assert_eq!(found(&path, FILE), ["conf/a.conf: the group 12345 can write it; `chmod g-w conf/a.conf`"]);
}

#[test]
fn an_access_control_list_is_read() {
    if !geteuid().is_root() {
        return;
    }
    let (_root, path) = machine();
    let file = path.join("conf/a.conf");
    // owner rw-, user 12345 rw-, group r--, mask rw-, others r--
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, u32::MAX), (2, 6, 12345), (4, 4, u32::MAX), (16, 6, u32::MAX), (32, 4, u32::MAX)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
        list.extend(id.to_le_bytes());
    }
    xattr::set(&file, "system.posix_acl_access", &list).expect("a file system with access control lists");
    assert_eq!(
        found(&path, FILE),
        [
            "conf/a.conf: the user 12345 can write it, by an access control list; `setfacl -x u:12345 conf/a.conf`"
        ]
    );
    // The group bits are the mask of the list.
    mode(&file, 0o644);
    assert_eq!(found(&path, FILE), [""; 0]);
}

//! netns-update below `--root`: the changes of the unit files, and the files that must not change.

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use support::Test;
use support::update::{
    GOOD, INSIDE, LEFT_OUT, NONE, OUTSIDE, PROCESSING, UNITS, kept, lines, machine, settled, summary, unit,
    with_good,
};

/// The path of a template.
const TEMPLATE: &str = "usr/lib/systemd/system/netns@.service";

/// The template of the original bash scripts: a different text with the same command.
const OLD_INSIDE: &str = "[Unit]\n\
                          Description=Named network namespace\n\
                          Requires=netns_outside-%j@%i.service\n\
                          After=netns_outside-%j@%i.service\n\
                          \n\
                          [Service]\n\
                          Type=oneshot\n\
                          RemainAfterExit=yes\n\
                          NetworkNamespacePath=/run/netns/%i\n\
                          ExecStart=netnsinit \"%J\" \"%I\" up inside\n\
                          ExecStop=netnsinit \"%J\" \"%I\" down inside\n";

/// Runs the applet from a bash that runs `commands` first.
fn after(commands: &str, test: &Test, arguments: &[&str]) -> Command {
    let applet = test.command_below_root(arguments);
    let mut bash = test.program("bash");
    bash.args(["-c", &format!("{commands}; exec -a netns-update \"$@\""), "bash"]);
    bash.arg(applet.get_program()).args(applet.get_args());
    bash
}

// --- the copies

#[test]
fn there_can_be_more_types_than_file_descriptors() {
    let types: Vec<String> = (0..100).map(|number| format!("etc/conf.d/netns/type{number}.sh")).collect();
    let test = types.iter().fold(with_good(), |test, plugin| test.file(plugin, ""));
    let ran = after("ulimit -n 32", &test, &[]).output().expect("the program starts");
    test.ran(&ran).stderr("").status(0);
    assert!(test.path(&unit("netns_outside-type99@.service")).is_file());
}

#[test]
fn copies_have_the_contents_and_time_of_the_template_and_mode_644() {
    for umask in ["000", "077", "777"] {
        let test =
            with_good().mode(TEMPLATE, 0o600).file(&unit(GOOD[1]), OLD_INSIDE).mode(&unit(GOOD[1]), 0o600);
        let time = SystemTime::UNIX_EPOCH + Duration::new(981_173_106, 123_456_789);
        for file in [TEMPLATE, "usr/lib/systemd/system/netns_outside@.service"] {
            File::options().write(true).open(test.path(file)).unwrap().set_modified(time).unwrap();
        }
        let ran = after(&format!("umask {umask}"), &test, &[]).output().expect("the program starts");
        test.ran(&ran).stderr("").status(0);
        for (file, template) in GOOD.iter().zip([INSIDE, OUTSIDE]) {
            let found = fs::metadata(test.path(&unit(file))).unwrap();
            assert_eq!((found.mode(), found.modified().unwrap()), (0o100_644, time), "{file}, umask {umask}");
            assert_eq!(test.read(&unit(file)), template);
        }
    }
}

#[test]
fn templates_are_searched_in_the_order_of_systemd() {
    let places =
        ["usr/local/lib", "usr/lib", "lib"].map(|place| format!("{place}/systemd/system/netns@.service"));
    let test = with_good();
    for place in &places {
        test.write(place, format!("{INSIDE}# {place}\n"));
    }
    for place in places {
        test.run(&NONE).stderr("").status(0);
        assert_eq!(test.read(&unit(GOOD[0])), format!("{INSIDE}# {place}\n"));
        fs::remove_file(test.path(&place)).unwrap();
    }
}

#[test]
fn a_copy_that_differs_is_replaced() {
    for content in [&format!("{INSIDE}\n"), OUTSIDE, OLD_INSIDE] {
        let test = settled().file(&unit(GOOD[0]), content);
        let summary = summary("Update successful.", [0, 1, 0, 0, 1]);
        let expected = format!("{PROCESSING}{}{LEFT_OUT}{summary}", lines("Updating", &GOOD[..1]));
        test.run(&NONE).stdout(&expected).stderr("").status(0);
        assert_eq!(test.read(&unit(GOOD[0])), INSIDE);
    }
}

#[test]
fn a_foreign_unit_in_place_of_a_copy_is_reported_and_not_changed() {
    let test = settled().file(&unit(GOOD[0]), "[Service]\nExecStart=/bin/true\n");
    let before = test.state(UNITS);
    test.run(&NONE).stderr_has("netns-good@.service is a foreign unit, not a copy of a template").status(1);
    assert_eq!(test.state(UNITS), before);
}

#[test]
fn a_replaced_template_with_the_same_length_and_time_is_noticed() {
    let test = with_good();
    test.run(&NONE).stderr("").status(0);
    let time = fs::metadata(test.path(TEMPLATE)).unwrap().modified().unwrap();
    test.write(TEMPLATE, INSIDE.replacen("inside", "INSIDE", 1));
    File::options().write(true).open(test.path(TEMPLATE)).unwrap().set_modified(time).unwrap();
    test.run(&NONE).stdout_has(&lines("Updating", &GOOD[..1])).stderr("").status(0);
    assert_eq!(test.read(&unit(GOOD[0])), test.read(TEMPLATE));
}

#[test]
fn a_template_with_any_time_is_copied_once() {
    let test = with_good();
    test.run(&NONE).stderr("").status(0);
    for (word, seconds) in [("INSIDE", 1), ("iNSIDE", 4_000_000_000)] {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        test.write(TEMPLATE, INSIDE.replacen("inside", word, 1));
        File::options().write(true).open(test.path(TEMPLATE)).unwrap().set_modified(time).unwrap();
        test.run(&NONE).stdout_has(&lines("Updating", &GOOD[..1])).stderr("").status(0);
        assert_eq!(test.read(&unit(GOOD[0])), test.read(TEMPLATE));
        test.run(&NONE).stdout(&kept()).stderr("").status(0);
    }
}

#[test]
fn a_copy_that_differs_only_in_mode_or_time_is_kept() {
    let test = settled().mode(&unit(GOOD[0]), 0o600);
    let copy = File::options().write(true).open(test.path(&unit(GOOD[1]))).unwrap();
    copy.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let before = test.state("");
    test.run(&NONE).stdout(&kept()).stderr("").status(0);
    assert_eq!(test.state(""), before);
}

// --- removed files, and files that stay

#[test]
fn copies_without_a_type_are_removed_including_those_of_the_bash_scripts() {
    let old_outside = OLD_INSIDE.replace("inside", "outside");
    for (inside, outside) in [
        (INSIDE, OUTSIDE),
        (OLD_INSIDE, &old_outside),
        (
            "[Service]\nExecStart=/usr/sbin/netnsinit %j %i up inside\n",
            "[Service]\nExecStart=netnsinit \"%J\" \"%I\" up outside",
        ),
    ] {
        for nstype in ["gone", "a.b", "my_type", "a b", "$x"] {
            let files = [format!("netns-{nstype}@.service"), format!("netns_outside-{nstype}@.service")];
            let files = files.each_ref().map(String::as_str);
            let test = settled().file(&unit(files[0]), inside).file(&unit(files[1]), outside);
            let summary = summary("Update successful.", [0, 0, 0, 2, 2]);
            let expected = format!("{PROCESSING}{}{LEFT_OUT}{summary}", lines("Removing", &files));
            test.run(&NONE).stdout(&expected).stderr("").status(0);
            assert_eq!(test.names(UNITS), GOOD);
        }
    }
}

#[test]
fn a_type_with_only_a_conf_file_is_reported_and_its_units_are_removed() {
    let test = settled()
        .file(&unit("netns-gone@.service"), INSIDE)
        .file(&unit("netns_outside-gone@.service"), OUTSIDE)
        .file("etc/conf.d/netns/gone.conf", "");
    test.run(&NONE)
        .stdout_has(&summary("Update incomplete: see the warnings.", [0, 0, 0, 2, 2]))
        .stderr_line("/etc/conf.d/netns/gone.sh does not exist")
        .status(1);
    assert_eq!(test.names(UNITS), GOOD);
}

#[test]
fn foreign_units_stay() {
    let foreign = "[Service]\nType=oneshot\nExecStart=/usr/bin/true\n";
    let mut test = settled();
    for (file, content) in [
        ("netns-foo@.service", foreign),
        ("netns_outside-foo@.service", foreign),
        ("netns-a-b@.service", foreign),
        ("netns-fixed@.service", "[Service]\nExecStart=netnsinit fixed %i up inside\n"),
        (
            "netns-other@.service",
            "[Service]\nExecStart=/usr/bin/true\nExecStop=netnsinit %j %i down inside\n",
        ),
        ("netns-comment@.service", "# ExecStart=netnsinit %j %i up inside\n"),
        ("netns-binary@.service", "\0\0"),
    ] {
        test = test.file(&unit(file), content);
    }
    let before = test.state("");
    test.run(&NONE).stdout(&kept()).stderr("").status(0);
    assert_eq!(test.state(""), before);
    test.run(&["--clean"]).stdout_has("remove 2,").stderr("").status(0);
    assert_eq!(test.names(UNITS).len(), 7);
}

#[test]
fn copies_with_other_names_stay() {
    let mut test =
        settled().link(&unit("multi-user.target.wants/netns-gone@n.service"), "../netns-gone@.service");
    for file in [
        "netns@.service",
        "netns_name@.service",
        "netns_outside@.service",
        "netns-foo.service",
        "netns-foo@instance.service",
        "netns_foo@.service",
        "netns-foo@.service.bak",
        "netns-foo@.service.d/mine.conf",
        "netns_outside-good@.service.d/mine.conf",
        "mynetns-foo@.service",
        "foo.wants/netns-foo@.service",
        // In these units %j would be `b`. So an administrator has created them.
        "netns-a-b@.service",
        "netns_outside-a-b@.service",
    ] {
        test = test.file(&unit(file), INSIDE);
    }
    let before = test.state("");
    test.run(&NONE).stdout(&kept()).stderr("").status(0);
    assert_eq!(test.state(""), before);
    test.run(&["--clean"]).stdout_has("remove 2,").stderr("").status(0);
    assert!(GOOD.iter().all(|file| !test.has(&unit(file))));
    // Directories are counted, too.
    assert_eq!(test.tree(UNITS).len(), 18);
}

// --- masks, links, directories and FIFOs

#[test]
fn masks_stay() {
    let masked = with_good().link(&unit(GOOD[0]), "/dev/null").link(&unit(GOOD[1]), "/dev/null");
    let of_no_type = settled().link(&unit("netns-gone@.service"), "/dev/null");
    for (test, arguments, expected) in [
        (&masked, &[][..], kept()),
        (&masked, &["--clean"], summary("Update successful.", [0; 5])),
        (&of_no_type, &[], kept()),
    ] {
        let before = test.state("");
        test.run(arguments).stdout(&expected).stderr("").status(0);
        assert_eq!(test.state(""), before);
    }
}

#[test]
fn an_empty_unit_file_is_a_mask_too() {
    // systemd.unit(5): "If a unit file is empty (i.e. has the file size 0) or is symlinked to /dev/null, […]".
    let test = settled().file(&unit(GOOD[0]), "");
    let before = test.state("");
    test.run(&NONE).stdout(&kept()).stderr("").status(0);
    assert_eq!(test.state(""), before);
}

#[test]
fn other_links_are_replaced_by_copies_and_their_targets_stay() {
    for target in ["../../../usr/lib/systemd/system/netns@.service", "/nonexistent", "mine", "..", GOOD[0]] {
        let test = with_good()
            .file(&unit(GOOD[1]), OUTSIDE)
            .file(&unit("mine"), "mine")
            .link(&unit(GOOD[0]), target);
        let expected = format!(
            "{PROCESSING}{}{LEFT_OUT}{}",
            lines("Replacing symbolic link", &GOOD[..1]),
            summary("Update successful.", [0, 0, 1, 0, 1])
        );
        test.run(&NONE).stdout(&expected).stderr("").status(0);
        assert!(!test.path(&unit(GOOD[0])).is_symlink(), "{target}");
        assert_eq!(test.names(UNITS), ["mine", GOOD[0], GOOD[1]]);
        assert_eq!((test.read(&unit(GOOD[0])), test.read(&unit("mine"))), (INSIDE.into(), "mine".into()));
        assert_eq!(test.read(TEMPLATE), INSIDE);
    }
}

#[test]
fn a_link_to_a_copy_is_an_alias_and_stays() {
    let test = settled().link(&unit("netns-alias@.service"), GOOD[0]);
    let before = test.state(UNITS);
    test.run(&NONE).stdout(&kept()).stderr("").status(0);
    assert_eq!(test.state(UNITS), before);
}

#[test]
fn a_link_to_a_template_is_removed_with_its_type_and_the_template_stays() {
    let test = machine().link(&unit("netns-gone@.service"), "../../../usr/lib/systemd/system/netns@.service");
    test.run(&NONE).stdout_has(&lines("Removing", &["netns-gone@.service"])).stderr("").status(0);
    assert!(test.names(UNITS).is_empty());
    assert_eq!(test.read(TEMPLATE), INSIDE);
}

#[test]
fn a_unit_that_is_not_a_regular_file_is_reported_and_the_rest_is_done() {
    for test in [with_good().directory(&unit(GOOD[0])), with_good().fifo(&unit(GOOD[0]))] {
        let before = test.state(UNITS);
        let expected = format!(
            "netns-update: warning: /{UNITS}/{} is not a regular file; remove it, then run this command again\n",
            GOOD[0]
        );
        let summary = summary("Update incomplete: see the warnings.", [1, 0, 0, 0, 0]);
        let done = format!("{PROCESSING}{}{LEFT_OUT}{summary}", lines("Creating", &GOOD[1..]));
        test.run(&NONE).stdout(&done).stderr(&expected).status(1);
        assert_eq!(test.state(UNITS)[..1], before);
        assert_eq!(test.read(&unit(GOOD[1])), OUTSIDE);
    }
}

#[test]
fn a_directory_or_fifo_of_a_missing_type_stays() {
    let test = settled().directory(&unit("netns-gone@.service")).fifo(&unit("netns_outside-gone@.service"));
    let before = test.state("");
    test.run(&NONE).stdout(&kept()).stderr("").status(0);
    assert_eq!(test.state(""), before);
}

// --- complete files at any time

#[test]
fn drafts_of_killed_runs_are_removed_and_backups_of_an_administrator_stay() {
    let mut backups = Vec::new();
    for end in ["backup", "before", "broken", "orig01", "Backup", "201125", "aB3xYz"] {
        for dot in ["", "."] {
            backups.extend(
                ["netns-foo", "netns_outside-good"].map(|kind| format!("{dot}{kind}@.service.{end}")),
            );
        }
    }
    let draft = unit(".netns-foo@.service.netns-draft-aB3xYz");
    let folder = ".netns-foo@.service.netns-draft-aB3xYy";
    let test = backups.iter().fold(with_good(), |test, backup| test.file(&unit(backup), INSIDE));
    let test = test.file(&draft, INSIDE).directory(&unit(folder));
    test.run(&NONE).stderr("").status(0);
    let mut expected = backups;
    expected.extend([folder].iter().chain(&GOOD).map(|&name| name.to_owned()));
    expected.sort();
    assert_eq!(test.names(UNITS), expected);
}

#[test]
fn a_reader_sees_either_the_complete_old_copy_or_the_complete_new_one() {
    let test = settled().file(&unit(GOOD[0]), OLD_INSIDE);
    let place = test.path(&unit(GOOD[0]));
    let mut open = File::open(&place).unwrap();
    test.run(&NONE).stderr("").status(0);
    let mut content = String::new();
    open.read_to_string(&mut content).unwrap();
    assert_eq!(content, OLD_INSIDE);
    assert_eq!(test.read(&unit(GOOD[0])), INSIDE);
    assert_ne!(open.metadata().unwrap().ino(), fs::metadata(place).unwrap().ino());
    assert_eq!(test.names(UNITS), GOOD);
}

#[test]
fn without_space_the_old_files_stay_complete_and_no_drafts_are_left() {
    let test = with_good().file(&unit(GOOD[0]), OLD_INSIDE);
    let before = test.state(UNITS);
    let full = after("trap '' XFSZ; ulimit -f 0", &test, &[]).output().expect("the program starts");
    let ran = test.ran(&full);
    for (line, file) in ran.stderr.lines().zip(GOOD) {
        let expected = format!("netns-update: warning: cannot write /{UNITS}/{file}: File too large");
        assert!(line.starts_with(&expected), "{ran:#?}");
    }
    assert_eq!(ran.stderr.lines().count(), 2, "{ran:#?}");
    ran.stdout(&format!("{PROCESSING}{}", summary("Update incomplete: see the warnings.", [1, 1, 0, 0, 0])))
        .status(1);
    assert_eq!(test.state(UNITS), before);
}

#[test]
fn without_write_permission_each_file_is_reported_and_systemd_is_not_reloaded() {
    let test = with_good()
        .file(&unit(GOOD[0]), OLD_INSIDE)
        .file(&unit("netns-gone@.service"), INSIDE)
        .mode(UNITS, 0o555)
        .without_root();
    let before = test.state("");
    let ran = test.run(&NONE);
    for file in ["netns-gone@.service", GOOD[0], GOOD[1]] {
        let count =
            ran.stderr.lines().filter(|line| line.contains(file) && line.contains("Permission denied"));
        assert_eq!(count.count(), 1, "{file} in {ran:#?}");
    }
    assert_eq!(ran.stderr.lines().count(), 3, "{ran:#?}");
    assert!(!ran.stdout.contains("daemon-reload"), "{ran:#?}");
    ran.stdout_has(&summary("Update incomplete: see the warnings.", [1, 1, 0, 1, 0])).status(1);
    assert_eq!(test.state(""), before);
    drop(test.mode(UNITS, 0o755)); // so that the user of the test can delete it
}

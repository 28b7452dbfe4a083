//! netns-update below `--root`: the arguments, and the types. netns_update_plan.rs tests the plan, and netns_update_files.rs the unit
//! files. Tests that need a running systemd are in bats/systemd/update.bats.

mod support;

use std::fs::File;
use std::os::unix::process::CommandExt;

use support::update::{
    GOOD, INSIDE, LEFT_OUT, NONE, OUTSIDE, PROCESSING, UNITS, conf, created, lines, machine, summary, unit,
    with_good,
};
use support::{Test, bytes};

/// The output if the units of `good` are created, and something else fails.
fn only_good_created() -> String {
    let summary = summary("Update incomplete: see the warnings.", [2, 0, 0, 0, 0]);
    format!("{PROCESSING}{}{LEFT_OUT}{summary}", lines("Creating", &GOOD))
}

// --- the arguments

#[test]
fn help_and_version_are_printed_on_stdout() {
    let test = Test::new("netns-update");
    for option in ["-h", "--help"] {
        test.run_live(&[option]).stdout_has("Usage: netns-update [OPTIONS]").stderr("").status(0);
    }
    let version = format!("netns-update {}\n", env!("CARGO_PKG_VERSION"));
    test.run_live(&["--version"]).stdout(&version).stderr("").status(0);
}

#[test]
fn unknown_arguments_are_refused_and_nothing_is_changed() {
    let test = with_good();
    let before = test.state("");
    for argument in ["--nosuch", "-x", "--clean=yes", "word", "--", ""] {
        let arguments = [argument, "word"];
        test.run(&arguments).stdout("").stderr_has("Usage: netns-update").status(1);
        test.run(&["--daemon-reload", argument, "x"]).stdout("").stderr_has("Usage: netns-update").status(1);
    }
    test.run(&["--nosuch"]).stdout("").stderr_has("'--nosuch'").status(1);
    test.run(&["word"]).stdout("").stderr_has("'word'").status(1);
    test.run(&[bytes(b"\xff")]).stdout("").stderr_has("Usage: netns-update").status(1);
    assert_eq!(test.state(""), before);
}

#[test]
fn now_requires_clean() {
    let test = with_good();
    let before = test.state("");
    test.run(&["--now"]).stdout("").stderr_has("--clean").status(1);
    assert_eq!(test.state(""), before);
    test.run(&["--clean", "--now"]).stdout(&summary("Update successful.", [0; 5])).stderr("").status(0);
}

#[test]
fn options_combine_and_repeat_in_any_order() {
    let test = with_good();
    test.run(&NONE).stderr("").status(0);
    let before = test.state("");
    let dry =
        format!("{}{}", lines("Removing", &GOOD), summary("Dry run, nothing was changed.", [0, 0, 0, 2, 0]));
    test.run(&[
        "-n",
        "--clean",
        "--now",
        "--daemon-reload",
        "--dry-run",
        "--now",
        "--clean",
        "-n",
        "--daemon-reload",
    ])
    .stdout(&dry)
    .stderr("")
    .status(0);
    assert_eq!(test.state(""), before);
    let removed = summary("Update successful.", [0, 0, 0, 2, 0]);
    test.run(&["--daemon-reload", "--clean", "--daemon-reload", "--clean"])
        .stdout(&format!("{}{LEFT_OUT}{removed}", lines("Removing", &GOOD)))
        .stderr("")
        .status(0);
}

#[test]
fn users_other_than_root_are_refused() {
    let expected = "netns-update: permission denied: only root can change the units of systemd; use sudo, or --dry-run to print the changes\n";
    let test = Test::new("netns-update").without_root();
    for arguments in [&[][..], &["--clean"], &["--clean", "--now"], &["--daemon-reload"], &["--root", "/"]] {
        test.run_live(arguments).stdout("").stderr(expected).status(1);
    }
}

#[test]
fn a_usage_error_is_reported_before_the_missing_permission() {
    let test = Test::new("netns-update").without_root();
    test.run_live(&["--nosuch"]).stdout("").stderr_has("'--nosuch'").status(1);
    test.run_live(&["--help"]).stdout_has("Usage: netns-update").stderr("").status(0);
}

#[test]
fn a_dry_run_does_not_require_root() {
    // The real root of this machine is read. With this PATH, systemctl is not found.
    let test = Test::new("netns-update").without_root().variable("PATH", "/nonexistent");
    let ran = test.run_live(&["--dry-run"]);
    assert!(!ran.stderr.contains("only root"), "{ran:#?}");
}

#[test]
fn an_image_does_not_require_root() {
    let test = with_good().mode(UNITS, 0o777).without_root();
    test.run(&NONE).stdout(&created(&GOOD)).stderr("").status(0);
    assert_eq!(test.names(UNITS), GOOD);
}

#[test]
fn netnsctl_update_works_the_same() {
    let test = with_good();
    let ran = test
        .command(&["update", "--root"])
        .arg0("netnsctl")
        .arg(test.path(""))
        .output()
        .expect("the program starts");
    test.ran(&ran).stdout(&created(&GOOD)).stderr("").status(0);
    let ran = test.command(&["update", "--nosuch"]).arg0("netnsctl").output().expect("the program starts");
    test.ran(&ran).stdout("").stderr_has("Usage: netnsctl update").status(2);
}

// --- the root

#[test]
fn a_root_can_be_relative() {
    let test = with_good();
    for (directory, root) in [("", "."), ("etc", ".."), ("usr/share", "../../")] {
        let mut command = test.command(&["--root", root, "--dry-run"]);
        let ran = command.current_dir(test.path(directory)).output().expect("the program starts");
        let last = summary("Dry run, nothing was changed.", [2, 0, 0, 0, 0]);
        let expected = format!("{PROCESSING}{}{last}", lines("Creating", &GOOD));
        test.ran(&ran).stdout(&expected).stderr("").status(0);
    }
}

#[test]
fn a_root_can_be_a_link() {
    let test = with_good().link("image", ".");
    let root = test.path("image");
    let arguments = [bytes(b"--root"), root.into()];
    test.run_live(&arguments).stdout(&created(&GOOD)).stderr("").status(0);
}

#[test]
fn a_root_can_have_any_name() {
    for name in ["two words", "it's", "*", "$HOME", "é"] {
        let test = Test::below("netns-update", name)
            .file("usr/lib/systemd/system/netns@.service", INSIDE)
            .file("usr/lib/systemd/system/netns_outside@.service", OUTSIDE)
            .file("etc/conf.d/netns/good.sh", "")
            .directory(UNITS);
        test.run(&NONE).stdout(&created(&GOOD)).stderr("").status(0);
        assert_eq!(test.names(UNITS), GOOD);
    }
}

#[test]
fn a_missing_root_is_an_error() {
    let test = machine();
    for root in [test.path("nosuch"), test.path("nosuch/../etc")] {
        let expected =
            format!("netns-update: cannot find {}: No such file or directory (os error 2)\n", root.display());
        let output = test.command(&[bytes(b"--root"), root.into()]).output().expect("the program starts");
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
        test.ran(&output).stdout("").status(1);
    }
    for arguments in [&["--root"][..], &["--root", ""]] {
        test.run_live(arguments).stdout("").stderr_has("a value is required for '--root <DIR>'").status(1);
    }
}

// --- the types

#[test]
fn each_plugin_of_both_directories_gets_a_unit_pair() {
    let test = machine()
        .file("etc/conf.d/netns/own.sh", "")
        .file("usr/share/systemd-netns/shipped.sh", "")
        .file("etc/conf.d/netns/both.sh", "")
        .file("usr/share/systemd-netns/both.sh", "");
    let units = [
        "netns-both@.service",
        "netns-own@.service",
        "netns-shipped@.service",
        "netns_outside-both@.service",
        "netns_outside-own@.service",
        "netns_outside-shipped@.service",
    ];
    test.run(&NONE).stdout(&created(&units)).stderr("").status(0);
    assert_eq!(test.names(UNITS), units);
    for file in units {
        let template = if file.starts_with("netns_outside") { OUTSIDE } else { INSIDE };
        assert_eq!(test.read(&unit(file)), template, "{file}");
    }
}

#[test]
fn types_can_have_capitals_digits_underscores_and_dots() {
    for nstype in ["a.b", "9x", "UP", "my_type", "_", &"t".repeat(200)] {
        let test = machine().file(&conf(&format!("{nstype}.sh")), "");
        let units = [format!("netns-{nstype}@.service"), format!("netns_outside-{nstype}@.service")];
        test.run(&NONE).stdout(&created(&units.each_ref().map(String::as_str))).stderr("").status(0);
        assert_eq!(test.names(UNITS), units);
    }
}

#[test]
fn a_plugin_can_be_a_link_to_a_file() {
    machine()
        .file("opt/plugin", "")
        .link("etc/conf.d/netns/good.sh", "../../../opt/plugin")
        .run(&NONE)
        .stdout(&created(&GOOD))
        .stderr("")
        .status(0);
}

#[test]
fn files_that_are_not_plugins_create_no_type() {
    let mut test =
        machine().directory("etc/conf.d/netns/directory.sh/inner.sh").directory(&conf("d.conf/e.conf"));
    for file in [
        "default.conf",
        "default-x.conf",
        "default.sh",
        "nft.rules",
        "nft-x.rules",
        "sh",
        "README",
        ".sh",
        ".conf",
        ".hidden.sh",
        ".#x.sh",
        ".x.sh.swp",
        "#x.sh#",
        "x.sh~",
        "x.conf~",
        "x.sh.~1~",
        "x.sh.bak",
        "x.sh.orig",
        "x.sh.dpkg-old",
        "x.sh.dpkg-dist",
        "x.conf.dpkg-new",
        "x.sh.ucf-old",
        "x.sh.rpmsave",
        "x.SH",
        "x.shx",
        "nft-a.rules.AbCdEf",
    ] {
        test = test.file(&conf(file), "");
    }
    for file in ["x.conf", "directory.sh/inner.sh", "README"] {
        test = test.file(&format!("usr/share/systemd-netns/{file}"), "");
    }
    let expected = format!("{PROCESSING}{}", summary("Update successful.", [0; 5]));
    test.run(&NONE).stdout(&expected).stderr("").status(0);
    assert!(test.names(UNITS).is_empty());
}

#[test]
fn without_types_netns_update_succeeds() {
    let expected = format!("{PROCESSING}{}", summary("Update successful.", [0; 5]));
    machine().run(&NONE).stdout(&expected).stderr("").status(0);
    machine().directory("usr/share/systemd-netns").run(&NONE).stdout(&expected).stderr("").status(0);
}

#[test]
fn conf_files_of_a_type_with_a_plugin_cause_no_warning() {
    with_good()
        .file("etc/conf.d/netns/good.conf", "")
        .file("etc/conf.d/netns/good-my-net.conf", "")
        .run(&NONE)
        .stdout(&created(&GOOD))
        .stderr("")
        .status(0);
}

#[test]
fn a_conf_file_without_a_plugin_is_reported_with_the_missing_file_and_the_rest_is_done() {
    for (file, nstype) in [("lost.conf", "lost"), ("lost-my-net.conf", "lost"), ("e.f-g.conf", "e.f")] {
        let test = with_good().file(&conf(file), "");
        let expected = format!(
            "netns-update: warning: /etc/conf.d/netns/{nstype}.sh does not exist, but /etc/conf.d/netns/{file} needs it; \
             type `{nstype}` skipped\n"
        );
        test.run(&NONE).stdout(&only_good_created()).stderr(&expected).status(1);
        assert_eq!(test.names(UNITS), GOOD);
    }
}

#[test]
fn a_missing_plugin_is_reported_once() {
    with_good()
        .file("etc/conf.d/netns/lost.conf", "")
        .file("etc/conf.d/netns/lost-a.conf", "")
        .file("etc/conf.d/netns/lost-b.conf", "")
        .run(&NONE)
        .stdout(&only_good_created())
        .stderr_line("/etc/conf.d/netns/lost.sh does not exist")
        .status(1);
}

#[test]
fn the_type_ends_at_the_first_hyphen() {
    let test = with_good().file("etc/conf.d/netns/good-type.sh", "");
    test.run(&NONE).stdout(&created(&GOOD)).stderr("").status(0);
    assert_eq!(test.names(UNITS), GOOD);

    let expected = "netns-update: warning: /etc/conf.d/netns/my.sh does not exist, but /etc/conf.d/netns/my-type.sh needs it; \
                type `my` skipped\n";
    let test = with_good().file("etc/conf.d/netns/my-type.sh", "");
    test.run(&NONE).stdout(&only_good_created()).stderr(expected).status(1);
    assert_eq!(test.names(UNITS), GOOD);
}

#[test]
fn invalid_types_are_reported_and_skipped() {
    for (file, nstype) in [
        ("-x.conf", ""),
        ("-.sh", ""),
        ("a b.sh", "a b"),
        ("a..sh", "a."),
        ("$HOME.sh", "$HOME"),
        ("%i.sh", "%i"),
        ("*.sh", "*"),
        ("it's.sh", "it's"),
        ("a\\b.sh", "a\\b"),
        ("a@b.sh", "a@b"),
        ("a:b.conf", "a:b"),
        ("é.sh", "é"),
        (&format!("{}.sh", "t".repeat(201)), &"t".repeat(201)),
    ] {
        let test = with_good().file(&conf(file), "");
        let expected = format!(
            "netns-update: warning: /etc/conf.d/netns/{file}: invalid NSTYPE {nstype:?}: use letters, digits and `_`, \
             with `.` only between them, at most 200 characters; skipped\n"
        );
        test.run(&NONE).stdout(&only_good_created()).stderr(&expected).status(1);
        assert_eq!(test.names(UNITS), GOOD);
    }
}

#[test]
fn names_with_any_bytes_are_reported_in_one_line() {
    for name in [&b"a\nb.sh"[..], b"a\xff.sh", b"a\x1b[31m.sh"] {
        let test = with_good();
        File::create(test.path("etc/conf.d/netns").join(bytes(name))).expect("a file is created");
        let ran = test.run(&NONE);
        assert!(!ran.stderr.contains('\x1b'), "{ran:#?}");
        ran.stdout(&only_good_created()).stderr_line("invalid NSTYPE").status(1);
        assert_eq!(test.names(UNITS), GOOD);
    }
}

#[test]
fn a_plugin_that_is_not_a_regular_file_creates_no_type() {
    let plugin = "etc/conf.d/netns/odd.sh";
    for test in [
        machine().directory(plugin),
        machine().fifo(plugin),
        machine().link(plugin, "/dev/null"),
        machine().link(plugin, "/nonexistent"),
    ] {
        let ran = test.run(&NONE);
        assert!(test.names(UNITS).is_empty(), "{ran:#?}");
    }
}

#[test]
fn a_conf_file_whose_plugin_is_not_a_regular_file_is_reported_and_gets_no_units() {
    let plugin = "etc/conf.d/netns/odd.sh";
    for test in [
        with_good().directory(plugin),
        with_good().fifo(plugin),
        with_good().link(plugin, "/dev/null"),
        with_good().link(plugin, "/nonexistent"),
    ] {
        let test = test.file("etc/conf.d/netns/odd.conf", "");
        test.run(&NONE)
            .stdout(&only_good_created())
            .stderr_line("plugin /etc/conf.d/netns/odd.sh is ")
            .status(1);
        assert_eq!(test.names(UNITS), GOOD);
    }
}

#[test]
fn a_directory_in_place_of_an_overriding_plugin_is_reported() {
    let expected = "netns-update: warning: plugin /etc/conf.d/netns/good.sh is not a regular file\n";
    let test = with_good().directory("etc/conf.d/netns/good.sh");
    test.run(&NONE).stdout(&only_good_created()).stderr(expected).status(1);
    assert_eq!(test.names(UNITS), GOOD);
}

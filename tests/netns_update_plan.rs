//! netns-update below `--root`: the plan, its output, the required files, and concurrent runs.

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Output, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::pipe;

use support::Test;
use support::update::{
    GOOD, INSIDE, LEFT_OUT, NONE, OUTSIDE, PROCESSING, UNITS, created, lines, settled, summary, unit,
    with_good,
};

/// A machine that needs each kind of change: create, update, replace a link, remove, keep.
fn machine_with_all_changes() -> Test {
    with_good()
        .file("usr/share/systemd-netns/edited.sh", "")
        .file("usr/share/systemd-netns/linked.sh", "")
        .file("usr/share/systemd-netns/kept.sh", "")
        .file(&unit("netns-edited@.service"), format!("{INSIDE}# edited\n"))
        .file(&unit("netns_outside-edited@.service"), OUTSIDE)
        .link(&unit("netns-linked@.service"), "../../../usr/lib/systemd/system/netns@.service")
        .file(&unit("netns_outside-linked@.service"), OUTSIDE)
        .file(&unit("netns-kept@.service"), INSIDE)
        .file(&unit("netns_outside-kept@.service"), OUTSIDE)
        .file(&unit("netns-gone@.service"), INSIDE)
        .file(&unit("netns_outside-gone@.service"), OUTSIDE)
}

/// The lines about these changes.
const CHANGES: &str = "Creating '/etc/systemd/system/netns-good@.service'.\n\
                       Updating '/etc/systemd/system/netns-edited@.service'.\n\
                       Replacing symbolic link '/etc/systemd/system/netns-linked@.service'.\n\
                       Creating '/etc/systemd/system/netns_outside-good@.service'.\n\
                       Removing '/etc/systemd/system/netns-gone@.service'.\n\
                       Removing '/etc/systemd/system/netns_outside-gone@.service'.\n";

/// The sorted lines: the order of the changes is not tested.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn each_change_is_printed_in_a_line_before_the_summary() {
    let test = machine_with_all_changes();
    let ran = test.run(&NONE);
    let summary = summary("Update successful.", [2, 1, 1, 2, 4]);
    let expected = format!("{PROCESSING}{CHANGES}{LEFT_OUT}{summary}");
    assert_eq!(sorted(&ran.stdout), sorted(&expected), "{ran:#?}");
    assert!(ran.stdout.starts_with(PROCESSING) && ran.stdout.ends_with(&format!("{LEFT_OUT}{summary}")));
    ran.stderr("").status(0);
    let mut units = vec![];
    for kind in ["netns", "netns_outside"] {
        units.extend(["edited", "good", "kept", "linked"].map(|nstype| format!("{kind}-{nstype}@.service")));
    }
    assert_eq!(test.names(UNITS), units);
}

#[test]
fn a_second_run_changes_nothing_and_reports_this() {
    let test = machine_with_all_changes();
    let ran = test.run(&NONE);
    let before = test.state("");
    ran.stderr("").status(0);
    let expected = format!("{PROCESSING}{}", summary("Update successful.", [0, 0, 0, 0, 8]));
    test.run(&NONE).stdout(&expected).stderr("").status(0);
    assert_eq!(test.state(""), before);
}

#[test]
fn a_dry_run_prints_the_same_changes_and_changes_nothing() {
    let test = machine_with_all_changes()
        .file("etc/conf.d/netns/lost.conf", "")
        .fifo(&unit("netns-fifo@.service"))
        .file("usr/share/systemd-netns/fifo.sh", "");
    let before = test.state("");
    let dry = test.run(&["--dry-run"]);
    assert_eq!(test.state(""), before);
    let real = test.run(&NONE);

    let counts = [3, 1, 1, 2, 4];
    let output =
        |end: &str| format!("{PROCESSING}{CHANGES}Creating '/{UNITS}/netns_outside-fifo@.service'.\n{end}");
    let last = summary("Dry run, nothing was changed.", counts);
    assert_eq!(sorted(&dry.stdout), sorted(&output(&last)), "{dry:#?}");
    let last = format!("{LEFT_OUT}{}", summary("Update incomplete: see the warnings.", counts));
    assert_eq!(sorted(&real.stdout), sorted(&output(&last)), "{real:#?}");
    let complaints = dry.stderr.clone();
    assert_eq!(complaints.lines().count(), 2, "{dry:#?}");
    dry.status(1);
    real.stderr(&complaints).status(1);
}

#[test]
fn a_dry_run_without_changes_succeeds() {
    let test = with_good();
    test.run(&NONE).stderr("").status(0);
    let expected = format!("{PROCESSING}{}", summary("Dry run, nothing was changed.", [0, 0, 0, 0, 2]));
    test.run(&["-n"]).stdout(&expected).stderr("").status(0);
}

#[test]
fn without_systemd_a_requested_reload_is_reported_as_left_out() {
    let test = with_good();
    test.run(&["--daemon-reload"]).stdout(&created(&GOOD)).stderr("").status(0);
    let summary = summary("Update successful.", [0, 0, 0, 0, 2]);
    test.run(&["--daemon-reload"]).stdout(&format!("{PROCESSING}{LEFT_OUT}{summary}")).stderr("").status(0);
    test.run(&NONE).stdout(&format!("{PROCESSING}{summary}")).stderr("").status(0);
}

#[test]
fn clean_removes_the_units_of_all_types() {
    let test = with_good();
    test.run(&NONE).stderr("").status(0);
    let expected =
        format!("{}{LEFT_OUT}{}", lines("Removing", &GOOD), summary("Update successful.", [0, 0, 0, 2, 0]));
    test.run(&["--clean"]).stdout(&expected).stderr("").status(0);
    assert!(test.names(UNITS).is_empty());
    test.run(&["--clean"]).stdout(&summary("Update successful.", [0; 5])).stderr("").status(0);
}

#[test]
fn clean_requires_only_the_directory_of_the_units() {
    let test = Test::new("netns-update").file(&unit(GOOD[0]), INSIDE).file(&unit(GOOD[1]), OUTSIDE);
    test.run(&["--clean"]).stderr("").status(0);
    assert!(test.names(UNITS).is_empty());
    assert_eq!((test.names(""), test.names("etc")), (vec!["etc".into()], vec!["systemd".into()]));
}

#[test]
fn a_dry_run_of_clean_prints_the_same_changes_and_changes_nothing() {
    let test = with_good();
    test.run(&NONE).stderr("").status(0);
    let before = test.state("");
    let expected =
        format!("{}{}", lines("Removing", &GOOD), summary("Dry run, nothing was changed.", [0, 0, 0, 2, 0]));
    test.run(&["--clean", "-n"]).stdout(&expected).stderr("").status(0);
    assert_eq!(test.state(""), before);
}

#[test]
fn a_closed_or_full_stdout_is_not_an_error() {
    let test = with_good();
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let status = test.command_below_root(&NONE).stdout(full).status().expect("the program starts");
    assert!(status.success(), "{status}");
    assert_eq!(test.names(UNITS), GOOD);

    let (reader, writer) = pipe().expect("the pipe exists");
    drop(reader);
    let status = test.command_below_root(&["--clean"]).stdout(writer).status().expect("the program starts");
    assert!(status.success(), "{status}");
    assert!(test.names(UNITS).is_empty());
}

// --- required files

#[test]
fn a_missing_directory_is_an_error_and_nothing_is_changed() {
    let gone = |path: &str| {
        let test = settled().file(&unit("netns-gone@.service"), INSIDE);
        fs::remove_dir_all(test.path(path)).unwrap();
        test
    };
    for (path, arguments, error) in [
        ("etc/conf.d/netns", &[][..], "cannot read /etc/conf.d/netns"),
        ("etc/conf.d", &[], "cannot read /etc/conf.d/netns"),
        ("etc/conf.d/netns", &["-n"], "cannot read /etc/conf.d/netns"),
        (UNITS, &["--clean"], "cannot lock /etc/systemd/system"),
        (UNITS, &["-n"], "cannot read /etc/systemd/system"),
    ] {
        let test = gone(path);
        let before = test.state("");
        let expected = format!("netns-update: {error}: No such file or directory (os error 2)\n");
        test.run(arguments).stderr(&expected).status(1);
        assert_eq!(test.state(""), before);
    }
}

#[test]
fn a_missing_directory_of_the_units_is_created() {
    let test = with_good();
    fs::remove_dir_all(test.path(UNITS)).unwrap();
    test.run(&NONE).stdout(&created(&GOOD)).stderr("").status(0);
    assert_eq!(test.names(UNITS), GOOD);
}

#[test]
fn a_file_in_place_of_the_plugin_directory_is_an_error_and_nothing_is_changed() {
    let test = settled();
    fs::remove_dir_all(test.path("etc/conf.d/netns")).unwrap();
    let test = test.file("etc/conf.d/netns", "").file(&unit("netns-gone@.service"), INSIDE);
    let before = test.state("");
    test.run(&NONE).stderr_line("netns-update: cannot read /etc/conf.d/netns: Not a directory").status(1);
    assert_eq!(test.state(""), before);
}

#[test]
fn directories_can_be_links() {
    let test = Test::new("netns-update")
        .file("usr/lib/systemd/system/netns@.service", INSIDE)
        .file("usr/lib/systemd/system/netns_outside@.service", OUTSIDE)
        .file("opt/netns/good.sh", "")
        .directory("opt/units")
        .link("etc/conf.d/netns", "../../opt/netns")
        .link("etc/systemd/system", "../../opt/units")
        .link("usr/share/systemd-netns", "/nonexistent");
    test.run(&NONE).stdout(&created(&GOOD)).stderr("").status(0);
    assert_eq!(test.names("opt/units"), GOOD);
    test.run(&["--clean"]).stderr("").status(0);
    assert!(test.names("opt/units").is_empty());
}

#[test]
fn a_missing_template_is_an_error_and_nothing_is_changed() {
    for file in ["netns@.service", "netns_outside@.service"] {
        let test = settled().file(&unit("netns-gone@.service"), INSIDE);
        fs::remove_file(test.path(&format!("usr/lib/systemd/system/{file}"))).unwrap();
        let before = test.state("");
        let expected = format!(
            "netns-update: cannot find template unit /usr/lib/systemd/system/{file}: install systemd-netns again\n"
        );
        test.run(&NONE).stderr(&expected).status(1);
        assert_eq!(test.state(""), before);
    }
}

#[test]
fn an_unreadable_directory_is_an_error_and_nothing_is_changed() {
    for path in ["etc/conf.d/netns", "usr/share/systemd-netns", UNITS] {
        let test = settled().file(&unit("netns-gone@.service"), INSIDE).mode(path, 0o000).without_root();
        test.run(&NONE).stderr_line("Permission denied").status(1);
        let test = test.mode(path, 0o755);
        assert_eq!(test.names(UNITS).len(), 3);
    }
}

// --- concurrent runs

/// Takes the lock that a run needs.
fn lock(test: &Test) -> Flock<File> {
    let units = File::open(test.path(UNITS)).expect("the directory exists");
    Flock::lock(units, FlockArg::LockExclusive).map_err(|(_, error)| error).expect("the lock is free")
}

/// Starts a run.
fn start(test: &Test, arguments: &[&str]) -> Child {
    let mut command = test.command_below_root(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// Waits until a run waits for the lock and prints this. Returns the rest of stderr.
fn waiting(child: &mut Child) -> BufReader<impl Read + use<>> {
    let mut stderr = BufReader::new(child.stderr.take().expect("the pipe exists"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("a line is read");
    assert!(
        line.starts_with("netns-update: warning: waiting for another process that has locked /"),
        "{line}"
    );
    assert!(line.ends_with("/etc/systemd/system\n"), "{line}");
    stderr
}

/// The result of a run that has waited. `stderr` is the part after the message about the lock.
fn end(child: Child, mut stderr: impl Read) -> Output {
    let mut rest = Vec::new();
    stderr.read_to_end(&mut rest).expect("stderr is read");
    Output { stderr: rest, ..child.wait_with_output().expect("the program ends") }
}

#[test]
fn a_run_waits_for_another_one_and_reports_this() {
    let test = with_good();
    let lock = lock(&test);
    let mut child = start(&test, &NONE);
    let stderr = waiting(&mut child);
    assert!(test.names(UNITS).is_empty());
    assert!(child.try_wait().expect("the program was started").is_none(), "the run did not wait");
    drop(lock);
    test.ran(&end(child, stderr)).stdout(&created(&GOOD)).stderr("").status(0);
    assert_eq!(test.names(UNITS), GOOD);
}

#[test]
fn a_run_reads_the_files_after_it_has_waited() {
    let test = with_good();
    test.run(&NONE).stderr("").status(0);
    let lock = lock(&test);
    let mut child = start(&test, &NONE);
    let stderr = waiting(&mut child);
    test.write("etc/conf.d/netns/new.sh", "");
    test.write("usr/lib/systemd/system/netns@.service", format!("{INSIDE}# new\n"));
    test.write(&unit("netns-new@.service"), INSIDE);
    test.write(&unit("netns_outside-new@.service"), OUTSIDE);
    drop(lock);
    let expected = format!(
        "{PROCESSING}{}{LEFT_OUT}{}",
        lines("Updating", &["netns-good@.service", "netns-new@.service"]),
        summary("Update successful.", [0, 2, 0, 0, 2])
    );
    test.ran(&end(child, stderr)).stdout(&expected).stderr("").status(0);
    assert_eq!(test.names(UNITS).len(), 4);
}

#[test]
fn a_dry_run_does_not_wait() {
    let test = with_good();
    let _lock = lock(&test);
    let last = summary("Dry run, nothing was changed.", [2, 0, 0, 0, 0]);
    let expected = format!("{PROCESSING}{}{last}", lines("Creating", &GOOD));
    test.run(&["-n"]).stdout(&expected).stderr("").status(0);
}

#[test]
fn concurrent_runs_all_succeed_and_each_change_is_made_once() {
    let mut test = with_good();
    for nstype in ["a", "b", "c", "d"] {
        test = test.file(&format!("usr/share/systemd-netns/{nstype}.sh"), "");
    }
    for (arguments, action, remaining) in [(&[][..], "Creating", 10), (&["--clean"], "Removing", 0)] {
        let runs: Vec<Child> = (0..8).map(|_| start(&test, arguments)).collect();
        let mut done = 0;
        for run in runs {
            let ran = test.ran(&run.wait_with_output().expect("the program ends"));
            done += ran.stdout.lines().filter(|line| line.starts_with(action)).count();
            ran.stdout_has("Update successful").status(0);
        }
        assert_eq!((done, test.names(UNITS).len()), (10, remaining), "{action}");
    }
}

#[test]
fn units_that_an_attached_service_requires_stay() {
    let drop_in = "# Written by `netnsctl attach`\n[Unit]\nAfter=netns-good@a.service netns-lo@a.service\n\
                   # --no-follow: does not start again when the namespace returns.\n";
    let place = unit(r"my\x2dweb.service.d/50-netns.conf");
    let test = settled().file(&place, drop_in);
    let advice = r"`netnsctl detach 'my\x2dweb.service'`";
    let before = test.state("etc/systemd");
    test.run(&["--clean"]).stdout("Nothing was changed: see the warnings.\n").stderr_has(advice).status(1);
    fs::remove_file(test.path("usr/share/systemd-netns/good.sh")).expect("the file exists");
    test.run(&NONE).stdout_has("remove 0,").stderr_has(advice).status(1);
    assert_eq!(test.state("etc/systemd"), before);

    // A foreign file of this name attaches nothing.
    test.write(&place, &drop_in["# ".len()..]);
    test.run(&NONE).stdout_has("remove 2,").stderr("").status(0);
}

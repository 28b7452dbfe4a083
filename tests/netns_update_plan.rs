//! netns-update below `--root`: the plan, its output, its preconditions, and concurrent runs.

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

/// A machine on which everything is to be done: create, update, replace a link, remove, keep.
fn in_disorder() -> Test {
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

/// What is done there.
const CHANGES: &str = "Creating '/etc/systemd/system/netns-good@.service'.\n\
                       Updating '/etc/systemd/system/netns-edited@.service'.\n\
                       Replacing symbolic link '/etc/systemd/system/netns-linked@.service'.\n\
                       Creating '/etc/systemd/system/netns_outside-good@.service'.\n\
                       Removing '/etc/systemd/system/netns-gone@.service'.\n\
                       Removing '/etc/systemd/system/netns_outside-gone@.service'.\n";

/// Lines in an order of their own: that of the changes is of no concern.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn each_change_is_told_in_a_line_and_a_summary_follows() {
    let test = in_disorder();
    let ran = test.run(&NONE);
    let summary = summary("Update successful.", [2, 1, 1, 2, 4]);
    let said = format!("{PROCESSING}{CHANGES}{LEFT_OUT}{summary}");
    assert_eq!(sorted(&ran.stdout), sorted(&said), "{ran:#?}");
    assert!(ran.stdout.starts_with(PROCESSING) && ran.stdout.ends_with(&format!("{LEFT_OUT}{summary}")));
    ran.stderr("").status(0);
    let mut units = vec![];
    for kind in ["netns", "netns_outside"] {
        units.extend(["edited", "good", "kept", "linked"].map(|word| format!("{kind}-{word}@.service")));
    }
    assert_eq!(test.names(UNITS), units);
}

#[test]
fn a_second_run_changes_nothing_and_says_so() {
    let test = in_disorder();
    let ran = test.run(&NONE);
    let before = test.state("");
    ran.stderr("").status(0);
    let said = format!("{PROCESSING}{}", summary("Update successful.", [0, 0, 0, 0, 8]));
    test.run(&NONE).stdout(&said).stderr("").status(0);
    assert_eq!(test.state(""), before);
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let test = in_disorder()
        .file("etc/conf.d/netns/lost.conf", "")
        .fifo(&unit("netns-fifo@.service"))
        .file("usr/share/systemd-netns/fifo.sh", "");
    let before = test.state("");
    let dry = test.run(&["--dry-run"]);
    assert_eq!(test.state(""), before);
    let real = test.run(&NONE);

    let counts = [3, 1, 1, 2, 4];
    let told =
        |end: &str| format!("{PROCESSING}{CHANGES}Creating '/{UNITS}/netns_outside-fifo@.service'.\n{end}");
    let last = summary("Dry run, nothing was changed.", counts);
    assert_eq!(sorted(&dry.stdout), sorted(&told(&last)), "{dry:#?}");
    let last = format!("{LEFT_OUT}{}", summary("Update incomplete: see the warnings.", counts));
    assert_eq!(sorted(&real.stdout), sorted(&told(&last)), "{real:#?}");
    let complaints = dry.stderr.clone();
    assert_eq!(complaints.lines().count(), 2, "{dry:#?}");
    dry.status(1);
    real.stderr(&complaints).status(1);
}

#[test]
fn a_dry_run_with_nothing_to_do_is_a_success() {
    let test = with_good();
    test.run(&NONE).stderr("").status(0);
    let said = format!("{PROCESSING}{}", summary("Dry run, nothing was changed.", [0, 0, 0, 0, 2]));
    test.run(&["-n"]).stdout(&said).stderr("").status(0);
}

#[test]
fn a_reload_that_was_asked_for_is_said_to_be_left_out_where_there_is_no_systemd() {
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
    let said =
        format!("{}{LEFT_OUT}{}", lines("Removing", &GOOD), summary("Update successful.", [0, 0, 0, 2, 0]));
    test.run(&["--clean"]).stdout(&said).stderr("").status(0);
    assert!(test.names(UNITS).is_empty());
    test.run(&["--clean"]).stdout(&summary("Update successful.", [0; 5])).stderr("").status(0);
}

#[test]
fn clean_looks_at_nothing_but_the_units() {
    let test = Test::new("netns-update").file(&unit(GOOD[0]), INSIDE).file(&unit(GOOD[1]), OUTSIDE);
    test.run(&["--clean"]).stderr("").status(0);
    assert!(test.names(UNITS).is_empty());
    assert_eq!((test.names(""), test.names("etc")), (vec!["etc".into()], vec!["systemd".into()]));
}

#[test]
fn a_dry_run_of_clean_says_the_same_and_changes_nothing() {
    let test = with_good();
    test.run(&NONE).stderr("").status(0);
    let before = test.state("");
    let said =
        format!("{}{}", lines("Removing", &GOOD), summary("Dry run, nothing was changed.", [0, 0, 0, 2, 0]));
    test.run(&["--clean", "-n"]).stdout(&said).stderr("").status(0);
    assert_eq!(test.state(""), before);
}

#[test]
fn nobody_has_to_read_what_it_says() {
    let test = with_good();
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let status = test.command_below_root(&NONE).stdout(full).status().expect("it starts");
    assert!(status.success(), "{status}");
    assert_eq!(test.names(UNITS), GOOD);

    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let status = test.command_below_root(&["--clean"]).stdout(writer).status().expect("it starts");
    assert!(status.success(), "{status}");
    assert!(test.names(UNITS).is_empty());
}

// --- what has to be there

#[test]
fn missing_directories_are_told_and_nothing_is_done() {
    let gone = |path: &str| {
        let test = settled().file(&unit("netns-gone@.service"), INSIDE);
        fs::remove_dir_all(test.path(path)).unwrap();
        test
    };
    for (path, words, said) in [
        ("etc/conf.d/netns", &[][..], "cannot read /etc/conf.d/netns"),
        ("etc/conf.d", &[], "cannot read /etc/conf.d/netns"),
        ("etc/conf.d/netns", &["-n"], "cannot read /etc/conf.d/netns"),
        (UNITS, &["--clean"], "cannot lock /etc/systemd/system"),
        (UNITS, &["-n"], "cannot read /etc/systemd/system"),
    ] {
        let test = gone(path);
        let before = test.state("");
        let said = format!("netns-update: {said}: No such file or directory (os error 2)\n");
        test.run(words).stderr(&said).status(1);
        assert_eq!(test.state(""), before);
    }
}

#[test]
fn an_image_without_a_directory_for_units_gets_one() {
    let test = with_good();
    fs::remove_dir_all(test.path(UNITS)).unwrap();
    test.run(&NONE).stdout(&created(&GOOD)).stderr("").status(0);
    assert_eq!(test.names(UNITS), GOOD);
}

#[test]
fn a_directory_of_plugins_that_is_a_file_is_told_and_nothing_is_done() {
    let test = settled();
    fs::remove_dir_all(test.path("etc/conf.d/netns")).unwrap();
    let test = test.file("etc/conf.d/netns", "").file(&unit("netns-gone@.service"), INSIDE);
    let before = test.state("");
    test.run(&NONE).stderr_line("netns-update: cannot read /etc/conf.d/netns: Not a directory").status(1);
    assert_eq!(test.state(""), before);
}

#[test]
fn directories_may_be_links() {
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
fn a_missing_template_is_told_and_nothing_is_done() {
    for file in ["netns@.service", "netns_outside@.service"] {
        let test = settled().file(&unit("netns-gone@.service"), INSIDE);
        fs::remove_file(test.path(&format!("usr/lib/systemd/system/{file}"))).unwrap();
        let before = test.state("");
        let said = format!(
            "netns-update: cannot find template unit /usr/lib/systemd/system/{file}: install systemd-netns again\n"
        );
        test.run(&NONE).stderr(&said).status(1);
        assert_eq!(test.state(""), before);
    }
}

#[test]
fn an_unreadable_directory_is_told_and_nothing_is_done() {
    for path in ["etc/conf.d/netns", "usr/share/systemd-netns", UNITS] {
        let test = settled().file(&unit("netns-gone@.service"), INSIDE).mode(path, 0o000).by_nobody();
        test.run(&NONE).stderr_line("Permission denied").status(1);
        let test = test.mode(path, 0o755);
        assert_eq!(test.names(UNITS).len(), 3);
    }
}

// --- several runs

/// The lock that a run takes, taken.
fn lock(test: &Test) -> Flock<File> {
    let units = File::open(test.path(UNITS)).expect("it is there");
    Flock::lock(units, FlockArg::LockExclusive).map_err(|(_, error)| error).expect("nobody has it")
}

/// A run that was begun.
fn start(test: &Test, words: &[&str]) -> Child {
    let mut command = test.command_below_root(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// What the first lines say on stderr until it waits for the lock. More is said after that.
fn waiting(child: &mut Child) -> BufReader<impl Read + use<>> {
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut said = String::new();
    stderr.read_line(&mut said).expect("a line is read");
    assert!(
        said.starts_with("netns-update: warning: waiting for another process that has locked /"),
        "{said}"
    );
    assert!(said.ends_with("/etc/systemd/system\n"), "{said}");
    stderr
}

/// How such a run ended, without what it said before.
fn end(child: Child, mut stderr: impl Read) -> Output {
    let mut rest = Vec::new();
    stderr.read_to_end(&mut rest).expect("stderr is read");
    Output { stderr: rest, ..child.wait_with_output().expect("it ends") }
}

#[test]
fn a_run_waits_for_another_and_says_so() {
    let test = with_good();
    let lock = lock(&test);
    let mut child = start(&test, &NONE);
    let stderr = waiting(&mut child);
    assert!(test.names(UNITS).is_empty());
    assert!(child.try_wait().expect("it was started").is_none(), "it did not wait");
    drop(lock);
    test.ran(&end(child, stderr)).stdout(&created(&GOOD)).stderr("").status(0);
    assert_eq!(test.names(UNITS), GOOD);
}

#[test]
fn a_run_sees_what_was_changed_while_it_waited() {
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
    let said = format!(
        "{PROCESSING}{}{LEFT_OUT}{}",
        lines("Updating", &["netns-good@.service", "netns-new@.service"]),
        summary("Update successful.", [0, 2, 0, 0, 2])
    );
    test.ran(&end(child, stderr)).stdout(&said).stderr("").status(0);
    assert_eq!(test.names(UNITS).len(), 4);
}

#[test]
fn a_dry_run_waits_for_nobody() {
    let test = with_good();
    let _lock = lock(&test);
    let last = summary("Dry run, nothing was changed.", [2, 0, 0, 0, 0]);
    let said = format!("{PROCESSING}{}{last}", lines("Creating", &GOOD));
    test.run(&["-n"]).stdout(&said).stderr("").status(0);
}

#[test]
fn runs_at_once_all_succeed_and_each_thing_is_done_once() {
    let mut test = with_good();
    for word in ["a", "b", "c", "d"] {
        test = test.file(&format!("usr/share/systemd-netns/{word}.sh"), "");
    }
    for (words, action, left) in [(&[][..], "Creating", 10), (&["--clean"], "Removing", 0)] {
        let runs: Vec<Child> = (0..8).map(|_| start(&test, words)).collect();
        let mut done = 0;
        for run in runs {
            let ran = test.ran(&run.wait_with_output().expect("it ends"));
            done += ran.stdout.lines().filter(|line| line.starts_with(action)).count();
            ran.stdout_has("Update successful").status(0);
        }
        assert_eq!((done, test.names(UNITS).len()), (10, left), "{action}");
    }
}

#[test]
fn an_image_with_an_attached_service_keeps_the_units_that_it_needs() {
    let drop_in = "# Written by `netnsctl attach`\n[Unit]\nBindsTo=netns-good@a.service netns-lo@a.service\n";
    let place = unit(r"my\x2dweb.service.d/50-netns.conf");
    let test = settled().file(&place, drop_in);
    let said = r"`netnsctl detach 'my\x2dweb.service'`";
    let before = test.state("etc/systemd");
    test.run(&["--clean"]).stdout("Nothing was changed: see the warnings.\n").stderr_has(said).status(1);
    fs::remove_file(test.path("usr/share/systemd-netns/good.sh")).expect("it is there");
    test.run(&NONE).stdout_has("remove 0,").stderr_has(said).status(1);
    assert_eq!(test.state("etc/systemd"), before);

    // A foreign file of this name attaches no unit.
    test.write(&place, &drop_in["# ".len()..]);
    test.run(&NONE).stdout_has("remove 2,").stderr("").status(0);
}

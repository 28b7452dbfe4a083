//! The Makefile: which files `make install` installs and does not overwrite, and which files remain after `make uninstall`. The tests
//! install a copy of the checkout below a temporary directory.

mod support;

use std::fs;
use std::process::Command;

use support::{Ran, Test};

/// The links to the binary.
const LINKS: [&str; 3] = ["netnsinit", "netns-update", "netns-nft-save"];

/// The directory of the completions in the checkout, and the installed paths of those for bash and fish below DATADIR.
const COMPLETION: &str = "src/commands/completion";
const COMPLETIONS: [&str; 2] =
    ["bash-completion/completions/netnsctl.bash", "fish/vendor_completions.d/netnsctl.fish"];

/// A stub for programs: it appends its name and its arguments to the file in CALLED, and exits with STATUS.
const STUB: &str = "#!/bin/sh\necho \"${0##*/} $*\" >>\"$CALLED\"\nexit \"${STATUS-0}\"\n";

/// A checkout after `make build`, and the directory `stage`, in which all users can write.
fn checkout() -> Test {
    let test =
        Test::new("make").directory("checkout").directory("target").directory("stage").mode("stage", 0o777);
    let source = |path: &str| format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let sources = ["Makefile", "Cargo.toml", "units", "plugins", "etc", "man", "managers"].map(source);
    let sources = sources.iter().filter(|path| fs::exists(path).expect("it can be checked"));
    run(Command::new("cp").arg("-R").args(sources).arg(test.path("checkout")));
    run(Command::new("mkdir").arg("-p").arg(test.path("checkout").join(COMPLETION)));
    let completions = format!("{}/.", source(COMPLETION));
    run(Command::new("cp").arg("-R").arg(completions).arg(test.path("checkout").join(COMPLETION)));
    run(Command::new("cp").arg(env!("CARGO_BIN_EXE_netnsctl")).arg(test.path("target/netnsctl")));
    for page in pages(&test) {
        test.write(&format!("target/man/{page}"), &page);
    }
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(test.path("")));
    test
}

/// The names of the manual pages, from their sources.
fn pages(test: &Test) -> Vec<String> {
    let sources = test.names("checkout/man");
    sources.iter().filter_map(|name| name.strip_suffix(".scd")).map(ToOwned::to_owned).collect()
}

/// Runs a program for the preparation of a test. It must succeed.
fn run(command: &mut Command) {
    assert!(command.status().expect("it starts").success(), "{command:?}");
}

/// A command that runs `make` in the checkout with the arguments.
fn command(test: &Test, arguments: &[&str]) -> Command {
    let mut make = test.program("make");
    make.arg("-s").args(arguments).current_dir(test.path("checkout"));
    make
}

/// An assignment of a path of the machine to a variable.
fn variable(test: &Test, name: &str, path: &str) -> String {
    format!("{name}={}", test.path(path).display())
}

/// Runs `make` with the arguments, with `stage` as DESTDIR.
fn make(test: &Test, arguments: &[&str]) -> Ran {
    let mut make = command(test, arguments);
    make.args([variable(test, "TARGET", "target"), variable(test, "DESTDIR", "stage")]);
    test.ran(&make.output().expect("make starts"))
}

/// The files to install: the path of each in the checkout or the build directory, and its installed path.
fn files(test: &Test, [_, lib, man, share]: [&str; 4]) -> Vec<(String, String)> {
    let groups = [
        ("units", ".service", format!("{lib}/systemd/system")),
        ("plugins", ".sh", "usr/share/systemd-netns".into()),
        ("etc", "", format!("{share}/doc/systemd-netns/examples")),
    ];
    let mut files = vec![];
    for (from, extension, to) in groups.iter().filter(|(from, ..)| test.has(&format!("checkout/{from}"))) {
        let names = test.names(&format!("checkout/{from}"));
        let names = names.iter().filter(|name| name.ends_with(extension));
        files.extend(names.map(|name| (format!("checkout/{from}/{name}"), format!("{to}/{name}"))));
    }
    if test.has("checkout/managers") {
        let tree = test.tree("checkout/managers");
        let paths = tree.iter().filter_map(|line| line.strip_prefix("100644 "));
        files.extend(paths.map(|path| (format!("checkout/managers/{path}"), format!("{lib}/{path}"))));
    }
    if test.has("checkout/man") {
        for page in pages(test) {
            let section = page.rsplit('.').next().expect("a section");
            files.push((format!("target/man/{page}"), format!("{man}/man{section}/{page}")));
        }
    }
    files
}

/// The sorted list of files after an installation, with modes and targets of links.
fn expected(test: &Test, directories: [&str; 4]) -> Vec<String> {
    let [bin, .., share] = directories;
    let mut all: Vec<_> = files(test, directories).iter().map(|(_, to)| format!("100644 {to}")).collect();
    all.extend(LINKS.map(|link| format!("120777 {bin}/{link} -> netnsctl")));
    all.push(format!("100755 {bin}/netnsctl"));
    all.extend(COMPLETIONS.map(|file| format!("100644 {share}/{file}")));
    for link in ["netns-update", "netns-nft-save"] {
        all.push(format!("120777 {share}/bash-completion/completions/{link}.bash -> netnsctl.bash"));
        all.push(format!("120777 {share}/fish/vendor_completions.d/{link}.fish -> netnsctl.fish"));
    }
    let is_debian = share == "usr/share" && fs::exists("/etc/debian_version").expect("it can be checked");
    let zsh = if is_debian { "vendor-completions" } else { "site-functions" };
    all.push(format!("100644 {share}/zsh/{zsh}/_netnsctl"));
    all.sort();
    all
}

/// The sorted list of files in `stage`, without directories.
fn installed(test: &Test) -> Vec<String> {
    let mut all = test.tree("stage");
    all.retain(|line| !line.starts_with("04"));
    all.sort();
    all
}

const DIRECTORIES: [&str; 4] = ["usr/sbin", "usr/lib", "usr/share/man", "usr/share"];

// --- help

#[test]
fn make_without_a_target_prints_a_help_text_for_each_target() {
    let test = checkout();
    let before = test.state("");
    let ran = test.ran(&command(&test, &[]).output().expect("make starts"));
    let makefile = test.read("checkout/Makefile");
    let targets =
        makefile.lines().find_map(|line| line.strip_prefix(".PHONY: ")).expect("the Makefile has targets");
    let targets: Vec<&str> = targets.split(' ').collect();
    assert!(
        ["build", "install", "uninstall", "test", "demo", "lint"]
            .iter()
            .all(|target| targets.contains(target))
    );
    for target in targets {
        let line = ran.stdout.lines().find(|line| line.split(' ').take(2).eq(["make", target]));
        let is_described = line.is_some_and(|line| line.split_whitespace().count() > 2);
        assert!(is_described, "no help text for {target} in {ran:#?}");
    }
    let help = ran.stdout.clone();
    ran.stdout_has("DESTDIR").stderr("").status(0);
    test.ran(&command(&test, &["help"]).output().expect("make starts")).stdout(&help).stderr("").status(0);
    assert_eq!(test.state(""), before);
}

// --- install

#[test]
fn install_puts_each_file_in_its_directory() {
    for shell in ["SHELL=/bin/sh", "SHELL=dash", "SHELL=bash"] {
        let test = checkout();
        let before = test.state("checkout");
        make(&test, &["install", shell]).stdout("").stderr("").status(0);
        assert_eq!(installed(&test), expected(&test, DIRECTORIES), "{shell}");
        assert_eq!(test.state("checkout"), before);
        for (from, to) in files(&test, DIRECTORIES) {
            assert_eq!(test.read(&format!("stage/{to}")), test.read(&from), "{to}");
        }
        let program = |path| fs::read(test.path(path)).expect("the file exists");
        assert!(program("stage/usr/sbin/netnsctl") == program("target/netnsctl"));
    }
}

#[test]
fn all_users_can_read_the_installed_files_for_any_umask() {
    let test = checkout();
    let mut make = test.program("sh");
    make.args(["-c", "umask 077; exec make -s install \"$@\"", "sh"]).current_dir(test.path("checkout"));
    make.args([variable(&test, "TARGET", "target"), variable(&test, "DESTDIR", "stage")]);
    test.ran(&make.output().expect("sh starts")).stdout("").stderr("").status(0);
    assert_eq!(installed(&test), expected(&test, DIRECTORIES));
    let mut directories = test.tree("stage");
    directories.retain(|line| line.starts_with("04") && !line.starts_with("040755 "));
    assert!(directories.is_empty(), "{directories:#?}");
}

#[test]
fn staging_needs_no_root() {
    let test = checkout().without_root();
    for _ in 0..2 {
        let ran = make(&test, &["install"]);
        assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:#?}");
        assert_eq!(installed(&test), expected(&test, DIRECTORIES));
    }
    make(&test, &["uninstall"]).stdout("").stderr("").status(0);
    assert!(installed(&test).is_empty());
}

#[test]
fn variables_change_the_directories() {
    let directories = ["opt/bin", "opt/lib", "opt/man", "opt/share"];
    let assignments = ["BINDIR=/opt/bin", "LIBDIR=/opt/lib", "MANDIR=/opt/man", "DATADIR=/opt/share"];
    let by_arguments = checkout();
    let mut by_environment = checkout();
    for assignment in assignments {
        let (name, value) = assignment.split_once('=').expect("an assignment");
        by_environment = by_environment.variable(name, value);
    }
    for (test, arguments) in [(by_arguments, &assignments[..]), (by_environment, &[])] {
        make(&test, &[&["install"], arguments].concat()).stdout("").stderr("").status(0);
        assert_eq!(installed(&test), expected(&test, directories));
        make(&test, &[&["uninstall"], arguments].concat()).stdout("").stderr("").status(0);
        assert!(installed(&test).is_empty());
    }
}

#[test]
fn units_have_the_path_of_the_program_if_systemd_does_not_search_its_directory() {
    for (bin, called) in [("/usr/bin", "ExecStart=netnsinit "), ("/opt/bin", "ExecStart=/opt/bin/netnsinit ")]
    {
        let test = checkout();
        make(&test, &["install", &format!("BINDIR={bin}")]).stdout("").stderr("").status(0);
        for unit in ["netns@", "netns_outside@", "netns_name@"] {
            let content = test.read(&format!("stage/usr/lib/systemd/system/{unit}.service"));
            assert!(content.contains(called), "{unit}: {content}");
        }
    }
}

#[test]
fn a_destdir_with_a_blank_is_refused() {
    let test = checkout();
    let ran = command(&test, &["install", "DESTDIR=/nonexistent/a b"]).output().expect("make starts");
    test.ran(&ran).stderr_has("DESTDIR must not contain blanks").status(2);
}

#[test]
fn install_takes_the_program_from_the_target_directory_of_cargo() {
    let test = checkout();
    fs::create_dir(test.path("target/release")).expect("it is new");
    fs::rename(test.path("target/netnsctl"), test.path("target/release/netnsctl")).expect("the file exists");
    fs::rename(test.path("target/man"), test.path("target/release/man")).expect("the file exists");
    let test = test.variable("CARGO_TARGET_DIR", "../target");
    let mut make = command(&test, &["install", "DESTDIR=../stage"]);
    test.ran(&make.output().expect("make starts")).stdout("").stderr("").status(0);
    assert_eq!(installed(&test), expected(&test, DIRECTORIES));
}

#[test]
fn install_puts_no_sample_where_it_takes_effect() {
    let test = checkout();
    make(&test, &["install"]).stdout("").stderr("").status(0);
    assert!(test.names("stage/etc/conf.d/netns").is_empty());
    assert_eq!(test.names("stage/usr/share/doc/systemd-netns/examples"), test.names("checkout/etc"));
}

#[test]
fn install_does_not_overwrite_files_of_the_administrator() {
    let conf = |file: &str| format!("stage/etc/conf.d/netns/{file}");
    let test = checkout()
        .file(&conf("default.conf"), "edited")
        .mode(&conf("default.conf"), 0o600)
        .link(&conf("macvlan.conf"), "/nonexistent/macvlan.conf")
        .link(&conf("nft.rules"), "mine.rules")
        .file(&conf("mine.rules"), "mine")
        .directory(&conf("veth-nstest.conf"))
        .file(&conf("own.sh"), "own");
    let before = test.state("stage/etc/conf.d");
    make(&test, &["install"]).stdout("").stderr("").status(0);
    assert_eq!(test.state("stage/etc/conf.d"), before);
    make(&test, &["uninstall"]).stderr("").status(0);
    assert_eq!(test.state("stage/etc/conf.d"), before);
}

#[test]
fn a_second_installation_updates_all_files() {
    let test = checkout();
    make(&test, &["install"]).stdout("").stderr("").status(0);
    for (_, to) in files(&test, DIRECTORIES) {
        test.write(&format!("stage/{to}"), "old");
    }
    make(&test, &["install"]).stdout("").stderr("").status(0);
    for (from, to) in files(&test, DIRECTORIES) {
        assert!(test.read(&format!("stage/{to}")) == test.read(&from), "{to}");
    }
    assert_eq!(installed(&test), expected(&test, DIRECTORIES));
}

#[test]
fn install_replaces_the_programs_of_the_bash_original_by_links() {
    let mut test = checkout();
    for link in LINKS {
        test = test.file(&format!("stage/usr/sbin/{link}"), "#!/bin/bash\n");
    }
    make(&test, &["install"]).stdout("").stderr("").status(0);
    assert_eq!(installed(&test), expected(&test, DIRECTORIES));
}

#[test]
fn an_installation_in_an_image_works() {
    let test = checkout();
    make(&test, &["install"]).stdout("").stderr("").status(0);
    fs::create_dir_all(test.path("stage/etc/systemd/system")).expect("it is new");
    for link in LINKS {
        let version = format!("{link} {}\n", env!("CARGO_PKG_VERSION"));
        let mut program = test.program(test.path(&format!("stage/usr/sbin/{link}")));
        let ran = program.arg("--version").output().expect("it starts");
        test.ran(&ran).stdout(&version).stderr("").status(0);
    }
    let mut update = test.program(test.path("stage/usr/sbin/netns-update"));
    let ran = update.arg("--root").arg(test.path("stage")).output().expect("it starts");
    test.ran(&ran).stderr("").stdout_has("Update successful").status(0);
    let plugins = test.names("checkout/plugins");
    let mut units: Vec<_> = plugins
        .iter()
        .filter_map(|file| file.strip_suffix(".sh"))
        .flat_map(|nstype| ["netns", "netns_outside"].map(|kind| format!("{kind}-{nstype}@.service")))
        .collect();
    for (declaration, unit) in [
        ("# Provides: firewall", "netns_outside"),
        ("# After: links", "netns"),
        ("# After: links", "netns_outside"),
    ] {
        let declared = plugins.iter().filter(|file| {
            let plugin = test.read(&format!("checkout/plugins/{file}"));
            plugin.lines().any(|line| line == declaration)
        });
        let types: Vec<_> = declared.filter_map(|file| file.strip_suffix(".sh")).collect();
        assert!(!types.is_empty(), "no type has `{declaration}`");
        units.extend(types.iter().map(|nstype| format!("{unit}-{nstype}@.service.d")));
    }
    units.sort();
    assert_eq!(test.names("stage/etc/systemd/system"), units);
}

#[test]
fn install_fails_before_the_program_and_its_pages_are_built() {
    for built in ["target/netnsctl", "target/man/netnsinit.8"] {
        let test = checkout();
        fs::remove_file(test.path(built)).expect("the file exists");
        let ran = make(&test, &["install"]);
        assert!(test.names("stage").is_empty(), "{ran:#?}");
        ran.stdout("").stderr_has("nothing to install yet: run `make build` first\n").status(2);
    }
}

#[test]
fn install_fails_if_a_file_cannot_be_installed() {
    // Each file is the first of its kind, so an error must not be hidden by the files after it.
    for file in [
        "checkout/units/a.service",
        "checkout/plugins/a.sh",
        "checkout/etc/a.conf",
        "checkout/managers/udev/rules.d/0.rules",
        "target/man/a.8",
    ] {
        let test = checkout().file("checkout/man/a.8.scd", "").file("target/man/a.8", "");
        let test = test.file(file, "").mode(file, 0o000).without_root();
        make(&test, &["install"]).stderr_has("Permission denied").status(2);
    }
}

// --- uninstall

#[test]
fn uninstall_removes_its_files_and_the_directories_that_are_empty_without_them() {
    for zsh in ["/usr/share/zsh/site-functions", "/usr/lib/zsh"] {
        let test = checkout();
        let zsh = format!("ZSHDIR={zsh}");
        make(&test, &["install", &zsh]).stdout("").stderr("").status(0);
        let other = "stage/usr/share/bash-completion/completions/other";
        test.write(other, "other");
        make(&test, &["uninstall", &zsh]).stdout("").stderr("").status(0);
        fs::remove_file(test.path(other)).expect("it was kept");
        // The directories of the variables can exist before the installation, and belong to other packages.
        let mut kept =
            vec!["/etc", "/usr/lib", "/usr/sbin", "/usr/share/bash-completion/completions", "/usr/share/man"];
        if zsh.ends_with("/usr/lib/zsh") {
            kept[1] = "/usr/lib/zsh";
        }
        let tree = test.tree("stage");
        let paths: Vec<&str> = tree.iter().filter_map(|line| line.split_whitespace().nth(1)).collect();
        let is_leaf = |path: &&&str| !paths.iter().any(|other| other.starts_with(&format!("{path}/")));
        let leaves: Vec<String> = paths.iter().filter(is_leaf).map(|path| format!("/{path}")).collect();
        assert_eq!(leaves, kept);
    }
}

#[test]
fn a_staged_uninstall_removes_no_directory_of_the_host() {
    let test = checkout().directory("zsh");
    let outside = variable(&test, "ZSHDIR", "zsh");
    make(&test, &["install", &outside]).stdout("").stderr("").status(0);
    assert!(test.names("zsh").is_empty());
    make(&test, &["uninstall", &outside]).stdout("").stderr("").status(0);
    assert!(installed(&test).is_empty() && test.has("zsh"));
}

#[test]
fn uninstall_does_not_remove_foreign_files() {
    let test = checkout();
    make(&test, &["install"]).stdout("").stderr("").status(0);
    let files = [
        "etc/conf.d/netns/own.sh",
        "etc/systemd/system/netns-own@.service",
        "usr/lib/systemd/system/netns-own@.service",
        "usr/sbin/netns-own",
        "usr/share/man/man8/own.8",
        "usr/share/systemd-netns/own.sh",
    ];
    for file in files {
        test.write(&format!("stage/{file}"), "own");
    }
    make(&test, &["uninstall"]).stdout("").stderr("").status(0);
    for file in files {
        assert_eq!(test.read(&format!("stage/{file}")), "own");
    }
    assert_eq!(test.names("stage/usr/share/systemd-netns"), ["own.sh"]);
}

#[test]
fn uninstall_without_an_installation_succeeds() {
    let test = checkout();
    make(&test, &["uninstall"]).stdout("").status(0);
    assert!(test.names("stage").is_empty());
}

// --- called programs

/// A checkout, and stubs first in PATH for programs that could change this machine. The file `called` lists the calls.
fn with_stubs() -> Test {
    let test = checkout().file("called", "").file("stub", STUB);
    let names = [
        "systemctl",
        "networkctl",
        "udevadm",
        "systemd-tmpfiles",
        "mandb",
        "ldconfig",
        "cargo",
        "rmdir",
        "netns-update",
    ];
    let places = names.map(|name| format!("path/{name}"));
    for place in places.iter().map(String::as_str).chain(["live/sbin/netns-update", "stubs/netnsctl"]) {
        // Another process writes the stub. If this process had it open for writing, a fork could inherit the descriptor, and the stub
        // could not be executed (ETXTBSY).
        run(Command::new("install").args(["-D", "-m", "755"]).arg(test.path("stub")).arg(test.path(place)));
    }
    run(Command::new("cp").arg("-R").arg(test.path("target/man")).arg(test.path("stubs/man")));
    let called = test.path("called");
    let path = format!("{}:{}", test.path("path").display(), std::env::var("PATH").expect("there is one"));
    test.variable("CALLED", called).variable("PATH", path)
}

/// The calls of stubs, without those of rmdir.
fn called(test: &Test) -> Vec<String> {
    let called = test.read("called");
    called.lines().filter(|line| !line.starts_with("rmdir ")).map(str::to_owned).collect()
}

/// The calls of stubs that reload the network managers. This machine may run udev, and the stub of systemctl finds systemd-networkd active.
fn reloads() -> Vec<String> {
    let exists = |path| fs::exists(path).expect("it can be checked");
    let mut calls = vec![];
    if exists("/run/udev/control") {
        calls.push("udevadm control --reload");
    }
    if exists("/run/systemd/system") {
        calls.extend(["systemctl --quiet is-active systemd-networkd", "networkctl reload"]);
    }
    calls.into_iter().map(str::to_owned).collect()
}

/// Runs `make` without DESTDIR, with all directories below `live`. The program to install is a stub.
fn make_live(test: &Test, target: &str) -> Ran {
    let mut make = command(test, &[target]);
    make.arg(variable(test, "TARGET", "stubs"));
    for (name, path) in [
        ("BINDIR", "live/sbin"),
        ("LIBDIR", "live/lib"),
        ("MANDIR", "live/man"),
        ("DATADIR", "live/share"),
        ("PLUGINDIR", "live/plugins"),
        ("CONFDIR", "live/conf"),
        ("ENABLEDIRS", "live/units"),
    ] {
        make.arg(variable(test, name, path));
    }
    test.ran(&make.output().expect("make starts"))
}

#[test]
fn staging_runs_no_program_that_changes_the_host() {
    for shell in ["SHELL=/bin/sh", "SHELL=dash", "SHELL=bash"] {
        let test = with_stubs();
        let bin = variable(&test, "BINDIR", "live/sbin");
        for target in ["install", "uninstall"] {
            let ran = make(&test, &[target, &bin, shell]);
            assert!(
                ran.status.success() && called(&test).is_empty(),
                "{shell}: {:?} {ran:#?}",
                called(&test)
            );
            assert!(!test.read("called").contains("/run/"), "{ran:#?}");
        }
    }
}

#[test]
fn an_installation_without_destdir_reloads_the_network_managers_and_updates_the_units() {
    let test = with_stubs();
    make_live(&test, "install").stdout("").stderr("").status(0);
    let mut calls = reloads();
    calls.push("netns-update --daemon-reload".into());
    assert_eq!(called(&test), calls);
    assert!(test.names("live/conf").is_empty());
}

#[test]
fn uninstall_without_destdir_removes_the_units_first() {
    let test = with_stubs();
    make_live(&test, "install").stdout("").stderr("").status(0);
    test.write("called", "");
    test.write("live/conf/own.conf", "own");
    make_live(&test, "uninstall").stdout("").stderr("").status(0);
    assert_eq!(called(&test)[..2], ["netns-update --clean --dry-run", "netns-update --clean"]);
    let mut rest = called(&test).split_off(2);
    rest.retain(|line| line != "systemctl daemon-reload");
    assert_eq!(rest, reloads());
    let left = test.tree("live").into_iter().filter(|line| !line.starts_with("04")).count();
    assert!(left == 1 && test.has("live/conf/own.conf"));
}

#[test]
fn uninstall_removes_the_links_of_enabled_instances_whose_unit_is_gone() {
    let test = with_stubs()
        .file("live/units/netns-own@.service", "own")
        .link("live/units/multi-user.target.wants/netns-own@a.service", "../netns-own@.service")
        .link("live/units/multi-user.target.wants/other@a.service", "/nonexistent/other@.service")
        .link("live/units/multi-user.target.wants/netns-veth@a.service", "../netns-veth@.service")
        .link("live/units/own.target.requires/netns-veth@b.service", "/nonexistent/netns-veth@.service");
    make_live(&test, "install").stdout("").stderr("").status(0);
    make_live(&test, "uninstall")
        .stdout_has("multi-user.target.wants/netns-veth@a.service\n")
        .stdout_has("own.target.requires/netns-veth@b.service\n")
        .stderr("")
        .status(0);
    let wants = ["netns-own@a.service", "other@a.service"];
    assert_eq!(test.names("live/units/multi-user.target.wants"), wants);
    assert!(!fs::exists(test.path("live/units/own.target.requires/netns-veth@b.service")).unwrap());
}

#[test]
fn uninstall_removes_nothing_if_units_are_in_use() {
    let test = with_stubs();
    make_live(&test, "install").stdout("").stderr("").status(0);
    let before = test.state("live");
    let test = test.variable("STATUS", "1");
    make_live(&test, "uninstall")
        .stdout("")
        .stderr_has("not uninstalled: ")
        .stderr_has("--clean --now")
        .status(2);
    assert_eq!(test.state("live"), before);
    assert!(!test.read("called").contains("rmdir") && !test.read("called").contains("systemctl"));
}

// --- manual pages

/// A stub for scdoc: it prints the header of a page, and fails for a page that contains `WRONG`.
const SCDOC: &str = "#!/bin/sh\necho scdoc >>\"$CALLED\"\necho '.TH \"a\" \"8\" \"2000-01-01\" \"systemd-netns\" \"b\"'\n! grep WRONG\n";

/// A checkout with stubs for cargo and scdoc, so `make build` compiles nothing.
fn with_scdoc() -> Test {
    let test = with_stubs().directory("built").file("scdoc", SCDOC);
    for (stub, path) in [("scdoc", "path/scdoc"), ("stub", "checkout/tests/need")] {
        run(Command::new("install").args(["-D", "-m", "755"]).arg(test.path(stub)).arg(test.path(path)));
    }
    test
}

/// Runs `make build`. Also returns the number of pages that were built.
fn build(test: &Test) -> (Ran, usize) {
    test.write("called", "");
    let mut make = command(test, &["build", "MUSL="]);
    let ran = test.ran(&make.arg(variable(test, "TARGET", "built")).output().expect("make starts"));
    let pages = called(test).iter().filter(|line| *line == "scdoc").count();
    (ran, pages)
}

#[test]
fn build_builds_each_changed_manual_page_with_the_version_and_no_date() {
    let test = with_scdoc();
    let (ran, count) = build(&test);
    ran.status(0);
    assert_eq!(called(&test)[0], "need build");
    assert!(count == pages(&test).len() && count > 5, "{count}");
    let header = format!(".TH \"a\" \"8\" \"\" \"systemd-netns {}\" \"b\"\n", env!("CARGO_PKG_VERSION"));
    for page in pages(&test) {
        let content = test.read(&format!("built/man/{page}"));
        assert!(content.starts_with(&header), "{content}");
    }
    assert_eq!(build(&test).1, 0);
    test.write("checkout/man/netnsinit.8.scd", "changed");
    assert_eq!(build(&test).1, 1);
}

#[test]
fn build_fails_each_time_for_a_manual_page_with_an_error() {
    let test = with_scdoc().file("checkout/man/netnsinit.8.scd", "WRONG");
    for _ in 0..2 {
        build(&test).0.status(2);
        assert!(!test.has("built/man/netnsinit.8"));
    }
}

// --- demonstrations

#[test]
fn a_demonstration_builds_its_program_and_announces_the_time() {
    let script =
        "#!/bin/sh\necho \"${0##*/} $NETNS_BIN $(readlink \"$NETNS_BIN/netnsinit\")\" >>\"$CALLED\"\n";
    for demonstration in ["demo", "demo-systemd"] {
        let test = with_stubs()
            .directory("checkout/target")
            .directory("checkout/target/demo")
            .file("script", script);
        for (stub, name) in [("stub", "need"), ("script", demonstration)] {
            let place = test.path(&format!("checkout/tests/{name}"));
            run(Command::new("install").args(["-D", "-m", "755"]).arg(test.path(stub)).arg(place));
        }
        let show = || test.ran(&command(&test, &[demonstration]).output().expect("make starts"));
        show().stdout_has("takes about a minute").stderr("").status(0);
        assert_eq!(
            called(&test),
            [
                "need cargo",
                "cargo build --profile demo --locked --bin netnsctl",
                &format!("{demonstration} target/demo netnsctl"),
            ]
        );
        run(Command::new("cp").arg(test.path("stub")).arg(test.path("checkout/target/demo/netnsctl")));
        run(Command::new("chmod").arg("755").arg(test.path("checkout/target/demo/netnsctl")));
        show().stdout("").stderr("").status(0);
    }
}

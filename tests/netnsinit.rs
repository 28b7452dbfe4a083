//! netnsinit: its command line. netnsinit_layers.rs tests the files of an instance, netnsinit_hook.rs tests the hook, and the
//! cases in tests/kit test the environment of a hook.

mod support;

use support::init::{STARTING_UP, UP, machine, with_plugin};
use support::{Test, bytes};

#[test]
fn an_invalid_type_is_refused_with_the_allowed_characters() {
    let test = machine();
    for argument in
        ["", ".a", "a.", "..", "../q", "a/b", "a b", "a\n", "c:d", "e+f", "g-h", "é", "*", &"t".repeat(201)]
    {
        let message = format!(
            "netnsinit: invalid NSTYPE {argument:?}: use letters, digits and `_`, with `.` only between them, at most 200 characters\n"
        );
        test.run(&[argument, "n", "up", "outside"]).stdout("").stderr(&message).status(1);
    }
    test.run(&[bytes(b"t\xff"), "n".into(), "up".into(), "outside".into()])
        .stdout("")
        .stderr_line("invalid NSTYPE")
        .status(1);
}

#[test]
fn the_type_default_is_refused() {
    machine()
        .file("etc/conf.d/netns/default.sh", "echo plugin\n")
        .run(&["default", "n", "up", "outside"])
        .stdout("")
        .stderr_line("invalid NSTYPE \"default\": default.conf is read for every type")
        .status(1);
}

#[test]
fn an_invalid_name_is_refused_with_the_allowed_characters() {
    let test = machine();
    for argument in
        ["", ".x", "x.", "..", "x/../../evil", "a b", "a\n", "q'", "$HOME", "%", "@", "~", "a\\b", "-x", "é"]
    {
        let message = format!(
            "netnsinit: invalid NSNAME {argument:?}: use letters, digits and `_`, with `.`, `:` and `-` only between them, \
             at most 200 characters\n"
        );
        test.run(&["t", argument, "up", "outside"]).stdout("").stderr(&message).status(1);
    }
}

#[test]
fn a_valid_name_is_accepted() {
    let test = machine();
    for argument in ["n", "my-net", "a.b", "a:b", "_a_", "9", "default", "up", &"n".repeat(200)] {
        let output = format!(
            "Starting 'configure_t_up_outside' for netns '{argument}'.\nplugin\nup 1 <{argument}> <> v=\n"
        );
        test.run(&["t", argument, "up", "outside"]).stdout(&output).stderr("").status(0);
    }
}

#[test]
fn a_valid_type_is_accepted() {
    for argument in ["my_type", "a.b", "9x", "UP"] {
        let plugin =
            format!("NO_CONFIG_REQUIRED=y\nconfigure_{argument}_up_outside() {{ echo \"$NSTYPE\"; }}\n");
        let output = format!("Starting 'configure_{argument}_up_outside' for netns 'n'.\n{argument}\n");
        Test::new("netnsinit")
            .file(&format!("etc/conf.d/netns/{argument}.sh"), plugin)
            .run(&[argument, "n", "up", "outside"])
            .stdout(&output)
            .stderr("")
            .status(0);
    }
}

#[test]
fn an_invalid_phase_is_refused_with_the_valid_ones() {
    for argument in ["", "UP", "Up", "restart", "outside"] {
        let message = format!("netnsinit: invalid phase {argument:?}: expected `up` or `down`\n");
        machine().run(&["t", "n", argument, "outside"]).stdout("").stderr(&message).status(1);
    }
}

#[test]
fn an_invalid_side_is_refused_with_the_valid_ones() {
    for argument in ["", "OUTSIDE", "in", "up"] {
        let message = format!("netnsinit: invalid side {argument:?}: expected `outside` or `inside`\n");
        machine().run(&["t", "n", "up", argument]).stdout("").stderr(&message).status(1);
    }
}

#[test]
fn too_few_arguments_print_the_usage_on_stderr() {
    for count in 0..4 {
        machine()
            .run(&UP[..count])
            .stdout("")
            .stderr_has("TYPE NAME up|down outside|inside")
            .stderr_has("Usage: netnsinit")
            .status(1);
    }
}

#[test]
fn extra_arguments_reach_the_hook_byte_for_byte() {
    let test = with_plugin(
        "NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() { printf '%s\\0' \"$@\" >\"${BASH_SOURCE[0]%/*}/arguments\"; }\n",
    );
    let extra: [&[u8]; 14] = [
        b"one",
        b"two  words",
        b"",
        b"line\nbreak",
        b"*",
        b"$HOME",
        b"`id`",
        b"it's",
        b"\"",
        b"--",
        b"--help",
        b"{a,b}",
        b"\xff\xfe",
        b"\\",
    ];
    let mut arguments = vec![bytes(b"t"), bytes(b"n")];
    arguments.extend(extra.iter().map(|argument| bytes(argument)));
    arguments.extend([bytes(b"up"), bytes(b"outside")]);
    test.run(&arguments).stdout(STARTING_UP).stderr("").status(0);
    let mut expected = b"n\0".to_vec();
    for argument in extra {
        expected.extend(argument);
        expected.push(0);
    }
    assert_eq!(std::fs::read(test.path("etc/conf.d/netns/arguments")).unwrap(), expected);
}

#[test]
fn help_and_version_are_printed_on_stdout() {
    let test = Test::new("netnsinit");
    for option in ["-h", "--help"] {
        test.run_live(&[option]).stdout_has("Usage: netnsinit").stderr("").status(0);
    }
    let version = format!("netnsinit {}\n", env!("CARGO_PKG_VERSION"));
    test.run_live(&["--version"]).stdout(&version).stderr("").status(0);
}

#[test]
fn an_unknown_option_is_refused() {
    machine()
        .run(&["--nosuch", "t", "n", "up", "outside"])
        .stdout("")
        .stderr_line("invalid NSTYPE \"--nosuch\"")
        .status(1);
}

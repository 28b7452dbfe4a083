//! netnsinit: the words of its command line. The files that it finds are in netnsinit_layers.rs, the hook that it becomes
//! in netnsinit_hook.rs; what a hook can see and rely on is the subject of the cases in tests/kit.

mod support;

use support::init::{STARTING_UP, UP, machine, with_plugin};
use support::{Test, bytes};

#[test]
fn types_outside_the_rule_are_refused_with_what_is_allowed() {
    let test = machine();
    for word in
        ["", ".a", "a.", "..", "../q", "a/b", "a b", "a\n", "c:d", "e+f", "g-h", "é", "*", &"t".repeat(201)]
    {
        let said = format!(
            "netnsinit: invalid NSTYPE {word:?}: use letters, digits and `_`, with `.` only between them, at most 200 characters\n"
        );
        test.run(&[word, "n", "up", "outside"]).stdout("").stderr(&said).status(1);
    }
    test.run(&[bytes(b"t\xff"), "n".into(), "up".into(), "outside".into()])
        .stdout("")
        .stderr_line("invalid NSTYPE")
        .status(1);
}

#[test]
fn default_is_no_type() {
    machine()
        .file("etc/conf.d/netns/default.sh", "echo plugin\n")
        .run(&["default", "n", "up", "outside"])
        .stdout("")
        .stderr_line("invalid NSTYPE \"default\": default.conf is read for every type")
        .status(1);
}

#[test]
fn names_outside_the_rule_are_refused_with_what_is_allowed() {
    let test = machine();
    for word in
        ["", ".x", "x.", "..", "x/../../evil", "a b", "a\n", "q'", "$HOME", "%", "@", "~", "a\\b", "-x", "é"]
    {
        let said = format!(
            "netnsinit: invalid NSNAME {word:?}: use letters, digits and `_`, with `.`, `:` and `-` only between them, \
             at most 200 characters\n"
        );
        test.run(&["t", word, "up", "outside"]).stdout("").stderr(&said).status(1);
    }
}

#[test]
fn names_inside_the_rule_are_taken() {
    let test = machine();
    for word in ["n", "my-net", "a.b", "a:b", "_a_", "9", "default", "up", &"n".repeat(200)] {
        let said =
            format!("Starting 'configure_t_up_outside' for netns '{word}'.\nplugin\nup 1 <{word}> <> v=\n");
        test.run(&["t", word, "up", "outside"]).stdout(&said).stderr("").status(0);
    }
}

#[test]
fn types_inside_the_rule_are_taken() {
    for word in ["my_type", "a.b", "9x", "UP"] {
        let plugin = format!("NO_CONFIG_REQUIRED=y\nconfigure_{word}_up_outside() {{ echo \"$NSTYPE\"; }}\n");
        let said = format!("Starting 'configure_{word}_up_outside' for netns 'n'.\n{word}\n");
        Test::new("netnsinit")
            .file(&format!("etc/conf.d/netns/{word}.sh"), plugin)
            .run(&[word, "n", "up", "outside"])
            .stdout(&said)
            .stderr("")
            .status(0);
    }
}

#[test]
fn an_unknown_phase_is_refused_with_the_two_that_there_are() {
    for word in ["", "UP", "Up", "restart", "outside"] {
        let said = format!("netnsinit: invalid phase {word:?}: expected `up` or `down`\n");
        machine().run(&["t", "n", word, "outside"]).stdout("").stderr(&said).status(1);
    }
}

#[test]
fn an_unknown_side_is_refused_with_the_two_that_there_are() {
    for word in ["", "OUTSIDE", "in", "up"] {
        let said = format!("netnsinit: invalid side {word:?}: expected `outside` or `inside`\n");
        machine().run(&["t", "n", "up", word]).stdout("").stderr(&said).status(1);
    }
}

#[test]
fn too_few_words_are_told_with_the_usage_on_stderr() {
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
fn extra_words_reach_the_hook_byte_for_byte() {
    let test = with_plugin(
        "NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() { printf '%s\\0' \"$@\" >\"${BASH_SOURCE[0]%/*}/words\"; }\n",
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
    let mut words = vec![bytes(b"t"), bytes(b"n")];
    words.extend(extra.iter().map(|word| bytes(word)));
    words.extend([bytes(b"up"), bytes(b"outside")]);
    test.run(&words).stdout(STARTING_UP).stderr("").status(0);
    let mut expected = b"n\0".to_vec();
    for word in extra {
        expected.extend(word);
        expected.push(0);
    }
    assert_eq!(std::fs::read(test.path("etc/conf.d/netns/words")).unwrap(), expected);
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

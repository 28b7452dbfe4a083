//! netnsinit: the words of its command line, the files that it finds, and the hook that it becomes. What a hook can see
//! and rely on is the subject of the cases in tests/kit.

mod support;

use std::process::{Command, Stdio};

use support::{Test, bytes};

/// A plugin that tells when it is read and when its hooks run.
const PLUGIN: &str = "echo plugin\n\
                      NO_CONFIG_REQUIRED=y\n\
                      configure_t_up_outside() { echo \"up $# <$1> <$2> v=${v-}\"; }\n\
                      configure_t_down_outside() { echo \"down v=${v-}\"; }\n\
                      configure_t_up_inside() { echo inside; }\n";

const SH: &str = "etc/conf.d/netns/t.sh";
const CONF: &str = "etc/conf.d/netns/t.conf";
const DEFAULT: &str = "etc/conf.d/netns/default.conf";
const SHIPPED: &str = "usr/share/systemd-netns/t.sh";

const STARTING_UP: &str = "Starting 'configure_t_up_outside' for netns 'n'.\n";
const STARTING_DOWN: &str = "Starting 'configure_t_down_outside' for netns 'n'.\n";

const UP: [&str; 4] = ["t", "n", "up", "outside"];
const DOWN: [&str; 4] = ["t", "n", "down", "outside"];

fn machine() -> Test {
    Test::new("netnsinit").file(SH, PLUGIN)
}

/// An empty machine but for this plugin of type `t`.
fn with_plugin(text: &str) -> Test {
    Test::new("netnsinit").file(SH, text)
}

// --- the words

#[test]
fn types_outside_the_rule_are_refused_with_what_is_allowed() {
    let test = machine();
    for word in
        ["", ".a", "a.", "..", "../q", "a/b", "a b", "a\n", "c:d", "e+f", "g-h", "é", "*", &"t".repeat(201)]
    {
        let said = format!(
            "netnsinit: {word:?} is no type: use letters, digits and `_`, inside also `.`, at most 200 characters\n"
        );
        test.run(&[word, "n", "up", "outside"]).stdout("").stderr(&said).status(1);
    }
    test.run(&[bytes(b"t\xff"), "n".into(), "up".into(), "outside".into()])
        .stdout("")
        .stderr_line("is no type: use letters")
        .status(1);
}

#[test]
fn default_is_no_type() {
    machine()
        .file("etc/conf.d/netns/default.sh", "echo plugin\n")
        .run(&["default", "n", "up", "outside"])
        .stdout("")
        .stderr_line("`default` is no type")
        .status(1);
}

#[test]
fn names_outside_the_rule_are_refused_with_what_is_allowed() {
    let test = machine();
    for word in
        ["", ".x", "x.", "..", "x/../../evil", "a b", "a\n", "q'", "$HOME", "%", "@", "~", "a\\b", "-x", "é"]
    {
        let said = format!(
            "netnsinit: {word:?} is no namespace name: use letters, digits and `_`, inside also `.`, `:` and `-`, \
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
        let said = format!("netnsinit: {word:?} is no phase: use `up` or `down`\n");
        machine().run(&["t", "n", word, "outside"]).stdout("").stderr(&said).status(1);
    }
}

#[test]
fn an_unknown_side_is_refused_with_the_two_that_there_are() {
    for word in ["", "OUTSIDE", "in", "up"] {
        let said = format!("netnsinit: {word:?} is no side: use `outside` or `inside`\n");
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
        .stderr_line("\"--nosuch\" is no type")
        .status(1);
}

// --- the plugin

#[test]
fn a_missing_plugin_is_told_with_both_places() {
    Test::new("netnsinit")
        .file(DEFAULT, "echo default\n")
        .run(&UP)
        .stdout("")
        .stderr(
            "netnsinit: cannot find plugin `t`: neither /etc/conf.d/netns/t.sh nor /usr/share/systemd-netns/t.sh exists\n",
        )
        .status(1);
}

#[test]
fn the_administrators_plugin_wins() {
    machine()
        .file(SHIPPED, "echo shipped\n")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}plugin\nup 1 <n> <> v=\n"))
        .stderr("")
        .status(0);
}

#[test]
fn the_shipped_plugin_is_used_where_there_is_no_other() {
    Test::new("netnsinit")
        .file(SHIPPED, PLUGIN)
        .run(&UP)
        .stdout(&format!("{STARTING_UP}plugin\nup 1 <n> <> v=\n"))
        .stderr("")
        .status(0);
}

#[test]
fn a_plugin_that_is_no_regular_file_is_refused_by_name() {
    let said = "netnsinit: plugin /etc/conf.d/netns/t.sh is not a regular file\n";
    Test::new("netnsinit").directory(SH).run(&UP).stdout("").stderr(said).status(1);
    Test::new("netnsinit").fifo(SH).run(&UP).stdout("").stderr(said).status(1);
    let said = "netnsinit: plugin /usr/share/systemd-netns/t.sh is not a regular file\n";
    Test::new("netnsinit").directory(SHIPPED).run(&UP).stdout("").stderr(said).status(1);
}

#[test]
fn a_plugin_that_is_a_link_to_nothing_is_refused_by_name() {
    let said = "netnsinit: plugin /etc/conf.d/netns/t.sh is a symbolic link to nothing\n";
    Test::new("netnsinit")
        .link(SH, "/nonexistent/t.sh")
        .file(SHIPPED, PLUGIN)
        .run(&UP)
        .stdout("")
        .stderr(said)
        .status(1);
}

#[test]
fn a_plugin_may_be_a_link_to_a_file() {
    Test::new("netnsinit")
        .file("etc/conf.d/netns/real.inc", PLUGIN)
        .link(SH, "real.inc")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}plugin\nup 1 <n> <> v=\n"))
        .stderr("")
        .status(0);
}

#[test]
fn an_unreadable_plugin_is_told_by_name() {
    machine()
        .mode(SH, 0o000)
        .by_nobody()
        .run(&UP)
        .stdout("")
        .stderr_line("cannot read plugin /etc/conf.d/netns/t.sh: ")
        .status(1);
}

#[test]
fn an_unreadable_directory_is_told_by_name() {
    machine()
        .mode("etc/conf.d/netns", 0o000)
        .by_nobody()
        .run(&UP)
        .stdout("")
        .stderr_line("cannot look at plugin /etc/conf.d/netns/t.sh: ")
        .status(1);
}

#[test]
fn a_plugin_with_a_syntax_error_runs_nothing_and_is_told_with_file_and_line() {
    for words in [UP, DOWN] {
        let ran = with_plugin(&format!("{PLUGIN}if\nfi\n")).run(&words);
        assert!(!ran.stdout.contains("v="), "the hook was run: {ran:#?}");
        ran.stderr_has("/etc/conf.d/netns/t.sh: line 7: syntax error").status(2);
    }
}

#[test]
fn a_plugin_with_crlf_runs_nothing_and_is_told_with_file_and_line() {
    let ran = with_plugin(&PLUGIN.replace('\n', "\r\n")).run(&UP);
    assert!(!ran.stdout.contains("v="), "the hook was run: {ran:#?}");
    assert!(!ran.status.success(), "{ran:#?}");
    ran.stderr_has("/etc/conf.d/netns/t.sh: line ").stderr_has("line ends of DOS (\\r\\n)").status(2);
}

// --- the other layers

#[test]
fn layers_are_sourced_in_order_each_seeing_what_came_before() {
    let word = |name: &str| format!("echo \"{name} sees $v\"\nv=$v,{name}\n");
    with_plugin(&format!("{}configure_t_up_outside() {{ echo \"hook sees $v\"; }}\n", word("plugin")))
        .file(DEFAULT, word("default"))
        .file(CONF, word("type"))
        .file("etc/conf.d/netns/t-n.conf", word("name"))
        .file("etc/conf.d/netns/t-m.conf", word("other"))
        .variable("v", "environment")
        .run(&UP)
        .stdout(&format!(
            "{STARTING_UP}\
             plugin sees environment\n\
             default sees environment,plugin\n\
             type sees environment,plugin,default\n\
             name sees environment,plugin,default,type\n\
             hook sees environment,plugin,default,type,name\n"
        ))
        .stderr("")
        .status(0);
}

#[test]
fn a_missing_default_conf_is_fine() {
    machine().run(&UP).stdout(&format!("{STARTING_UP}plugin\nup 1 <n> <> v=\n")).stderr("").status(0);
}

#[test]
fn a_default_conf_that_is_no_file_stops_up_and_is_told_on_down() {
    for (test, said) in [
        (machine().directory(DEFAULT), "/etc/conf.d/netns/default.conf is a directory, not a file"),
        (
            machine().link(DEFAULT, "/nonexistent"),
            "/etc/conf.d/netns/default.conf is a symbolic link to nothing",
        ),
    ] {
        test.run(&UP).stdout("").stderr(&format!("netnsinit: {said}\n")).status(1);
        test.run(&DOWN).stdout(&format!("{STARTING_DOWN}plugin\ndown v=\n")).stderr_line(said).status(0);
    }
}

#[test]
fn a_default_conf_that_is_dev_null_is_fine() {
    machine()
        .link(DEFAULT, "/dev/null")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}plugin\nup 1 <n> <> v=\n"))
        .stderr("")
        .status(0);
}

#[test]
fn an_unreadable_conf_stops_up_and_is_told_on_down() {
    for file in [DEFAULT, CONF, "etc/conf.d/netns/t-n.conf"] {
        let test = machine().file(file, "v=secret\n").mode(file, 0o000).by_nobody();
        let ran = test.run(&UP);
        assert!(!ran.stdout.contains("v="), "the hook was run: {ran:#?}");
        ran.stderr_line(&format!("cannot read /{file}")).status(1);
        test.run(&DOWN)
            .stdout(&format!("{STARTING_DOWN}plugin\ndown v=\n"))
            .stderr_line(&format!("cannot read /{file}"))
            .status(0);
    }
}

#[test]
fn a_conf_with_a_syntax_error_stops_up_and_is_told_on_down() {
    for file in [DEFAULT, CONF, "etc/conf.d/netns/t-n.conf"] {
        let test = machine().file(file, "v=early\nif\nfi\nv=late\n");
        let ran = test.run(&UP);
        assert!(!ran.stdout.contains("v="), "the hook was run: {ran:#?}");
        assert!(!ran.status.success(), "{ran:#?}");
        let code = ran.status.code().unwrap();
        ran.stderr_has(&format!("/{file}: line 3: syntax error")).status(code);
        test.run(&DOWN)
            .stdout(&format!("{STARTING_DOWN}plugin\ndown v=early\n"))
            .stderr_has(&format!("/{file}: line 3: syntax error"))
            .stderr_has("warning")
            .status(0);
    }
}

#[test]
fn no_conf_where_one_is_required_is_told_with_both_names() {
    with_plugin("configure_t_up_outside() { echo hook; }\n")
        .run(&UP)
        .stdout(STARTING_UP)
        .stderr_line("neither /etc/conf.d/netns/t.conf nor /etc/conf.d/netns/t-n.conf is a file")
        .status(1);
}

#[test]
fn no_conf_is_required_where_the_plugin_says_so() {
    with_plugin("NO_CONFIG_REQUIRED=0\nconfigure_t_up_outside() { echo hook; }\n")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}hook\n"))
        .stderr("")
        .status(0);
}

#[test]
fn a_hook_may_be_defined_by_a_conf() {
    with_plugin("")
        .file("etc/conf.d/netns/t-n.conf", "configure_t_up_outside() { echo conf; }\n")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}conf\n"))
        .stderr("")
        .status(0);
}

#[test]
fn no_hook_of_that_name_is_a_success() {
    with_plugin("NO_CONFIG_REQUIRED=y\n")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}No configuration required.\n"))
        .stderr("")
        .status(0);
}

#[test]
fn a_root_of_any_name_is_quoted() {
    for name in ["two words", "it's", "$HOME", "{a,b}", "*", "a\nb", "é\"`id`\\"] {
        Test::below("netnsinit", name)
            .file(SH, PLUGIN)
            .file(DEFAULT, "v=default\n")
            .file(CONF, "v=$v,conf\n")
            .run(&UP)
            .stdout(&format!("{STARTING_UP}plugin\nup 1 <n> <> v=default,conf\n"))
            .stderr("")
            .status(0);
    }
}

// --- the hook

#[test]
fn the_status_of_the_hook_is_the_status() {
    for (body, status) in [("return 0", 0), ("return 3", 3), ("exit 17", 17), ("false", 1), ("(exit 44)", 44)]
    {
        let ran = with_plugin(&format!("NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() {{\n  {body}\n}}\n"))
            .run(&UP);
        assert_eq!(ran.stderr.is_empty(), status == 0, "{ran:#?}");
        ran.stdout(STARTING_UP).status(status);
    }
}

#[test]
fn a_hook_that_is_killed_is_seen_as_killed() {
    with_plugin("NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() { kill -KILL $$; }\n").run(&UP).signal(9);
    with_plugin("NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() { kill -TERM $$; }\n").run(&UP).signal(15);
}

#[test]
fn the_hook_runs_in_the_process_that_was_started() {
    let test = with_plugin("NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() { echo \"pid $$\"; }\n");
    let child = test
        .command_below_root(&UP)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let said = format!("{STARTING_UP}pid {}\n", child.id());
    test.judge(&child.wait_with_output().expect("it ends")).stdout(&said).stderr("").status(0);
}

#[test]
fn a_failing_command_is_told_with_hook_instance_file_line_and_status() {
    with_plugin("NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() {\n  true\n  grep -q x /dev/null\n  true\n}\n")
        .run(&UP)
        .stdout(STARTING_UP)
        .stderr_line(
            "netnsinit: t@n: up outside (configure_t_up_outside) failed with status 1 at /etc/conf.d/netns/t.sh:4",
        )
        .status(1);
}

#[test]
fn what_is_remembered_stays_below_the_root_and_goes_with_the_instance() {
    let test = with_plugin(
        "v=given\nNO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() { remember v; }\n\
         configure_t_down_outside() { v=edited; recall; echo \"$v\"; }\n",
    );
    test.run(&UP).stdout(STARTING_UP).stderr("").status(0);
    assert_eq!(test.names("run/systemd-netns/remembered"), ["t@n"]);
    test.run(&DOWN).stdout(&format!("{STARTING_DOWN}given\n")).stderr("").status(0);
    assert!(test.names("run/systemd-netns/remembered").is_empty());
}

#[test]
fn nothing_is_traced_unless_asked_for() {
    let secret = "NO_CONFIG_REQUIRED=y\nkey=kitsecret\nconfigure_t_up_outside() { : \"$key\"; }\n";
    with_plugin(secret).run(&UP).stdout(STARTING_UP).stderr("").status(0);
    with_plugin(secret).variable("NETNS_TRACE", "0").run(&UP).stdout(STARTING_UP).stderr("").status(0);
    with_plugin(secret)
        .variable("NETNS_TRACE", "1")
        .run(&UP)
        .stdout(STARTING_UP)
        .stderr_has("kitsecret")
        .status(0);
    for option in ["-x", "--trace"] {
        let ran = with_plugin(secret).run(&[&[option], &UP[..]].concat());
        ran.stdout(STARTING_UP).stderr_has("kitsecret").status(0);
    }
}

#[test]
fn what_would_change_how_bash_reads_the_wrapper_does_not_get_through() {
    let test = with_plugin(
        "NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() { echo \"$KEPT $PS4${ENV-}\"; [[ ! -o posix ]]; }\n",
    )
    .file("env", "echo 'the environment was sourced'\n");
    let file = test.path("env");
    test.variable("BASH_ENV", &file)
        .variable("ENV", &file)
        .variable("SHELLOPTS", "xtrace:nounset")
        .variable("BASHOPTS", "failglob")
        .variable("POSIXLY_CORRECT", "1")
        .variable("PS4", "oops")
        .variable("KEPT", "kept")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}kept + \n"))
        .stderr("")
        .status(0);
}

// --- the wrapper

#[test]
fn a_printed_wrapper_runs_nothing_and_does_by_hand_what_netnsinit_does() {
    let test = machine().file(DEFAULT, "v='it'\\''s'\n");
    let words = ["t", "n", "$HOME it's {a,b} *", "up", "outside"];
    let ran = test.run(&words);
    let expected = ran.stdout.clone();
    ran.stderr("").status(0);
    assert!(expected.ends_with("plugin\nup 2 <n> <$HOME it's {a,b} *> v=it's\n"), "{expected}");

    let printed =
        test.command_below_root(&[&["--print-wrapper"], &words[..]].concat()).output().expect("it starts");
    assert!(printed.status.success() && printed.stderr.is_empty(), "{printed:?}");
    assert!(!String::from_utf8_lossy(&printed.stdout).contains("\nplugin\n"), "{printed:?}");
    test.write("wrapper", &printed.stdout);
    let by_hand = Command::new("bash").arg(test.path("wrapper")).output().expect("bash starts");
    test.judge(&by_hand).stdout(&expected).stderr("").status(0);
}

#[test]
fn a_wrapper_of_bad_input_is_not_printed() {
    let test = machine();
    test.run(&["--print-wrapper", "t", "a b", "up", "outside"]).stdout("").stderr_line("\"a b\"").status(1);
    test.run(&["--print-wrapper", "nosuch", "n", "up", "outside"])
        .stdout("")
        .stderr_line("`nosuch`")
        .status(1);
}

// --- inside, and the namespaces themselves

#[test]
fn an_inside_hook_is_not_run_by_a_plain_user_of_the_host() {
    machine()
        .by_nobody()
        .run(&["t", "n", "up", "inside"])
        .stdout("")
        .stderr_line("cannot tell the namespace of PID 1 (are you root?)")
        .status(1);
}

#[test]
fn an_inside_hook_is_not_run_in_a_namespace_of_another_name() {
    // Whoever runs this, and wherever: there is no namespace below this root.
    let ran = machine().run(&["t", "n", "up", "inside"]);
    assert!(!ran.stdout.contains("inside") && !ran.stdout.contains("plugin"), "{ran:#?}");
    ran.stderr_line("netns").status(1);
}

#[test]
fn namespaces_are_created_and_deleted_by_one_name_each() {
    let test = Test::new("netnsinit").by_nobody();
    for option in ["--create", "--delete"] {
        test.run(&[option]).stdout("").stderr_has("one namespace name is needed").status(1);
        test.run(&[option, "a", "b"]).stdout("").stderr_has("one namespace name is needed").status(1);
        for name in ["a/b", "..", "a b", ""] {
            test.run(&[option, name]).stdout("").stderr_line("is no namespace name: use letters").status(1);
        }
    }
    assert!(test.names("").is_empty(), "something was made");
}

#[test]
fn a_plain_user_creates_no_namespace() {
    let test = Test::new("netnsinit").by_nobody();
    let ran = test.run(&["--create", "n"]);
    assert!(!test.has("run/netns/n"), "{ran:#?}");
    ran.stdout("").stderr_line("netnsinit: only root may create and delete namespaces").status(1);
}

//! netnsinit: the hook, its wrapper, and namespaces.

mod support;

use std::process::{Command, Stdio};

use support::Test;
use support::init::{DEFAULT, DOWN, STARTING_DOWN, STARTING_UP, UP, machine, with_plugin};

// --- the hook

#[test]
fn the_exit_status_is_that_of_the_hook() {
    for (body, status) in [("return 0", 0), ("return 3", 3), ("exit 17", 17), ("false", 1), ("(exit 44)", 44)]
    {
        let ran = with_plugin(&format!("NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() {{\n  {body}\n}}\n"))
            .run(&UP);
        assert_eq!(ran.stderr.is_empty(), status == 0, "{ran:#?}");
        ran.stdout(STARTING_UP).status(status);
    }
}

#[test]
fn the_signal_that_kills_a_hook_is_visible_to_the_caller() {
    with_plugin("NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() { kill -KILL $$; }\n").run(&UP).signal(9);
    with_plugin("NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() { kill -TERM $$; }\n").run(&UP).signal(15);
}

#[test]
fn a_second_signal_does_not_interrupt_the_rollback() {
    let text = "NO_CONFIG_REQUIRED=y\n\
                undo() { kill $$; kill -INT $$; kill -HUP $$; sleep 0.1; echo undone; }\n\
                configure_t_up_outside() { on_failure undo; kill $$; }\n";
    with_plugin(text).run(&UP).stdout(&format!("{STARTING_UP}undone\n")).signal(15);
}

#[test]
fn the_hook_runs_in_the_process_of_netnsinit() {
    let test = with_plugin("NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() { echo \"pid $$\"; }\n");
    let child = test
        .command_below_root(&UP)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = format!("{STARTING_UP}pid {}\n", child.id());
    test.ran(&child.wait_with_output().expect("it ends")).stdout(&output).stderr("").status(0);
}

#[test]
fn a_failed_command_is_reported_with_instance_hook_status_file_and_line() {
    with_plugin("NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() {\n  true\n  grep -q x /dev/null\n  true\n}\n")
        .run(&UP)
        .stdout(STARTING_UP)
        .stderr_line(
            "netnsinit: t@n: up outside (configure_t_up_outside) failed with status 1 at /etc/conf.d/netns/t.sh:4",
        )
        .status(1);
}

#[test]
fn remembered_values_are_below_the_root_and_are_removed_with_the_instance() {
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
fn commands_are_traced_only_on_request() {
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
fn variables_that_would_change_how_bash_reads_the_wrapper_are_removed() {
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
fn a_printed_wrapper_runs_nothing_and_bash_can_run_it_like_netnsinit() {
    let test = machine().file(DEFAULT, "v='it'\\''s'\n");
    let arguments = ["t", "n", "$HOME it's {a,b} *", "up", "outside"];
    let ran = test.run(&arguments);
    let expected = ran.stdout.clone();
    ran.stderr("").status(0);
    assert!(expected.ends_with("plugin\nup 2 <n> <$HOME it's {a,b} *> v=it's\n"), "{expected}");

    let printed = test
        .command_below_root(&[&["--print-wrapper"], &arguments[..]].concat())
        .output()
        .expect("it starts");
    assert!(printed.status.success() && printed.stderr.is_empty(), "{printed:?}");
    assert!(!String::from_utf8_lossy(&printed.stdout).contains("\nplugin\n"), "{printed:?}");
    test.write("wrapper", &printed.stdout);
    let run_by_bash = Command::new("bash").arg(test.path("wrapper")).output().expect("bash starts");
    test.ran(&run_by_bash).stdout(&expected).stderr("").status(0);
}

#[test]
fn no_wrapper_is_printed_for_invalid_input() {
    let test = machine();
    test.run(&["--print-wrapper", "t", "a b", "up", "outside"]).stdout("").stderr_line("\"a b\"").status(1);
    test.run(&["--print-wrapper", "nosuch", "n", "up", "outside"])
        .stdout("")
        .stderr_line("`nosuch`")
        .status(1);
}

// --- inside hooks, and namespaces

#[test]
fn an_unprivileged_user_cannot_run_an_inside_hook() {
    machine()
        .without_root()
        .run(&["t", "n", "up", "inside"])
        .stdout("")
        .stderr_line("cannot read the namespace of PID 1 (are you root?)")
        .status(1);
}

#[test]
fn an_inside_hook_does_not_run_in_another_namespace() {
    // For any user, and in any namespace: no namespace exists below this root.
    let ran = machine().run(&["t", "n", "up", "inside"]);
    assert!(!ran.stdout.contains("inside") && !ran.stdout.contains("plugin"), "{ran:#?}");
    ran.stderr_line("netns").status(1);
}

#[test]
fn create_and_delete_take_exactly_one_valid_name() {
    let test = Test::new("netnsinit").without_root();
    for option in ["--create", "--delete"] {
        test.run(&[option]).stdout("").stderr_has("expected one NAME").status(1);
        test.run(&[option, "a", "b"]).stdout("").stderr_has("expected one NAME").status(1);
        for name in ["a/b", "..", "a b", ""] {
            test.run(&[option, name]).stdout("").stderr_line("invalid NSNAME").status(1);
        }
    }
    assert!(test.names("").is_empty(), "a file was created");
}

#[test]
fn an_unprivileged_user_cannot_create_a_namespace() {
    let test = Test::new("netnsinit").without_root();
    let ran = test.run(&["--create", "n"]);
    assert!(!test.has("run/netns/n"), "{ran:#?}");
    ran.stdout("").stderr_line("netnsinit: permission denied: only root can configure namespaces").status(1);
}

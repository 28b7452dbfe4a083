//! netnsinit: files that other users can write are not run.

mod support;

use support::init::{CONF, DOWN, SH, STARTING_DOWN, STARTING_UP, UP, with_plugin};

const PLUGIN: &str =
    "echo read\nNO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() { :; }\nconfigure_t_down_outside() { :; }\n";

#[test]
fn up_and_down_refuse_a_plugin_that_other_users_can_write_and_read_nothing() {
    for arguments in [UP, DOWN] {
        with_plugin(PLUGIN)
            .mode(SH, 0o666)
            .run(&arguments)
            .stdout("")
            .stderr(
                "netnsinit: refusing to run files that other users can write:\n  \
                 /etc/conf.d/netns/t.sh: any user can write it; fix: `chmod o-w /etc/conf.d/netns/t.sh`\n  \
                 Check the contents before you fix this. NETNS_ALLOW_UNSAFE_FILES=1 in the environment allows such files.\n",
            )
            .status(1);
    }
}

#[test]
fn all_unsafe_files_are_reported_together() {
    let ran = with_plugin(PLUGIN).file(CONF, "").mode(CONF, 0o666).mode("etc/conf.d", 0o777).run(&UP);
    ran.stdout("")
        .stderr_has("/etc/conf.d: any user can create files in it")
        .stderr_has("t.conf: any user")
        .status(1);
}

#[test]
fn the_variable_allows_unsafe_files_with_a_warning() {
    for (arguments, starting) in [(UP, STARTING_UP), (DOWN, STARTING_DOWN)] {
        with_plugin(PLUGIN)
            .mode(SH, 0o666)
            .variable("NETNS_ALLOW_UNSAFE_FILES", "1")
            .run(&arguments)
            .stdout(&format!("{starting}read\n"))
            .stderr_line("netnsinit: warning: /etc/conf.d/netns/t.sh: any user can write it")
            .status(0);
    }
}

#[test]
fn an_unsafe_layer_is_refused_also_if_another_layer_has_changed_the_type_or_the_name() {
    for (change, conf) in
        [("NSNAME=other", "etc/conf.d/netns/t-other.conf"), ("NSTYPE=s", "etc/conf.d/netns/s.conf")]
    {
        let plugin = format!("{change}\n{PLUGIN}configure_s_up_outside() {{ :; }}\n");
        let test = with_plugin(&plugin).file(conf, "echo stranger\n");
        test.run(&UP).stdout(&format!("{STARTING_UP}read\nstranger\n")).status(0);
        let message = format!("/{conf}: any user can write it");
        let test = test.mode(conf, 0o666);
        test.run(&UP).stdout(&format!("{STARTING_UP}read\n")).stderr_has(&message).status(1);
        let test = test.variable("NETNS_ALLOW_UNSAFE_FILES", "1");
        test.run(&UP).stdout(&format!("{STARTING_UP}read\nstranger\n")).stderr_has(&message).status(0);
    }
}

#[test]
fn the_option_checks_any_file_also_under_its_old_name() {
    for option in ["--check-trust", "--judge"] {
        let test = with_plugin(PLUGIN);
        let file = test.path(SH).display().to_string();
        test.run(&[option, &file]).stdout("").stderr("").status(0);
        test.mode(SH, 0o666)
            .run(&[option, &file])
            .stdout("")
            .stderr_has("t.sh: any user can write it")
            .status(1);
    }
}

#[test]
fn the_wrapper_of_an_unsafe_plugin_is_printed() {
    // Nothing is run.
    let arguments = [["--print-wrapper"].as_slice(), &UP].concat();
    with_plugin(PLUGIN).mode(SH, 0o666).run(&arguments).stderr("").status(0);
}

#[test]
fn root_refuses_the_files_of_another_user_and_this_user_can_run_them() {
    let test = with_plugin(PLUGIN);
    if std::os::unix::fs::chown(test.path(SH), Some(65534), None).is_err() {
        return; // only root can change the owner of a file
    }
    test.run(&UP).stdout("").stderr_has("t.sh: it belongs to the user nobody (65534)").status(1);
    test.without_root().run(&UP).stdout(&format!("{STARTING_UP}read\n")).stderr("").status(0);
}

//! netnsinit: the plugin and the other layers.

mod support;

use support::Test;
use support::init::{
    CONF, DEFAULT, DOWN, PLUGIN, SH, SHIPPED, STARTING_DOWN, STARTING_UP, UP, machine, with_plugin,
};

// --- the plugin

#[test]
fn the_error_for_a_missing_plugin_has_both_paths() {
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
fn the_administrators_plugin_overrides_the_shipped_one() {
    machine()
        .file(SHIPPED, "echo shipped\n")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}plugin\nup 1 <n> <> v=\n"))
        .stderr("")
        .status(0);
}

#[test]
fn the_shipped_plugin_is_used_if_the_administrator_has_none() {
    Test::new("netnsinit")
        .file(SHIPPED, PLUGIN)
        .run(&UP)
        .stdout(&format!("{STARTING_UP}plugin\nup 1 <n> <> v=\n"))
        .stderr("")
        .status(0);
}

#[test]
fn a_plugin_that_is_not_a_regular_file_is_refused_with_its_path() {
    let message = "netnsinit: plugin /etc/conf.d/netns/t.sh is not a regular file\n";
    Test::new("netnsinit").directory(SH).run(&UP).stdout("").stderr(message).status(1);
    Test::new("netnsinit").fifo(SH).run(&UP).stdout("").stderr(message).status(1);
    let message = "netnsinit: plugin /usr/share/systemd-netns/t.sh is not a regular file\n";
    Test::new("netnsinit").directory(SHIPPED).run(&UP).stdout("").stderr(message).status(1);
}

#[test]
fn a_plugin_that_is_a_dangling_link_is_refused_with_its_path() {
    let message = "netnsinit: plugin /etc/conf.d/netns/t.sh is a dangling symbolic link\n";
    Test::new("netnsinit")
        .link(SH, "/nonexistent/t.sh")
        .file(SHIPPED, PLUGIN)
        .run(&UP)
        .stdout("")
        .stderr(message)
        .status(1);
}

#[test]
fn a_plugin_can_be_a_link_to_a_file() {
    Test::new("netnsinit")
        .file("etc/conf.d/netns/real.inc", PLUGIN)
        .link(SH, "real.inc")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}plugin\nup 1 <n> <> v=\n"))
        .stderr("")
        .status(0);
}

#[test]
fn an_unreadable_plugin_is_refused_with_its_path() {
    machine()
        .mode(SH, 0o000)
        .without_root()
        .run(&UP)
        .stdout("")
        .stderr_line("cannot read plugin /etc/conf.d/netns/t.sh: ")
        .status(1);
}

#[test]
fn a_plugin_in_an_unreadable_directory_is_refused_with_its_path() {
    machine()
        .mode("etc/conf.d/netns", 0o000)
        .without_root()
        .run(&UP)
        .stdout("")
        .stderr_line("cannot read plugin /etc/conf.d/netns/t.sh: ")
        .status(1);
}

#[test]
fn a_syntax_error_in_a_plugin_is_reported_with_file_and_line_and_no_hook_runs() {
    for arguments in [UP, DOWN] {
        let ran = with_plugin(&format!("{PLUGIN}if\nfi\n")).run(&arguments);
        assert!(!ran.stdout.contains("v="), "the hook was run: {ran:#?}");
        ran.stderr_has("/etc/conf.d/netns/t.sh: line 7: syntax error").status(2);
    }
}

#[test]
fn dos_line_ends_in_a_plugin_are_reported_with_file_and_line_and_no_hook_runs() {
    let ran = with_plugin(&PLUGIN.replace('\n', "\r\n")).run(&UP);
    assert!(!ran.stdout.contains("v="), "the hook was run: {ran:#?}");
    assert!(!ran.status.success(), "{ran:#?}");
    ran.stderr_has("/etc/conf.d/netns/t.sh: line ").stderr_has("DOS line ends (\\r\\n)").status(2);
}

// --- the other layers

#[test]
fn layers_are_sourced_in_order_and_see_the_values_of_earlier_ones() {
    let layer = |name: &str| format!("echo \"{name} sees $v\"\nv=$v,{name}\n");
    with_plugin(&format!("{}configure_t_up_outside() {{ echo \"hook sees $v\"; }}\n", layer("plugin")))
        .file(DEFAULT, layer("default"))
        .file(CONF, layer("type"))
        .file("etc/conf.d/netns/t-n.conf", layer("name"))
        .file("etc/conf.d/netns/t-m.conf", layer("other"))
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
fn default_conf_is_optional() {
    machine().run(&UP).stdout(&format!("{STARTING_UP}plugin\nup 1 <n> <> v=\n")).stderr("").status(0);
}

#[test]
fn an_unusable_default_conf_is_an_error_for_up_and_a_warning_for_down() {
    for (test, message) in [
        (machine().directory(DEFAULT), "/etc/conf.d/netns/default.conf is a directory, not a file"),
        (
            machine().link(DEFAULT, "/nonexistent"),
            "/etc/conf.d/netns/default.conf is a dangling symbolic link",
        ),
    ] {
        test.run(&UP).stdout("").stderr(&format!("netnsinit: {message}\n")).status(1);
        test.run(&DOWN).stdout(&format!("{STARTING_DOWN}plugin\ndown v=\n")).stderr_line(message).status(0);
    }
}

#[test]
fn default_conf_can_be_a_link_to_dev_null() {
    machine()
        .link(DEFAULT, "/dev/null")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}plugin\nup 1 <n> <> v=\n"))
        .stderr("")
        .status(0);
}

#[test]
fn an_unreadable_conf_is_an_error_for_up_and_a_warning_for_down() {
    for file in [DEFAULT, CONF, "etc/conf.d/netns/t-n.conf"] {
        let test = machine().file(file, "v=secret\n").mode(file, 0o000).without_root();
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
fn a_syntax_error_in_a_conf_is_an_error_for_up_and_a_warning_for_down() {
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
fn the_error_for_a_missing_conf_has_both_paths() {
    with_plugin("configure_t_up_outside() { echo hook; }\n")
        .run(&UP)
        .stdout(STARTING_UP)
        .stderr_line("neither /etc/conf.d/netns/t.conf nor /etc/conf.d/netns/t-n.conf is a file")
        .status(1);
}

#[test]
fn the_confs_are_optional_if_no_config_required_is_set() {
    with_plugin("NO_CONFIG_REQUIRED=0\nconfigure_t_up_outside() { echo hook; }\n")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}hook\n"))
        .stderr("")
        .status(0);
}

#[test]
fn a_conf_can_define_a_hook() {
    with_plugin("")
        .file("etc/conf.d/netns/t-n.conf", "configure_t_up_outside() { echo conf; }\n")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}conf\n"))
        .stderr("")
        .status(0);
}

#[test]
fn an_instance_without_the_hook_function_succeeds() {
    with_plugin("NO_CONFIG_REQUIRED=y\n")
        .run(&UP)
        .stdout(&format!("{STARTING_UP}No configuration required.\n"))
        .stderr("")
        .status(0);
}

#[test]
fn the_root_can_have_any_name() {
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

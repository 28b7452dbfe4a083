//! netnsinit: the plugin and the other layers.

mod support;

use support::Test;
use support::init::{
    CONF, DEFAULT, DOWN, PLUGIN, SH, SHIPPED, STARTING_DOWN, STARTING_UP, UP, machine, with_plugin,
};

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
    let said = "netnsinit: plugin /etc/conf.d/netns/t.sh is a dangling symbolic link\n";
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
        .stderr_line("cannot read plugin /etc/conf.d/netns/t.sh: ")
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
    ran.stderr_has("/etc/conf.d/netns/t.sh: line ").stderr_has("DOS line ends (\\r\\n)").status(2);
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
            "/etc/conf.d/netns/default.conf is a dangling symbolic link",
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

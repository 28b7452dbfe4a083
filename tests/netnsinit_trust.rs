//! netnsinit: files that others can write are not run.

mod support;

use support::init::{CONF, DOWN, SH, STARTING_DOWN, STARTING_UP, UP, with_plugin};

const PLUGIN: &str =
    "echo read\nNO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() { :; }\nconfigure_t_down_outside() { :; }\n";

#[test]
fn what_others_can_write_is_refused_on_up_and_on_down_and_nothing_is_read() {
    for words in [UP, DOWN] {
        with_plugin(PLUGIN)
            .mode(SH, 0o666)
            .run(&words)
            .stdout("")
            .stderr(
                "netnsinit: nothing is run, as others could have written what would be:\n  \
                 /etc/conf.d/netns/t.sh: everybody can write it; mend it by `chmod o-w /etc/conf.d/netns/t.sh`\n  \
                 Look at what it holds before you mend it. NETNS_ALLOW_UNSAFE_FILES=1 in the environment allows it.\n",
            )
            .status(1);
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let ran = with_plugin(PLUGIN).file(CONF, "").mode(CONF, 0o666).mode("etc/conf.d", 0o777).run(&UP);
    ran.stdout("")
        .stderr_has("/etc/conf.d: everybody can put files into it")
        .stderr_has("t.conf: everybody")
        .status(1);
}

#[test]
fn the_variable_allows_it_with_a_warning() {
    for (words, starting) in [(UP, STARTING_UP), (DOWN, STARTING_DOWN)] {
        with_plugin(PLUGIN)
            .mode(SH, 0o666)
            .variable("NETNS_ALLOW_UNSAFE_FILES", "1")
            .run(&words)
            .stdout(&format!("{starting}read\n"))
            .stderr_line("netnsinit: warning: /etc/conf.d/netns/t.sh: everybody can write it")
            .status(0);
    }
}

#[test]
fn a_layer_that_others_have_had_read_is_refused_too() {
    for (change, conf) in
        [("NSNAME=other", "etc/conf.d/netns/t-other.conf"), ("NSTYPE=s", "etc/conf.d/netns/s.conf")]
    {
        let plugin = format!("{change}\n{PLUGIN}configure_s_up_outside() {{ :; }}\n");
        let test = with_plugin(&plugin).file(conf, "echo stranger\n");
        test.run(&UP).stdout(&format!("{STARTING_UP}read\nstranger\n")).status(0);
        let said = format!("/{conf}: everybody can write it");
        let test = test.mode(conf, 0o666);
        test.run(&UP).stdout(&format!("{STARTING_UP}read\n")).stderr_has(&said).status(1);
        let test = test.variable("NETNS_ALLOW_UNSAFE_FILES", "1");
        test.run(&UP).stdout(&format!("{STARTING_UP}read\nstranger\n")).stderr_has(&said).status(0);
    }
}

#[test]
fn any_file_can_be_checked_also_by_the_old_name_of_the_option() {
    for option in ["--check-trust", "--judge"] {
        let test = with_plugin(PLUGIN);
        let file = test.path(SH).display().to_string();
        test.run(&[option, &file]).stdout("").stderr("").status(0);
        test.mode(SH, 0o666)
            .run(&[option, &file])
            .stdout("")
            .stderr_has("t.sh: everybody can write it")
            .status(1);
    }
}

#[test]
fn a_wrapper_is_printed_all_the_same_as_that_runs_nothing() {
    let words = [["--print-wrapper"].as_slice(), &UP].concat();
    with_plugin(PLUGIN).mode(SH, 0o666).run(&words).stderr("").status(0);
}

#[test]
fn a_user_who_is_not_root_runs_their_own_files_and_root_does_not() {
    let test = with_plugin(PLUGIN);
    if std::os::unix::fs::chown(test.path(SH), Some(65534), None).is_err() {
        return; // only root can give files away
    }
    test.run(&UP).stdout("").stderr_has("t.sh: it belongs to the user nobody (65534)").status(1);
    test.by_nobody().run(&UP).stdout(&format!("{STARTING_UP}read\n")).stderr("").status(0);
}

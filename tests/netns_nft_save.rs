//! The parts of netns-nft-save that require neither root nor a namespace.

mod support;

use support::{Test, bytes};

#[test]
fn exactly_one_name_is_required() {
    let test = Test::new("netns-nft-save");
    test.run_live::<&str>(&[]).stdout("").stderr_has("<NAME>").stderr_has("Usage: netns-nft-save").status(1);
    test.run_live(&["a", "b"]).stdout("").stderr_has("'b'").stderr_has("Usage: netns-nft-save").status(1);
}

#[test]
fn invalid_names_are_refused_with_the_allowed_characters() {
    let test = Test::new("netns-nft-save");
    for name in ["", ".", "..", "../evil", "a/b", "a b", "x-", "é", "a\n", &"n".repeat(201)] {
        let expected = format!(
            "netns-nft-save: invalid NSNAME {name:?}: use letters, digits and `_`, with `.`, `:` and `-` only between them, \
             at most 200 characters\n"
        );
        test.run_live(&[name]).stdout("").stderr(&expected).status(1);
    }
    test.run_live(&[bytes(b"a\xff")]).stdout("").stderr_line("invalid NSNAME").status(1);
}

#[test]
fn help_and_version_are_options_and_not_names() {
    let test = Test::new("netns-nft-save");
    for option in ["-h", "--help"] {
        test.run_live(&[option]).stdout_has("Usage: netns-nft-save [OPTIONS] <NAME>").stderr("").status(0);
    }
    let version = format!("netns-nft-save {}\n", env!("CARGO_PKG_VERSION"));
    test.run_live(&["--version"]).stdout(&version).stderr("").status(0);
}

#[test]
fn an_unknown_option_is_refused() {
    Test::new("netns-nft-save").run_live(&["--nosuch", "x"]).stdout("").stderr_has("'--nosuch'").status(1);
}

#[test]
fn users_other_than_root_are_refused() {
    Test::new("netns-nft-save")
        .without_root()
        .run_live(&["no-such-namespace"])
        .stdout("")
        .stderr("netns-nft-save: permission denied: only root can read the rules of a namespace; use sudo\n")
        .status(1);
}

#[test]
fn an_invalid_name_is_reported_before_the_missing_permission() {
    Test::new("netns-nft-save").without_root().run_live(&["a b"]).stdout("").stderr_line("\"a b\"").status(1);
}

#[test]
fn netnsctl_save_works_the_same() {
    let test = Test::new("netnsctl").without_root();
    test.run_live(&["save", "a b"]).stdout("").stderr_line("netnsctl: invalid NSNAME \"a b\"").status(1);
    test.run_live(&["save", "no-such-namespace"]).stdout("").stderr_line("only root").status(1);
}

//! Rules for the shipped plugins. The tests read the directory `plugins/`, so they also check a new plugin.

#![allow(clippy::unwrap_used)] // a test

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::Test;

/// A plugin, with the description and the settings that the program reads in its first comment.
struct Plugin {
    nstype: String,
    text: String,
    description: String,
    settings: BTreeSet<String>,
}

impl Plugin {
    /// The plugins of the project.
    fn shipped() -> Vec<Self> {
        let files = fs::read_dir("plugins").unwrap().map(|entry| entry.unwrap().path());
        let plugins: Vec<Self> = files
            .filter(|path| path.extension().is_some_and(|end| end == "sh"))
            .map(|path| {
                Self::read(path.file_stem().unwrap().to_str().unwrap(), &fs::read_to_string(&path).unwrap())
            })
            .collect();
        assert!(plugins.len() >= 5, "cannot find the plugins");
        plugins
    }

    /// Reads a plugin with `netnsctl types`.
    fn read(nstype: &str, text: &str) -> Self {
        let machine = Test::new("netnsctl")
            .directory("etc/conf.d/netns")
            .file(&format!("usr/share/systemd-netns/{nstype}.sh"), text);
        let root = machine.path("/").display().to_string();
        let types = machine.run_live(&["types", nstype, "--json", "--root", &root]);
        let json: serde_json::Value = serde_json::from_str(&types.stdout).unwrap();
        let item = &json["items"][0];
        let settings = item["settings"].as_array().unwrap().iter();
        Self {
            nstype: nstype.to_owned(),
            text: text.to_owned(),
            description: item["description"].as_str().unwrap().to_owned(),
            settings: settings.map(|setting| setting["name"].as_str().unwrap().to_owned()).collect(),
        }
    }

    /// The lines without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| !line.trim_start().starts_with('#'))
    }

    /// The values of a declaration.
    fn declared(&self, key: &str) -> Vec<&str> {
        let head = self.text.lines().map_while(|line| line.strip_prefix('#'));
        let values = head.filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'));
        values.flat_map(str::split_whitespace).collect()
    }

    /// The variables in the code with the name of a setting, `TYPE_…`, except variables that the plugin sets.
    fn uses(&self) -> BTreeSet<String> {
        let prefix = format!("{}_", self.nstype.to_uppercase());
        let is_own = |name: &str| self.code().any(|line| line.contains(&format!("{name}=")));
        let names = self.code().flat_map(|line| {
            line.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        });
        // The prefix of settings, as an argument of the library.
        let is_prefix = |name: &str| self.settings.iter().any(|one| one.starts_with(&format!("{name}_")));
        let is_used = |name: &&str| name.starts_with(&prefix) && !is_own(name) && !is_prefix(name);
        names.filter(is_used).map(ToOwned::to_owned).collect()
    }

    /// Whether the functions of the library for interfaces read a setting: its name begins with their first argument.
    fn is_read_by_library(&self, name: &str) -> bool {
        const KEYS: [&str; 26] = [
            "IFNAME",
            "MAC",
            "MTU",
            "ALIAS",
            "GROUP",
            "IFADDR",
            "GATEWAY",
            "ROUTES",
            "SYSCTLS",
            "BRIDGE",
            "PORTS",
            "REMOTES",
            "CARRIER_TIMEOUT",
            "PARENT_IFNAME",
            "PARENT_NSNAME",
            "PARENT_TIMEOUT",
            "NSNAME_SOCKET",
            "TABLE",
            "SERVERS",
            "SEARCH",
            "OPTIONS",
            "HOSTS",
            "LISTEN_PORT",
            "FWMARK",
            "PRIVATE_KEY_FILE",
            "PEERS",
        ];
        let words: Vec<&str> = self.code().flat_map(str::split_whitespace).collect();
        let calls = words.windows(2).filter(|pair| {
            ["link_add", "link_configure", "lease_start", "resolver_write"].contains(&pair[0])
        });
        let keys =
            calls.filter_map(|pair| name.strip_prefix(pair[1].trim_end_matches(';'))?.strip_prefix('_'));
        keys.into_iter().any(|key| {
            KEYS.iter().any(|known| {
                key == *known || key == format!("{known}_INSIDE") || key == format!("{known}_OUTSIDE")
            })
        })
    }

    /// Whether bash only defines functions and sets variables when it reads the text. Runs bash.
    fn has_only_definitions(&self) -> bool {
        let machine = Test::new("netnsctl").file("plugin.sh", &self.text);
        let traced = Command::new("bash")
            .args(["-T", "-c", "trap 'printf \"%s\\n\" \"$BASH_COMMAND\"' DEBUG; source \"$1\"", "bash"])
            .arg(machine.path("plugin.sh"))
            .output()
            .unwrap();
        let commands = String::from_utf8(traced.stdout).unwrap();
        let mut commands = commands.lines();
        assert_eq!(commands.next(), Some("source \"$1\""));
        let is_name =
            |word: &str| word.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
        commands.all(|line| line.split_once('=').is_some_and(|(name, _)| is_name(name)))
    }

    /// The violated rules. `manual` is the text of netns.conf(5), `types` of docs/types.md, `suites` is the directory of the tests.
    fn faults(&self, manual: &str, types: &str, suites: &Path) -> Vec<String> {
        let nstype = &self.nstype;
        let mut faults = Vec::new();
        let mut require = |is_met: bool, fault: String| {
            if !is_met {
                faults.push(format!("{nstype}: {fault}"));
            }
        };
        require(!self.description.is_empty(), format!("has no line `# {nstype}: DESCRIPTION`"));
        for name in self.uses().difference(&self.settings) {
            require(false, format!("reads `{name}`, which is missing after `# Settings`"));
        }
        for name in &self.settings {
            require(
                self.code().any(|line| has_word(line, name)) || self.is_read_by_library(name),
                format!("lists `{name}`, but does not read it"),
            );
            require(has_word(manual, name), format!("netns.conf(5) does not describe `{name}`"));
            require(has_word(types, name), format!("docs/types.md does not describe `{name}`"));
        }
        for name in ["Links", "Publishes", "Requires"].into_iter().flat_map(|key| self.declared(key)) {
            for name in name.split('@').filter(|name| !name.is_empty()) {
                require(self.settings.contains(name), format!("declares `{name}`, which is not a setting"));
            }
        }
        let section = format!("# {}", nstype.to_uppercase());
        require(
            manual.lines().any(|line| line == section),
            "netns.conf(5) has no section for the type".to_owned(),
        );
        let section = format!("### {nstype}");
        require(
            types.lines().any(|line| line == section),
            "docs/types.md has no section for the type".to_owned(),
        );
        let suite = suites.join(format!("{nstype}.bats"));
        require(suite.is_file(), format!("{} does not exist", suite.display()));
        require(
            self.has_only_definitions() == (self.declared("Contains") == ["only", "definitions"]),
            "`# Contains: only definitions` is missing or wrong".to_owned(),
        );
        faults
    }
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .any(|found| found == word)
}

#[test]
fn shipped_plugins_have_documents_tests_and_correct_declarations() {
    let manual = fs::read_to_string("man/netns.conf.5.scd").unwrap();
    let types = fs::read_to_string("docs/types.md").unwrap();
    let faults: Vec<String> = Plugin::shipped()
        .iter()
        .flat_map(|plugin| plugin.faults(&manual, &types, Path::new("bats/kernel")))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_violated_rule_is_reported() {
    let text = "# Contains: only definitions\n# Links: T_LINK@T_PLACE\n#\n# Settings:\n#   T_KNOWN  x\n#   T_UNUSED  x\n\n\
                T_OWN=1\nconfigure_t_up_inside() {\n  echo \"$T_KNOWN ${T_SECRET-} $T_OWN\"\n}\necho read\n";
    let faults = Plugin::read("t", text).faults("# U\nT_UNUSED", "## t\nT_KNOWN", Path::new("/nosuch"));
    assert_eq!(
        faults,
        [
            "t: has no line `# t: DESCRIPTION`",
            "t: reads `T_SECRET`, which is missing after `# Settings`",
            "t: netns.conf(5) does not describe `T_KNOWN`",
            "t: lists `T_UNUSED`, but does not read it",
            "t: docs/types.md does not describe `T_UNUSED`",
            "t: declares `T_LINK`, which is not a setting",
            "t: declares `T_PLACE`, which is not a setting",
            "t: netns.conf(5) has no section for the type",
            "t: docs/types.md has no section for the type",
            "t: /nosuch/t.bats does not exist",
            "t: `# Contains: only definitions` is missing or wrong",
        ]
    );
}

/// pipefail is off in hooks, so a failure of the first command of a pipeline would be ignored.
#[test]
fn shipped_plugins_have_no_pipelines() {
    for plugin in Plugin::shipped() {
        let found: Vec<&str> = plugin
            .code()
            .filter(|line| [" | ", " |& ", "<(", ">("].iter().any(|sign| line.contains(sign)))
            .collect();
        assert!(found.is_empty(), "{}: {found:?}", plugin.nstype);
    }
}

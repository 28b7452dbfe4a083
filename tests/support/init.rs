//! Shared by the tests of netnsinit: a machine with a plugin of the type `t`, and the expected output.

use super::Test;

/// A plugin that prints a line when it is read and when a hook runs.
pub const PLUGIN: &str = "echo plugin\n\
                      NO_CONFIG_REQUIRED=y\n\
                      configure_t_up_outside() { echo \"up $# <$1> <$2> v=${v-}\"; }\n\
                      configure_t_down_outside() { echo \"down v=${v-}\"; }\n\
                      configure_t_up_inside() { echo inside; }\n";

pub const SH: &str = "etc/conf.d/netns/t.sh";
pub const CONF: &str = "etc/conf.d/netns/t.conf";
pub const DEFAULT: &str = "etc/conf.d/netns/default.conf";
pub const SHIPPED: &str = "usr/share/systemd-netns/t.sh";

pub const STARTING_UP: &str = "Starting 'configure_t_up_outside' for netns 'n'.\n";
pub const STARTING_DOWN: &str = "Starting 'configure_t_down_outside' for netns 'n'.\n";

pub const UP: [&str; 4] = ["t", "n", "up", "outside"];
pub const DOWN: [&str; 4] = ["t", "n", "down", "outside"];

/// A machine with this plugin.
pub fn machine() -> Test {
    Test::new("netnsinit").file(SH, PLUGIN)
}

/// A machine with only this plugin, of type `t`.
pub fn with_plugin(text: &str) -> Test {
    Test::new("netnsinit").file(SH, text)
}

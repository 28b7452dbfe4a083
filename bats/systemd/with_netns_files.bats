#!/usr/bin/env bats
# with_netns_files under systemd: a daemon that a hook starts keeps running, and belongs to its unit.

load systemd

@test "a daemon of up inside writes the namespace's resolv.conf as long as it runs, never the host's" {
  config dhcp.sh <<'END'
NO_CONFIG_REQUIRED=yes
configure_dhcp_up_inside() {
  with_netns_files bash -c 'echo "from the client" | systemd-cat || exit
    (while :; do echo "# $((++count))" >/etc/resolv.conf; sleep 0.2; done) </dev/null >/dev/null 2>&1 & echo "$!" >/run/dhcp.pid'
}
configure_dhcp_down_inside() { rm -f "/etc/netns/$1/resolv.conf"; }
END
  lab netns-update
  lab rm -f /etc/resolv.conf
  lab bash -c 'echo "# the host" >/etc/resolv.conf'
  mounts=$(lab cat /proc/1/mountinfo | grep --invert-match ' /run/netns')
  lab systemctl start netns-dhcp@a
  eventually lab grep --quiet '# 3' /etc/netns/a/resolv.conf
  [[ $(lab cat /etc/resolv.conf) == '# the host' ]]
  eventually logged 'from the client'
  [[ $(lab cat /proc/1/mountinfo | grep --invert-match ' /run/netns') == "$mounts" ]]
  # Its unit ends it, like any other daemon of a hook.
  lab systemctl stop netns-dhcp@a
  eventually lab bash -c '! kill -0 "$(</run/dhcp.pid)"'
  eventually lab test ! -e /run/netns/a
}

# Usage: logged TEXT
# Succeeds if the journal, whose socket is in /run/systemd, has the text.
logged() { lab journalctl --sync && lab journalctl --output=cat | grep --quiet --fixed-strings "$1"; }

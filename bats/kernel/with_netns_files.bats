#!/usr/bin/env bats
# with_netns_files: a plugin starts a daemon that writes /etc/resolv.conf, and the file of the host is unchanged.

load kernel

setup() {
  rm -rf "$CONF" "$SHARE"
  mkdir -p "$CONF" "$SHARE"
  create a
  rm -f /etc/resolv.conf
  echo '# the host' >/etc/resolv.conf
}

# Usage: client COMMAND
# up dhcp a: a type that runs this text in a shell, as a DHCP client runs its script.
client() {
  config dhcp.sh <<END
NO_CONFIG_REQUIRED=yes
configure_dhcp_up_inside() { with_netns_files bash -c $(printf %q "set -e; $1") client "\$1"; }
END
  hook dhcp a up inside
}

# Usage: host_is_unchanged
host_is_unchanged() { [[ $(</etc/resolv.conf) == '# the host' && -z $(find /etc -maxdepth 1 -name 'resolv.conf?*') ]]; }

# The ways in which programs write the file: in place (udhcpc, dhcpcd), beside the target of the link (dhclient), and by a
# rename there.
WAYS=(
  'echo "# new" >/etc/resolv.conf'
  'file=$(readlink -f /etc/resolv.conf); echo "# new" >"$file.new"; cat "$file.new" >"$file"; rm "$file.new"'
  'file=$(readlink -f /etc/resolv.conf); echo "# new" >"$file.new"; mv -f "$file.new" "$file"'
  'file=$(readlink -f /etc/resolv.conf); rm -f "$file"; echo "# new" >"$file"'
)

@test "a client's /etc/resolv.conf is written to /etc/netns/NAME, and the host's file is unchanged" {
  for way in "${WAYS[@]}"; do
    for before in none old; do
      rm -rf /etc/netns/a
      if [[ $before == old ]]; then mkdir -p /etc/netns/a && echo '# old' >/etc/netns/a/resolv.conf; fi
      client "$way"
      host_is_unchanged
      [[ $(</etc/netns/a/resolv.conf) == '# new' && $(ls /etc/netns/a) == resolv.conf ]]
    done
  done
}

@test "this also works if the host's file is a link to a file below /run, or missing" {
  mkdir -p /run/systemd/resolve
  for way in "${WAYS[@]}"; do
    rm -rf /etc/netns/a /etc/resolv.conf
    echo '# the host' >/run/systemd/resolve/stub-resolv.conf
    ln -s ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
    client "$way"
    host_is_unchanged
    [[ -L /etc/resolv.conf && $(</etc/netns/a/resolv.conf) == '# new' ]]
    rm -rf /etc/netns/a /etc/resolv.conf
    client "$way"
    [[ ! -e /etc/resolv.conf && $(</etc/netns/a/resolv.conf) == '# new' ]]
  done
}

@test "a client that replaces /etc/resolv.conf itself fails, and the host's file is unchanged" {
  for way in 'echo "# new" >/etc/resolv.conf.new' 'echo "# new" >/run/new; mv -f /run/new /etc/resolv.conf' 'rm /etc/resolv.conf' \
    'ln -sf /run/new /etc/resolv.conf'; do
    run -1 client "$way"
    host_is_unchanged
  done
}

@test "/etc has the files of the namespace in place of the host's, and all other files, read-only" {
  mkdir -p /etc/netns/a
  echo '192.0.2.7 of-the-namespace' >/etc/netns/a/hosts
  mount --bind /etc/hostname /etc/hostname
  client 'cat /etc/hosts; cmp /etc/hostname <(uname -n) || cat /etc/hostname; [[ -e /etc/conf.d/netns/dhcp.sh ]]
    ls -A /etc >/etc/netns/a/list' >"$BATS_TEST_TMPDIR/said"
  umount /etc/hostname
  grep --line-regexp '192.0.2.7 of-the-namespace' "$BATS_TEST_TMPDIR/said"
  diff <(ls -A /etc) /etc/netns/a/list
  for file in /etc/hostname /etc/conf.d/new; do
    run -1 client "echo changed >$file"
    [[ ! -e $file || $(<$file) != changed ]]
  done
}

@test "the command can neither reach the host's D-Bus, resolvconf or systemd-resolved, nor change its host name" {
  mkdir -p /run/dbus /run/resolvconf /run/nscd /run/systemd/{resolve,resolved.conf.d}
  touch /run/{dbus,resolvconf,nscd,systemd/resolve}/there
  before=$(uname -n)
  client '! ls /run/{dbus,resolvconf,nscd,systemd/resolve}/there; echo changed >/run/resolvconf/enable-updates; hostname changed'
  [[ $(uname -n) == "$before" && ! -e /run/resolvconf/enable-updates ]]
  run -1 client 'echo "[Resolve]" >/run/systemd/resolved.conf.d/client.conf'
}

@test "the command keeps the network namespace, its arguments and its status, and sees later mounts" {
  run -7 client 'ip -brief link >/run/links; [[ $1 == a ]]; exit 7'
  [[ $(</run/links) == 'lo '* && $(wc -l </run/links) == 1 ]]
  mkdir -p /run/later
  mount --make-shared /run
  client 'echo here >/run/ready; until [[ -e /run/later/there ]]; do sleep 0.1; done; echo seen >/run/seen' 3>&- &
  BACKGROUND+=("$!")
  eventually test -e /run/ready
  mount -t tmpfs later /run/later
  touch /run/later/there
  eventually test -e /run/seen
  umount /run/later
}

@test "without an executable command, the hook fails" {
  config dhcp.sh <<<'NO_CONFIG_REQUIRED=yes; configure_dhcp_up_inside() { with_netns_files nosuch; }'
  run --separate-stderr -1 hook dhcp a up inside
  [[ $stderr == *'cannot run nosuch'* ]]
}

@test "directories of services that do not exist yet are covered, and /run/systemd can lack resolve" {
  rm -rf /run/{dbus,nscd,resolvconf,systemd}
  mkdir /run/systemd
  client 'mkdir -p /run/resolvconf/interfaces; echo x >/run/resolvconf/interfaces/x; echo "# new" >/etc/resolv.conf'
  [[ -z $(find /run/resolvconf -mindepth 1) && $(</etc/netns/a/resolv.conf) == '# new' ]]
  host_is_unchanged
}

#!/usr/bin/env bats
# make install and make uninstall on a running machine, also over the bash scripts.

load systemd

# The tree of a user's build; the machine sees it as /src.
setup() {
  mkdir "$LAB/root/src"
  tree=$BATS_TEST_DIRNAME/../..
  mkdir -p "$LAB/root/src/target/release" "$LAB/root/src/tests"
  cp -a "$tree"/{Makefile,units,plugins,etc,man,managers} "$LAB/root/src/"
  mkdir -p "$LAB/root/src/src/commands"
  cp -a "$tree/src/commands/completion" "$LAB/root/src/src/commands/"
  cp -aL "$tree"/target/release/{netnsctl,man} "$LAB/root/src/target/release/"
}

# Restores the installation for the next test.
teardown() {
  lab make -s -C /src uninstall || lab netns-update --clean --now
  rm -rf "$LAB/root/src" "$CONF"
  mkdir -p "${CONF%/*}"
  cp -a "$LAB/conf" "$CONF"
  lab ip -all netns delete
  lab_install
  lab systemctl daemon-reload
  lab systemctl reset-failed
}

@test "an upgrade does not affect active instances and the administrator's files" {
  config veth-mine.conf <<<'VETH_IFADDR_OUTSIDE=192.0.2.41/30 VETH_IFADDR_INSIDE=192.0.2.42/30'
  config macvlan.conf <<<'# mine'
  lab systemctl start netns-veth@mine
  run -0 lab make -C /src install
  [[ $output == *'Update successful'* ]]
  up netns-veth@mine
  lab ping -c1 -W1 -q 192.0.2.42
  [[ $(cat "$CONF/macvlan.conf") == '# mine' ]]
  lab systemctl stop netns-veth@mine
  nothing_left mine
}

# Usage: files
# Prints every file and directory of the machine that an installation could have created, except the administrator's.
files() { lab find /etc /usr /var/lib /run/systemd-netns -path /etc/conf.d/netns -prune -o -print 2>/dev/null | sort; }

@test "uninstall removes everything except the files in /etc/conf.d/netns" {
  config mine.sh <<<'NO_CONFIG_REQUIRED=y'
  lab make -s -C /src uninstall
  before=$(files)
  [[ $before != */usr/sbin/netns* && $before != */systemd/system/netns* && $before != */systemd-netns/* && $before != */netns-update.8* ]]

  lab make -s -C /src install
  lab systemctl enable --now netns-veth@nstest
  lab systemctl add-wants rescue.target netns-lo@nstest
  lab systemctl stop netns-veth@nstest
  eventually gone nstest
  lab rm /etc/conf.d/netns/macvlan.conf
  kept=$(cd "$CONF" && find . -type f -exec sha256sum {} + | sort)
  run -0 lab make -s -C /src uninstall
  [[ $output == *"disabled: /etc/systemd/system/multi-user.target.wants/netns-veth@nstest.service"* ]]
  [[ $output == *"disabled: /etc/systemd/system/rescue.target.wants/netns-lo@nstest.service"* ]]
  diff <(echo "$before") <(files)
  [[ $(cd "$CONF" && find . -type f -exec sha256sum {} + | sort) == "$kept" ]]
  run lab test -e /run/systemd-netns
  ((status != 0))
}

@test "without files of the administrator, uninstall removes /etc/conf.d/netns" {
  rm -r "$CONF"
  lab make -s -C /src install
  [[ -d $CONF && -z $(ls -A "$CONF") ]]
  lab make -s -C /src uninstall
  [[ ! -e $CONF ]]
}

@test "an installation in /usr/bin works, and a staged one changes nothing on the machine" {
  lab make -s -C /src uninstall
  run -0 lab make -C /src install DESTDIR= BINDIR=/usr/bin
  [[ $output == *'Update successful'* ]]
  lab systemctl start netns-lo@n
  up netns-lo@n
  before=$(files)
  lab make -s -C /src install uninstall DESTDIR=/tmp/x BINDIR=/usr/bin
  diff <(echo "$before") <(files)
  up netns-lo@n
  lab netnsctl down n
  lab make -s -C /src uninstall BINDIR=/usr/bin
}

@test "uninstall refuses while an instance is active, and changes nothing" {
  lab systemctl start netns-veth@nstest
  before=$(files)
  run lab make -C /src uninstall
  ((status != 0))
  [[ $output == *'netns-veth@nstest.service is active'*'netns-update --clean --now'* ]]
  up netns-veth@nstest
  lab ping -c1 -W1 -q 192.0.2.130
  diff <(echo "$before") <(files)
}

@test "uninstall refuses while a service is attached, and changes nothing" {
  lab tee /etc/systemd/system/test-web.service <<<$'[Service]\nExecStart=/bin/sleep infinity' >/dev/null
  lab systemctl daemon-reload
  lab netnsctl attach test-web lo@n
  before=$(files)
  run lab make -C /src uninstall
  ((status != 0))
  [[ $output == *'test-web.service is attached to lo@n'*'`netnsctl detach test-web.service`'*'not uninstalled: detach the attached services'* ]]
  diff <(echo "$before") <(files)
  lab systemctl start test-web
  up netns-lo@n test-web
  lab systemctl stop test-web netns-lo@n
  lab netnsctl detach test-web
  lab rm /etc/systemd/system/test-web.service
  eventually gone n
}

@test "an installation over the bash scripts takes over their copies, and instances stay active" {
  # The templates of the bash scripts, as far as they are known from the units of their users.
  for half in netns netns_outside; do
    side=$([[ $half == netns ]] && echo inside || echo outside)
    lab tee "/usr/lib/systemd/system/$half@.service" >/dev/null <<END
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=netnsinit "%j" "%I" up $side
ExecStop=netnsinit "%j" "%I" down $side
END
    lab cp "/usr/lib/systemd/system/$half@.service" "/etc/systemd/system/$half-veth@.service"
    lab cp "/usr/lib/systemd/system/$half@.service" "/etc/systemd/system/$half-gone@.service"
  done
  run -0 lab make -C /src install
  for half in netns netns_outside; do
    cmp "$LAB/root/src/units/$half@.service" "$LAB/root/etc/systemd/system/$half-veth@.service"
    [[ ! -e $LAB/root/etc/systemd/system/$half-gone@.service ]]
  done
  lab systemctl start netns-veth@nstest
  lab ping -c1 -W1 -q 192.0.2.130
}

@test "install and uninstall work with dash as sh" {
  lab make -C /src uninstall SHELL=/bin/dash
  run -0 lab make -C /src install SHELL=/bin/dash
  lab systemctl start netns-lo@n
  up netns-lo@n
}

# shellcheck shell=bash
# A machine with a real systemd as PID 1: systemd-nspawn on an overlay of /, in memory. Nothing is written to the host,
# and none of its own services is started.
#
# To be sourced by what tests/private runs: mounts and processes then go with it, however it ends.

# Where it is: its root, what it said at boot, and the pids of its PID 1 and of systemd-nspawn as seen from here.
LAB=/mnt

# Usage: lab_create
# A machine that is not running, with the program installed.
lab_create() {
  # systemd-nspawn keeps notes in /run; so would this mount, in that of the host.
  mount --no-mtab -t tmpfs -o mode=755 lab /run
  mount -t tmpfs lab "$LAB"
  mkdir "$LAB"/{upper,work,root}
  mount -t overlay lab -o "lowerdir=/,upperdir=$LAB/upper,workdir=$LAB/work" "$LAB/root"

  local etc=$LAB/root/etc
  # What the host has enabled, mounts, or has of ours, is not this machine's.
  rm -rf "$etc"/systemd/system/*.{wants,requires} "$etc"/systemd/system/netns* "$etc"/{conf.d/netns,netns} \
    "$LAB"/root/usr/{share/systemd-netns,lib/systemd/system/netns*,sbin/netns*,local/sbin/netns*}
  mkdir -p "$etc/systemd/system-generators"
  ln -s /dev/null "$etc/systemd/system-generators/systemd-sysv-generator"
  : >"$etc/fstab"
  echo netns-lab >"$etc/hostname"
  # Without one, systemd would take this for a first boot and enable whatever is installed.
  rm -f "$etc/machine-id"
  systemd-machine-id-setup --root="$LAB/root" >/dev/null 2>&1
  # Logs in memory are lost in a reboot, and waiting for a disk is no part of any test.
  mkdir -p "$etc/systemd/journald.conf.d"
  printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >"$etc/systemd/journald.conf.d/lab.conf"
}

# Usage: lab_install
# Installs what was built (or what is in the directory NETNS_BIN, which has no manual pages), and writes the units of the
# shipped types, as `make install` does on a live machine.
lab_install() {
  make --silent --directory "${BASH_SOURCE[0]%/*}/.." install DESTDIR="$LAB/root" ${NETNS_BIN:+TARGET="$NETNS_BIN" PAGES=} >/dev/null
  "$LAB/root/usr/sbin/netns-update" --root "$LAB/root" >/dev/null
}

# Usage: lab_resolvers
# Unpacks what tests/need has fetched: systemd-resolved, nscd, nss-resolve and dnsmasq. None is enabled.
lab_resolvers() {
  local deb
  for deb in "${BASH_SOURCE[0]%/*}"/../target/debs/*.deb; do
    [[ -e $deb ]] || continue # all of them are installed here
    dpkg-deb --fsys-tarfile "$deb" | tar --extract --keep-directory-symlink --directory "$LAB/root"
  done
  systemd-sysusers --root="$LAB/root" >/dev/null 2>&1
}

# Usage: lab_boot
# Boots it and waits until the boot is complete.
lab_boot() {
  local try state
  systemd-nspawn --directory="$LAB/root" --machine=netns-lab --boot --register=no --keep-unit --private-network \
    --capability=all --link-journal=no systemd.unit=multi-user.target </dev/null >"$LAB/boot.log" 2>&1 3>&- &
  echo "$!" >"$LAB/nspawn"
  for ((try = 0; try < 600; try++)); do
    if pgrep --parent "$(<"$LAB/nspawn")" --oldest >"$LAB/leader"; then
      state=$(lab systemctl is-system-running 2>&1) || true
      [[ $state != @(running|degraded) ]] || return 0
    fi
    sleep 0.05
  done
  echo 'the lab did not boot:' >&2
  tail "$LAB/boot.log" >&2
  return 1
}

# Usage: lab COMMAND...
# Runs a command in it.
lab() { nsenter --target "$(<"$LAB/leader")" --all -- "$@"; }

# Usage: lab_halt
# Shuts it down in order, as poweroff does.
lab_halt() {
  local try
  lab systemctl poweroff --no-wall 2>/dev/null || true # it may be gone before it answers; that it is not is told below
  for ((try = 0; try < 1200; try++)); do
    [[ -e /proc/$(<"$LAB/nspawn")/exe ]] || return 0 # gone, or waiting for its parent to notice
    sleep 0.05
  done
  echo 'the lab did not shut down:' >&2
  tail "$LAB/boot.log" >&2
  return 1
}

# Usage: lab_power_cut
# Ends it at once, and all that runs in it.
lab_power_cut() {
  local try
  kill -KILL "$(<"$LAB/leader")"
  for ((try = 0; try < 200; try++)); do
    [[ -e /proc/$(<"$LAB/nspawn")/exe ]] || return 0
    sleep 0.05
  done
}

# Usage: lab_reboot
lab_reboot() {
  lab_halt
  lab_boot
}

# Usage: lab_destroy
lab_destroy() {
  lab_halt
  umount --recursive "$LAB"
  umount --lazy /run
}

# shellcheck shell=bash
# The lab: a machine with a real systemd as PID 1. It is systemd-nspawn on an overlay of /, in memory. Nothing is written to
# the host, and no service of the host is started.
#
# Source this file in a command of tests/private: its mounts and processes are then removed after any end of the command.

# The directory of the lab: its root, the output of its boot, and the pids of its PID 1 and of systemd-nspawn, as seen from here.
LAB=/mnt

# Usage: lab_create
# Creates the lab, without booting it. Call lab_install and lab_boot next.
lab_create() {
  # systemd-nspawn and mount(8) write to /run, which must not be the /run of the host.
  mount --no-mtab -t tmpfs -o mode=755 lab /run
  mount -t tmpfs lab "$LAB"
  mkdir "$LAB"/{upper,work,root}
  mount -t overlay lab -o "lowerdir=/,upperdir=$LAB/upper,workdir=$LAB/work" "$LAB/root"

  local etc=$LAB/root/etc
  # The lab does not inherit the enabled units, the mounts and the files of systemd-netns of the host.
  rm -rf "$etc"/systemd/system/*.{wants,requires} "$etc"/systemd/system/netns* "$etc"/{conf.d/netns,netns} \
    "$LAB"/root/usr/{share/systemd-netns,lib/systemd/system/netns*,sbin/netns*,local/sbin/netns*}
  mkdir -p "$etc/systemd/system-generators"
  ln -s /dev/null "$etc/systemd/system-generators/systemd-sysv-generator"
  : >"$etc/fstab"
  echo netns-lab >"$etc/hostname"
  # Without a machine ID, systemd would assume a first boot, and enable every installed unit.
  rm -f "$etc/machine-id"
  systemd-machine-id-setup --root="$LAB/root" >/dev/null 2>&1
  # The journal is in memory, so no test waits for a disk. A reboot deletes the journal.
  mkdir -p "$etc/systemd/journald.conf.d"
  printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >"$etc/systemd/journald.conf.d/lab.conf"
}

# Usage: lab_install
# Installs the built program, or the program in the directory NETNS_BIN, which has no manual pages. Writes the units of the shipped
# types, as `make install` does on a running machine.
lab_install() {
  make --silent --directory "${BASH_SOURCE[0]%/*}/.." install DESTDIR="$LAB/root" ${NETNS_BIN:+TARGET="$NETNS_BIN" PAGES=} >/dev/null
  "$LAB/root/usr/sbin/netns-update" --root "$LAB/root" >/dev/null
}

# Usage: lab_samples
# Copies all samples of settings to the directory of the administrator.
lab_samples() { cp "$LAB"/root/usr/share/doc/systemd-netns/examples/* "$LAB/root/etc/conf.d/netns"; }

# Usage: lab_packages [FOLDER]
# Unpacks the packages that tests/need has downloaded: systemd-resolved, nscd, nss-resolve, dnsmasq, wireguard-go and udev, or those of a FOLDER. The
# resolvers are not enabled. udev starts only in a lab with a writable /sys.
lab_packages() {
  local deb
  for deb in "${BASH_SOURCE[0]%/*}/../target/debs${1:+/$1}"/*.deb; do
    [[ -e $deb ]] || continue # all packages are installed on the host
    dpkg-deb --fsys-tarfile "$deb" | tar --extract --keep-directory-symlink --directory "$LAB/root"
  done
  systemd-sysusers --root="$LAB/root" >/dev/null 2>&1
}

# Usage: lab_boot
# Boots the lab, and waits until the boot is complete.
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

# Usage: lab_boot_devices
# Boots the lab with device units and udev. systemd has them only if it starts with a writable /sys, which systemd-nspawn never gives.
lab_boot_devices() {
  SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes lab_boot
  lab mount -o remount,bind,rw /sys
  lab systemctl daemon-reexec
  lab systemctl is-active --quiet systemd-udevd
}

# Usage: lab COMMAND...
# Runs a command in the lab.
lab() { nsenter --target "$(<"$LAB/leader")" --all -- "$@"; }

# Usage: lab_halt
# Shuts the lab down, as poweroff does.
lab_halt() {
  local try
  lab systemctl poweroff --no-wall 2>/dev/null || true # the lab may end before it answers; a failure is reported below
  for ((try = 0; try < 1200; try++)); do
    [[ -e /proc/$(<"$LAB/nspawn")/exe ]] || return 0 # ended, or a zombie
    sleep 0.05
  done
  echo 'the lab did not shut down:' >&2
  tail "$LAB/boot.log" >&2
  return 1
}

# Usage: lab_power_cut
# Kills the lab and all its processes at once.
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

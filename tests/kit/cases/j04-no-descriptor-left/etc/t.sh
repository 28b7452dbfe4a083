NO_CONFIG_REQUIRED=y
configure_t_up_outside() {
  ls -l /proc/self/fd >/mnt/list
  grep -c memfd /mnt/list >>/mnt/obs || :
  # The descriptors of a child.
  bash -c 'ls /proc/self/fd' | tr '\n' ' ' >/mnt/child
  # Bash has the wrapper open at descriptor 255, like any script.
  ls -l /proc/$$/fd | grep memfd | grep -vc ' 255 -> ' >>/mnt/obs || :
}

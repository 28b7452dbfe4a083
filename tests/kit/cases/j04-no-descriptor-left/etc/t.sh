NO_CONFIG_REQUIRED=y
configure_t_up_outside() {
  ls -l /proc/self/fd >/mnt/list
  grep -c memfd /mnt/list >>/mnt/obs || :
  # What a child has open.
  bash -c 'ls /proc/self/fd' | tr '\n' ' ' >/mnt/child
  # Bash itself has the wrapper open, as any script: once, at 255.
  ls -l /proc/$$/fd | grep memfd | grep -vc ' 255 -> ' >>/mnt/obs || :
}

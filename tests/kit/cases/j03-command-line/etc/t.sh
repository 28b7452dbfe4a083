NO_CONFIG_REQUIRED=y
configure_t_up_outside() {
  local arguments
  mapfile -d '' arguments </proc/$$/cmdline
  printf '%s\n' "$0" "$(("$(wc -c </proc/$$/cmdline)" < 120)) ${arguments[*]:2}" >>/mnt/obs
}

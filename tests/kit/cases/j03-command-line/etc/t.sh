NO_CONFIG_REQUIRED=y
configure_t_up_outside() {
  local words
  mapfile -d '' words </proc/$$/cmdline
  printf '%s\n' "$0" "$(("$(wc -c </proc/$$/cmdline)" < 120)) ${words[*]:2}" >>/mnt/obs
}

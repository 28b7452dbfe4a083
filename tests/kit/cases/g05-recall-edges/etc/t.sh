say() { printf "%s\n" "$*" >>/mnt/obs; }
NO_CONFIG_REQUIRED=y
configure_t_up_outside() { V=one; remember V; if [[ ${3-} ]]; then V=two; remember V; fi; }
configure_t_down_outside() {
  [[ $2 != readonly ]] || { readonly V=fixed; }
  recall
  say "$1 $2: ${V-unset}"
}

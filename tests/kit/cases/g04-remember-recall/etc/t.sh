say() { printf "%s\n" "$*" >>/mnt/obs; }
show() { local v; for v in A B C D E F G; do if [[ -v $v ]]; then say "$v=${!v@Q}"; else say "$v unset"; fi; done; }
configure_t_up_outside() { show; remember A B C D; remember E F; }
configure_t_up_inside() { recall; show; }
configure_t_down_inside() { say "before recall: $A"; recall; show; }
configure_t_down_outside() { recall; show; }

NO_CONFIG_REQUIRED=y
shopt -s expand_aliases
alias configure_u_up_outside="echo alias >>/mnt/obs"

say() { printf "%s\n" "$*" >>/mnt/obs; }
NO_CONFIG_REQUIRED=y
configure_c_up_outside ()
{
  say c
}

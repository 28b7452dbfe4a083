#!/usr/bin/env bats
# configure_TYPE_validate: `up` refuses invalid settings before the first hook.

load kernel

# Usage: invalid LINE...
# Succeeds if the last `run --separate-stderr` failed with these lines of the validation, and with no other error.
invalid() {
  ((status == 1)) && diff <(printf 'netnsinit: lib@a: %s\n' "$@") - <<<"$stderr"
}

@test "up refuses settings that the plugin's validate function refuses, with the last line that sets them" {
  create a
  config lib.sh <<'END'
configure_lib_validate() {
  valid_setting LIB_PORT is_port || true
  valid_setting LIB_NETWORKS is_prefix || true
  [[ ${LIB_NAME-} ]] || echo 'LIB_NAME: is not set'
  echo 'in general'
}
configure_lib_up_outside() { touch /run/touched; }
END
  config default.conf <<<LIB_PORT=http
  config lib.conf <<<$'# LIB_PORT=1\nLIB_PORT=80'
  config lib-a.conf <<<$'LIB_NETWORKS=(192.0.2.0/24)\nexport LIB_NETWORKS+=(192.0.2.0/33)\nLIB_PORT_X=1'
  run --separate-stderr hook lib a up outside
  invalid "$CONF/lib-a.conf:2: LIB_NETWORKS: '192.0.2.0/33' is not a prefix: expected ADDRESS/LENGTH, such as 192.0.2.0/24 or 2001:db8::/64" \
    "$CONF/lib-a.conf: LIB_NAME: is not set" "$CONF/lib-a.conf: in general"
  [[ ! -e /run/touched && ! -e $MEMORY/lib@a ]]
  config lib.conf <<<$'\n  LIB_PORT=0 LIB_NAME=x'
  rm "$CONF/lib-a.conf"
  run --separate-stderr hook lib a up outside
  invalid "$CONF/lib.conf:2: LIB_PORT: '0' is not a port: expected a number from 1 to 65535" "$CONF/lib-a.conf: in general"
  [[ ! -e /run/touched ]]
}

# Usage: without_functions COMMAND...
# Runs a command without the functions that bats exports: with them in the environment, bash is started for each hook.
without_functions() { env --ignore-environment PATH="$PATH" "$@"; }

@test "up refuses invalid settings of a plugin with definitions only, also without the hook" {
  create a
  config lib-a.conf <<<LIB_PORT=http
  for hook in up_outside up_inside; do
    config lib.sh <<END
# Contains: only definitions

configure_lib_validate() {
  valid_setting LIB_PORT is_port
}
configure_lib_$hook() {
  touch /run/touched
}
END
    run --separate-stderr without_functions netnsinit lib a up outside
    invalid "$CONF/lib-a.conf:1: LIB_PORT: 'http' is not a port: expected a number from 1 to 65535"
    [[ ! -e /run/touched ]]
  done
}

@test "validation gets the name and the defaults, and what it does to the shell does not reach the hook" {
  create a
  : >"$CONF/lib-a.conf"
  for declaration in '' '# Contains: only definitions'; do
    config lib.sh <<END
$declaration

configure_lib_defaults() {
  LIB_PORT=80
  echo "defaults of \$1"
}
configure_lib_validate() {
  [[ \$LIB_PORT == 80 && \$1 == a ]] || echo "LIB_PORT: \$LIB_PORT"
  LIB_PORT=1
  trap 'echo trapped' EXIT
  exit 3
}
configure_lib_up_outside() {
  echo "hook \${LIB_PORT-unset}"
}
END
    run --separate-stderr -1 without_functions netnsinit lib a up outside
    [[ $stderr == *': trapped' ]]
    sed -i /trapped/d "$CONF/lib.sh"
    run --separate-stderr -0 without_functions netnsinit lib a up outside
    [[ ${lines[1]} == 'hook unset' && $stderr == 'defaults of a' ]]
  done
}

@test "the other hooks do not validate: an instance with settings that became invalid goes down" {
  create a
  config lib-a.conf <<<LIB_PORT=80
  config lib.sh <<'END'
configure_lib_validate() { valid_setting LIB_PORT is_port; }
configure_lib_down_outside() { echo down; }
END
  up lib a
  config lib-a.conf <<<LIB_PORT=http
  run --separate-stderr -0 down_hooks lib a
  [[ $output == *down && -z $stderr ]]
}

@test "without a validate function, the wrapper does not look for it" {
  : >"$CONF/lib-a.conf"
  printf '%s\n' '# Contains: only definitions' '' 'configure_lib_up_outside() { :; }' 'configure_lib_validate() { :; }' >"$CONF/lib.sh"
  [[ $(without_functions netnsinit --print-wrapper lib a up outside) == *__netns_invalid=* ]]
  [[ $(without_functions netnsinit --print-wrapper lib a down outside) != *__netns_invalid=* ]]
  sed -i /validate/d "$CONF/lib.sh"
  [[ $(without_functions netnsinit --print-wrapper lib a up outside) != *__netns_invalid=* ]]
}

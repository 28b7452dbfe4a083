#!/usr/bin/env bats
# The type sysctl, and sysctls of the host, with both engines.

load engine

PORT=net.ipv4.ip_unprivileged_port_start
FORWARD=net.ipv4.ip_forward

# Usage: value NAME KEY / host_value KEY
value() { on ip netns exec "$1" sysctl -n "$2"; }
host_value() { on sysctl -n "$1"; }

setup() { [[ $(host_value "$FORWARD") == 0 ]]; }

# Usage: router [TEXT]
# A type that forwards on the host.
router() {
  plugin router "configure_router_up_outside() { sysctl_set --host $FORWARD=1; }
    ${1-}"
}

@test "up sets sysctls, check reports another value, and a restart repairs it and applies an edited file" {
  config sysctl-a.conf <<<"SYSCTLS=($PORT=80 $FORWARD=1)"
  before=$(machine)
  on netnsctl up lo@a sysctl@a
  [[ $(value a "$PORT") == 80 && $(value a "$FORWARD") == 1 ]]
  run -0 on netnsctl check sysctl@a
  [[ -z $output ]]
  on ip netns exec a sysctl -q -w "$PORT=443"
  run -1 on netnsctl check sysctl@a
  [[ $output == *"sysctl '$PORT' in namespace 'a' is '443', not '80'; fix: \`netnsctl restart sysctl@a\`"* ]]
  on netnsctl restart sysctl@a
  run -0 on netnsctl check sysctl@a
  config sysctl-a.conf <<<"SYSCTLS=($PORT=81)"
  on netnsctl restart sysctl@a
  [[ $(value a "$PORT") == 81 && $(value a "$FORWARD") == 0 ]]
  on netnsctl down sysctl@a
  [[ $(value a "$PORT") == 1024 ]]
  on netnsctl down lo@a
  nothing_left
  config sysctl-a.conf <<<"SYSCTLS=($PORT=80 $FORWARD=1)"
  undone "$before"
}

@test "check accepts the form in which the kernel shows a value" {
  config sysctl-a.conf <<<"SYSCTLS=('net.ipv4.ip_local_reserved_ports=8080,8081' $PORT=0x50)"
  on netnsctl up lo@a sysctl@a
  run -0 on netnsctl check sysctl@a
  [[ -z $output ]]
  on ip netns exec a sysctl -q -w net.ipv4.ip_local_reserved_ports=9000
  run -1 on netnsctl check sysctl@a
  [[ $output == *"'net.ipv4.ip_local_reserved_ports' in namespace 'a' is '9000', not '8080-8081'"* ]]
  on netnsctl down sysctl@a lo@a
}

@test "check reports an invalid setting with its file and line" {
  config sysctl-a.conf <<<"SYSCTLS=(kernel.hostname=x)"
  run -1 on netnsctl check sysctl@a
  [[ $output == *"sysctl-a.conf:1"*"'kernel.hostname=x' is not a sysctl of a namespace"* ]]
}

@test "an unknown sysctl fails up with its file and line, and nothing is left" {
  config sysctl-a.conf <<<"SYSCTLS=($PORT=80 net.ipv4.nosuch=1)"
  run -1 on netnsctl up sysctl@a
  eventually gone a
  run -0 on bash -c 'cat /run/systemd-netns/direct/sysctl@a.log || journalctl --output=cat' 2>/dev/null
  [[ $output == *"/etc/conf.d/netns/sysctl-a.conf:1: cannot set sysctl 'net.ipv4.nosuch' in namespace 'a' to '1'"* ]]
}

@test "a hook that is killed by SIGKILL after it has set a sysctl of the host leaves nothing" {
  router 'configure_router_up_inside() { kill -KILL $$; sleep 10; }'
  run -1 on netnsctl up router@a
  eventually gone a
  [[ $(host_value "$FORWARD") == 0 ]]
  router "configure_router_up_outside() { sysctl_set --host $FORWARD=1; [[ ! -e /run/kill ]] || { rm /run/kill; kill -KILL \$\$; }; }"
  on touch /run/kill
  run -1 on netnsctl up router@a
  on netnsctl up router@a
  [[ $(host_value "$FORWARD") == 1 ]]
  on netnsctl down router@a
  [[ $(host_value "$FORWARD") == 0 ]]
  nothing_left
}

@test "a sysctl of the host is restored after the last of three instances, in every order" {
  router
  for order in 'a b c' 'a c b' 'b a c' 'b c a' 'c a b' 'c b a'; do
    read -ra names <<<"$order"
    on netnsctl up router@a router@b router@c
    for name in "${names[@]}"; do
      [[ $(host_value "$FORWARD") == 1 ]]
      on netnsctl down "router@$name"
    done
    [[ $(host_value "$FORWARD") == 0 ]]
    nothing_left
  done
}

@test "many instances that come up and go down at the same time count right" {
  router
  names=(router@{a..h})
  on netnsctl up "${names[@]}"
  [[ $(host_value "$FORWARD") == 1 ]]
  on netnsctl down "${names[@]:1}"
  [[ $(host_value "$FORWARD") == 1 ]]
  on netnsctl down router@a
  [[ $(host_value "$FORWARD") == 0 ]]
  nothing_left
}

@test "check reports a changed sysctl of the host, and a value of the administrator stays" {
  router
  on netnsctl up router@a
  on sysctl -q -w net.ipv4.conf.all.forwarding=0
  run -1 on netnsctl check router@a
  [[ $output == *"sysctl '$FORWARD' on the host is '0', not '1'; fix: \`netnsctl down router@a\`, then \`netnsctl up router@a\`"* ]]
  on netnsctl down router@a
  nothing_left
}

@test "gc releases a sysctl of the host whose instance has lost its remembered values" {
  router
  on netnsctl up router@a router@b
  on rm /run/systemd-netns/remembered/router@a
  run -0 on netnsctl gc --dry-run
  [[ $output == "would be removed: sysctl '$FORWARD' of \`router@a\` on the host: the instance has no remembered values"* ]]
  on netnsctl down router@a router@b
  [[ $(host_value "$FORWARD") == 1 ]]
  run -0 on netnsctl gc
  [[ $output == "removed: sysctl '$FORWARD' of \`router@a\` on the host: "* && ${#lines[@]} == 1 ]]
  [[ $(host_value "$FORWARD") == 0 ]]
  run -0 on netnsctl gc
  [[ -z $output ]]
  nothing_left
}

@test "gc reports a damaged count, and changes nothing" {
  router
  on netnsctl up router@a
  on bash -c 'echo damaged >/run/systemd-netns/sysctls/net:ipv4:ip_forward'
  run -1 on netnsctl gc
  [[ $output == *"net:ipv4:ip_forward is damaged"* ]]
  run -1 on netnsctl down router@a
  on rm /run/systemd-netns/sysctls/net:ipv4:ip_forward
  on sysctl -q -w "$FORWARD=0"
  on netnsctl down router@a
  nothing_left
}

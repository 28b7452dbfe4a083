# shellcheck shell=bash
# The life of an instance of each type in TYPES, all on the namespace `box`, with the engine ENGINE.
#
# In the network N of a type, the instance has the addresses 192.0.N.2 and 2001:db8:N::2, and the other side 192.0.N.1 and 2001:db8:N::1.
# A suite defines NETWORKS and FINDINGS, and these functions, besides `on`, `machine` and `undone` as the suites of both engines do: `settings` writes the .conf files, `late` creates what appears after the
# instances, `edit` changes the settings, `edited` succeeds if the interfaces have them, and `spoil` changes each property.

# The types, the network of each, and what check reports about each after `spoil`: lines of a type and a text.
declare -gA NETWORKS=()
TYPES=() FINDINGS=()

# The side of the pings that is not `box`, for the types whose other side is not the namespace `peer`, and the interface that they
# must use, for the types with a routing table of their own.
declare -gA OTHER_SIDE=() DEVICES=()

# Usage: at host|NAME COMMAND...
# Runs a command on the host, or in a namespace.
at() { if [[ $1 == host ]]; then on "${@:2}"; else on ip netns exec "$@"; fi; }

# Usage: passes IPv4|IPv6 TYPE
# Succeeds if pings of both sides are answered. The first ones may be lost while the kernel sets a link up.
passes() {
  local prefix=192.0.${NETWORKS[$2]}.
  [[ $1 == IPv4 ]] || prefix=2001:db8:${NETWORKS[$2]}::
  at "${OTHER_SIDE[$2]-peer}" ping -q -c 1 -i 0.2 -w 10 "${prefix}2" >/dev/null &&
    at box ping -q -c 1 -i 0.2 -w 10 -I "${prefix}2" ${DEVICES[$2]:+-I "${DEVICES[$2]}"} "${prefix}1" >/dev/null
}

# Usage: all_pass
all_pass() {
  local family type
  for family in IPv4 IPv6; do
    for type in "${TYPES[@]}"; do
      passes "$family" "$type" || {
        echo "no $family: $type" >&2
        return 1
      }
    done
    shown "$ENGINE" "$family" "${TYPES[@]}"
  done
}

# Usage: property IFNAME FILTER
# Prints the result of jq's FILTER for an interface of `box`.
property() { at box ip -json -details address show dev "$1" | jq --raw-output "map(select(.ifname)) | .[0] | $2"; }

# Usage: indices
# Prints the indices of the interfaces in `box`, except lo and the ports that the test creates.
indices() { at box ip -json link show | jq --compact-output '[.[] | select(.ifname | test("^(port|lo)") | not) | .ifindex]'; }

# Usage: service_pid
# Prints the process of the attached service, after a check of its namespace.
service_pid() {
  local pid
  pid=$(on systemctl show --property=MainPID --value life)
  on test "/proc/$pid/ns/net" -ef /run/netns/box && echo "$pid"
}

# Usage: attach_service
attach_service() {
  on bash -c "printf '%s\n' '[Service]' 'ExecStart=sleep infinity' >/run/systemd/system/life.service"
  on systemctl daemon-reload
  on systemctl start life
  on netnsctl attach --now life box
}

# Usage: detach_service
detach_service() {
  on netnsctl detach --now life
  on systemctl stop life
  on rm /run/systemd/system/life.service
  on systemctl daemon-reload
}

# Usage: life
life() {
  local before index pid finding instances=("${TYPES[@]/%/@box}")
  settings
  before=$(machine)

  echo '# up'
  on netnsctl up --engine "$ENGINE" box
  late
  all_pass
  shown "$ENGINE" up "${TYPES[@]}"

  echo '# a restart and a reload keep the interfaces and an attached service'
  index=$(indices)
  if [[ $ENGINE == systemd ]]; then
    attach_service
    pid=$(service_pid)
  fi
  on netnsctl restart box
  if [[ $ENGINE == systemd ]]; then
    [[ $(service_pid) == "$pid" ]]
    on systemctl reload "${instances[@]/#/netns-}"
    [[ $(service_pid) == "$pid" ]]
    detach_service
  fi
  [[ $(indices) == "$index" ]]
  all_pass
  shown "$ENGINE" restart "${TYPES[@]}"

  echo '# edited'
  edit
  on netnsctl restart "${instances[@]}"
  edited
  shown "$ENGINE" edited "${TYPES[@]}"
  settings
  on netnsctl restart "${instances[@]}"
  all_pass

  echo '# drift'
  spoil
  run -1 on netnsctl check "${instances[@]}"
  for finding in "${FINDINGS[@]}"; do
    [[ $output == *"error: ${finding%% *}@box: interface ${finding#* }; fix: \`netnsctl restart ${finding%% *}@box\`"* ]] || {
      echo "not found: $finding" >&2
      return 1
    }
  done
  on netnsctl restart "${instances[@]}"
  on netnsctl check "${instances[@]}"
  all_pass
  shown "$ENGINE" drift "${TYPES[@]}"

  echo '# down: nothing is left'
  on netnsctl down box
  undone "$before"
  shown "$ENGINE" down "${TYPES[@]}"
}

# shellcheck shell=bash
# Replaces a namespace by a foreign one of the same name, and checks that the foreign one was not changed. On a booted machine, the
# functions are passed with `declare -f`.

# Usage: replace NAME
# Deletes a namespace, and creates another one of the same name, with a table in it.
replace() {
  ip netns delete "$1"
  ip netns add "$1"
  ip netns exec "$1" nft add table inet theirs
}

# Usage: replace_same_inode NAME COMMAND...
# The same for a namespace that COMMAND creates, with the same inode. The kernel reuses the lowest free inode some time after the
# deletion, but another process of the machine can get it first.
replace_same_inode() {
  local name=$1 inode round try found
  for ((round = 0; round < 20; round++)); do
    "${@:2}" >&2
    inode=$(stat -Lc %i "/run/netns/$name")
    ip netns delete "$name"
    for ((try = 0, found = 0; try < 50 && !found; try++)); do
      ip netns add "their-$try"
      [[ $(stat -Lc %i "/run/netns/their-$try") != "$inode" ]] || {
        touch "/run/netns/$name"
        mount --bind "/run/netns/their-$try" "/run/netns/$name"
        found=1
      }
    done
    while ((try > 0)); do ip netns delete "their-$((--try))"; done
    ((!found)) || {
      ip netns exec "$name" nft add table inet theirs
      return
    }
  done
  echo "the kernel has not used an inode again in $round rounds: nothing is shown" >&2
  return 1
}

# Usage: untouched NAME
# Succeeds if the foreign namespace has only its own contents.
untouched() {
  [[ $(ip netns exec "$1" nft list ruleset) == $'table inet theirs {\n}' && $(ip -netns "$1" -oneline link | wc -l) == 1 &&
  $(ip -netns "$1" -oneline link) != *,UP* ]]
}

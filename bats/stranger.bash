# shellcheck shell=bash
# A namespace that somebody else has made in place of ours, and how to tell that it was left alone. What runs on a machine that
# is booted for the test gets these by `declare -f`.

# Usage: replace NAME
# Has somebody delete a namespace, and make another one of its name, with a table in it.
replace() {
  ip netns delete "$1"
  ip netns add "$1"
  ip netns exec "$1" nft add table inet theirs
}

# Usage: replace_same_inode NAME COMMAND...
# The same with a namespace that COMMAND makes, and the kernel gives the other one the inode of the first. It takes the lowest
# that is free, some time after that is gone; but whoever makes a namespace of any kind on the machine may be faster.
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
# Whether there is nothing in the other one but what they have made.
untouched() {
  [[ $(ip netns exec "$1" nft list ruleset) == $'table inet theirs {\n}' && $(ip -netns "$1" -oneline link | wc -l) == 1 &&
  $(ip -netns "$1" -oneline link) != *,UP* ]]
}

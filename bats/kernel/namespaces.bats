#!/usr/bin/env bats
# netnsinit --create and --delete: the commands of netns_name@.service, together with `ip netns`.

load kernel

@test "a second --create, which fails, does not make --delete treat the namespace as foreign" {
  create a
  run -1 netnsinit --create a
  run --separate-stderr -0 netnsinit --delete a
  [[ -z $stderr && ! -e /run/netns/a ]]
}

@test "--delete does not delete a namespace re-created by another program" {
  create a
  ip netns delete a
  ip netns add a
  ip -netns a link add mine type veth peer name mine-peer
  run --separate-stderr -0 netnsinit --delete a
  [[ $stderr == *'namespace `a` was re-created by another program, and is not deleted'* ]]
  ip -netns a link show dev mine
  [[ ! -e /run/systemd-netns/made/a ]]
}

@test "a foreign namespace with the same inode is recognized: --verify refuses it, --delete and the hooks do not change it" {
  replace_same_inode a netnsinit --create a
  run --separate-stderr -1 netnsinit --verify a
  reported 'namespace `a` was deleted and re-created by another program'
  run --separate-stderr -1 netnsinit nft a up outside
  reported 'namespace `a` was deleted and re-created by another program'
  run --separate-stderr -1 ip netns exec a netnsinit nft a up inside
  reported 'namespace `a` was deleted and re-created by another program'
  ip netns exec a netnsinit nft a down inside
  run --separate-stderr -0 netnsinit --delete a
  [[ $stderr == *'namespace `a` was re-created by another program, and is not deleted'* ]]
  untouched a
}

@test "an ownership record of an older version, without a cookie, is compared by the other fields" {
  create a b
  for name in a b; do
    note=/run/systemd-netns/made/$name
    IFS=: read -r device inode cookie <"$note" || true
    [[ $cookie ]]
    printf '%s' "$device:$inode" >"$note"
    netnsinit --verify "$name"
  done
  netnsinit lo a up outside
  netnsinit --delete a
  [[ ! -e /run/netns/a ]]
  printf '%s' "$device:1" >"$note"
  run --separate-stderr -0 netnsinit --delete b
  [[ $stderr == *'was re-created by another program, and is not deleted'* && -e /run/netns/b ]]
}

@test "in a foreign namespace, up fails with the next step, and down inside has no effect" {
  # shellcheck disable=SC2016 # for the hook to expand
  printf '%s\n' 'NO_CONFIG_REQUIRED=yes' \
    "configure_probe_"{up,down}_{outside,inside}'() { echo "$UPDOWN $INOUT" >>/run/probe.log; }' >"$CONF/probe.sh"
  : >/run/probe.log
  create a
  replace a
  run --separate-stderr -1 netnsinit probe a up outside
  reported 'namespace `a` was deleted and re-created by another program' 'ip netns delete a' 'netnsctl restart a'
  run --separate-stderr -1 ip netns exec a netnsinit probe a up inside
  reported 'namespace `a` was deleted and re-created by another program' 'ip netns delete a' 'netnsctl restart a'
  run --separate-stderr -0 ip netns exec a netnsinit probe a down inside
  [[ $stderr == *'this is not the namespace that was created as `a`: no hook is run in it'* ]]
  [[ ! -s /run/probe.log ]]
  netnsinit probe a down outside
  [[ $(</run/probe.log) == 'down outside' ]]
  untouched a

  ip netns delete a
  run --separate-stderr -1 netnsinit probe a up outside
  reported 'namespace `a` was deleted manually' 'netnsctl restart a'
}

@test "hooks run in a namespace without an ownership record" {
  ip netns add a
  netnsinit lo a up outside
  ip netns exec a netnsinit lo a up inside
  [[ $(ip -netns a -oneline link show dev lo) == *,UP* ]]
}

@test "ip netns lists, enters and deletes a namespace of --create" {
  netnsinit --create a
  [[ $(ip netns list) == a ]]
  [[ $(ip netns exec a ip -json link | jq length) == 1 ]]
  [[ $(stat -fc %T /run/netns/a) == nsfs ]]
  ip netns delete a
  [[ ! -e /run/netns/a ]]
}

@test "--delete deletes a namespace of iproute2" {
  ip netns add a
  netnsinit --delete a
  [[ ! -e /run/netns/a ]]
  run ! mountpoint --quiet /run/netns/a
}

@test "/run/netns becomes one shared mount, as with iproute2, in either order" {
  for first in netnsinit ip; do
    if [[ $first == ip ]]; then ip netns add a; else netnsinit --create a; fi
    netnsinit --create b
    ip netns add c
    [[ $(findmnt --noheadings --output PROPAGATION --mountpoint /run/netns) == shared ]]
    [[ $(findmnt --noheadings --mountpoint /run/netns | wc -l) == 1 ]]
    ip -all netns delete
    umount --lazy --recursive /run/netns
  done
}

@test "a namespace appears and disappears in other mount namespaces too" {
  create first
  unshare --mount --propagation unchanged bash -c "touch $BATS_TEST_TMPDIR/ready
    until [[ -e $BATS_TEST_TMPDIR/end ]]; do sleep 0.02; done" 3>&- &
  BACKGROUND+=("$!")
  other=$!
  eventually test -e "$BATS_TEST_TMPDIR/ready"
  seen() { nsenter --target "$other" --mount stat -fc %T /run/netns/a | grep --quiet nsfs; }
  netnsinit --create a
  seen
  netnsinit --delete a
  run ! nsenter --target "$other" --mount test -e /run/netns/a
  touch "$BATS_TEST_TMPDIR/end"
}

@test "an existing namespace is not changed, and the message has the next step" {
  netnsinit --create a
  ip netns add b
  before=$(stat -Lc %i /run/netns/{a,b})
  run --separate-stderr -1 netnsinit --create a
  reported 'exists already, created by an earlier run of systemd-netns' 'netnsinit --delete a'
  run --separate-stderr -1 netnsinit --create b
  reported 'a foreign namespace of this name exists' 'ip netns delete b'
  [[ $(stat -Lc %i /run/netns/{a,b}) == "$before" ]]
}

@test "another kind of file at its path is not changed, and the message has the next step" {
  mkdir -p /run/netns
  echo mine >/run/netns/a
  mkdir /run/netns/b
  ln -s /nosuch /run/netns/c
  for name in a b c; do
    run --separate-stderr -1 netnsinit --create "$name"
    reported "/run/netns/$name exists, but is not a namespace"
  done
  [[ $(</run/netns/a) == mine && -d /run/netns/b && -L /run/netns/c ]]
}

@test "deleting a missing namespace is a warning, not an error" {
  run --separate-stderr -0 netnsinit --delete a
  [[ $stderr == *'`a` did not exist'* ]]
}

@test "processes in a deleted namespace continue, and the name is free at once" {
  netnsinit --create a
  nsenter --net=/run/netns/a sleep 60 3>&- &
  BACKGROUND+=("$!")
  entered() { [[ /proc/$!/ns/net -ef /run/netns/a ]]; }
  eventually entered
  netnsinit --delete a
  netnsinit --create a
  run ! entered
}

@test "deleting one namespace does not affect the others" {
  create a b
  netnsinit --delete a
  [[ $(ip netns list) == b ]]
}

@test "many concurrent creations and deletions, mixed with ip netns, all succeed" {
  workers=()
  for ((worker = 0; worker < 20; worker++)); do
    if ((worker % 2)); then
      ip netns add "n$worker" 3>&- &
    else
      netnsinit --create "n$worker" 3>&- &
    fi
    workers+=("$!")
  done
  for pid in "${workers[@]}"; do wait "$pid"; done
  [[ $(ip netns list | wc -l) == 20 ]]
  [[ $(findmnt --noheadings --mountpoint /run/netns | wc -l) == 1 ]]
  for ((worker = 0; worker < 20; worker++)); do
    [[ $(stat -fc %T "/run/netns/n$worker") == nsfs ]]
    netnsinit --delete "n$worker" 3>&- &
  done
  wait
  [[ -z $(ls /run/netns) ]]
}

@test "of twenty concurrent creations of one name, one succeeds" {
  workers=()
  for ((worker = 0; worker < 20; worker++)); do
    netnsinit --create a 3>&- 2>/dev/null &
    workers+=("$!")
  done
  made=0
  for pid in "${workers[@]}"; do
    if wait "$pid"; then made=$((made + 1)); fi
  done
  ((made == 1))
  [[ $(stat -fc %T /run/netns/a) == nsfs ]]
}

@test "a lock on /run/netns, which any user can hold, does not prevent creation and deletion" {
  create first
  setpriv --reuid=nobody --clear-groups flock /run/netns sleep 100 3>&- &
  BACKGROUND+=("$!")
  eventually locked /run/netns
  for option in --create --delete; do
    run --separate-stderr -0 timeout 30 netnsinit "$option" a
    [[ $stderr == *'another process keeps /run/netns locked'* ]]
  done
  [[ $(ip netns list) == first ]]
}

@test "a user without privilege creates and deletes nothing, and gets an error" {
  create a
  for option in --create --delete; do
    run --separate-stderr -1 setpriv --reuid=nobody --clear-groups netnsinit "$option" a
    reported root
  done
  [[ $(ip netns list) == a ]]
}

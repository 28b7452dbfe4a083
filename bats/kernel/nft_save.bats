#!/usr/bin/env bats
# netns-nft-save: the rules of a namespace as a file, which the next start loads.

load kernel

RULES=$CONF/nft-a.rules

setup_rules() {
  create a
  inside a nft --file - <<'END'
table inet filter {
  set ports { type inet_service; elements = { 80, 443 }; }
  map verdicts { type inet_service : verdict; elements = { 22 : accept }; }
  counter seen { packets 7 bytes 512 }
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept comment "what is \# here, stays"
    tcp dport @ports counter name seen accept
    tcp dport vmap @verdicts
  }
}
table ip nat {
  chain postrouting { type nat hook postrouting priority srcnat; oifname "ve-a1" masquerade; }
}
END
}

# Usage: no_draft
# Succeeds if the directory has only the files of the test and the replaced file.
no_draft() { [[ $(ls -A --ignore='*~' "$CONF") == "${1-nft-a.rules}" ]]; }

@test "the saved file loads alone, twice, with the same result" {
  setup_rules
  before=$(inside a nft list ruleset)
  netns-nft-save a
  no_draft
  create b
  for ((turn = 0; turn < 2; turn++)); do
    inside b nft --file "$RULES"
    [[ $(inside b nft list ruleset) == "$before" ]]
    inside a nft --file "$RULES"
    [[ $(inside a nft list ruleset) == "$before" ]]
  done
}

@test "the next start loads the saved file" {
  setup_rules
  before=$(inside a nft list ruleset)
  netns-nft-save a
  netnsinit --delete a
  up nft a
  [[ $(inside a nft list ruleset) == "$before" ]]
}

@test "an empty ruleset replaces rules only with --force" {
  setup_rules
  netns-nft-save a
  before=$(<"$RULES")
  # Flushed; only a chain that accepts everything; an unreachable chain; a dormant table; not for IP.
  for rules in 'flush ruleset' 'flush ruleset; table inet t { chain c { type filter hook input priority 0; policy accept; }; }' \
    'flush ruleset; table inet t { chain c { counter drop; }; }' \
    'flush ruleset; table inet t { flags dormant; chain c { type filter hook input priority 0; policy drop; }; }' \
    'flush ruleset; table arp t { chain c { type filter hook input priority 0; policy drop; }; }'; do
    inside a nft --file - <<<"$rules"
    run --separate-stderr ! netns-nft-save a
    [[ $stderr == *"namespace \`a\`: no rules are in force"*'--force'* && $(<"$RULES") == "$before" ]]
  done
  netns-nft-save --force a
  [[ $(<"$RULES") != "$before" && $(<"$RULES~") == "$before" ]]
}

@test "an empty ruleset is not saved if nft.rules would apply" {
  config nft.rules <<<'table inet t { chain c { type filter hook input priority 0; policy drop; }; }'
  create a
  run ! netns-nft-save a
  no_draft nft.rules
}

@test "the rules that close a namespace are never saved" {
  create a
  netnsinit --close a
  for option in '' --force; do
    # shellcheck disable=SC2086 # no word, or one
    run --separate-stderr ! netns-nft-save $option a
    [[ $stderr == *'its firewall is not loaded'*'netnsctl restart nft@a'* && ! -e $RULES ]]
  done
}

@test "the replaced file is kept, also if the same rules are saved again" {
  setup_rules
  echo '# edited manually' >"$RULES"
  netns-nft-save a
  [[ $(<"$RULES~") == '# edited manually' ]]
  netns-nft-save a
  [[ $(<"$RULES~") == '# edited manually' ]]
  inside a nft flush table ip nat
  before=$(<"$RULES")
  netns-nft-save a
  [[ $(<"$RULES~") == "$before" && $(<"$RULES") != "$before" ]]
  no_draft
}

@test "the file belongs to root, with mode 0644, for any umask and any old mode" {
  setup_rules
  for mask in 000 077 777; do
    (umask "$mask" && netns-nft-save a)
    [[ $(stat -c '%a %U:%G' "$RULES") == '644 root:root' ]]
    chown nobody "$RULES"
    chmod 600 "$RULES"
  done
}

@test "the rules of the host are neither saved nor changed" {
  setup_rules
  nft add table inet of_the_host
  netns-nft-save a
  [[ $(nft list tables) == 'table inet of_the_host' ]]
  nft flush ruleset
  run ! grep of_the_host "$RULES"
}

@test "a name with hyphens works, also from within a namespace" {
  create my-net b
  inside my-net nft add table inet mine
  inside b netns-nft-save my-net
  grep 'table inet mine' "$CONF/nft-my-net.rules"
}

@test "a missing directory is created" {
  setup_rules
  rmdir "$CONF"
  netns-nft-save a
  [[ -s $RULES ]]
}

@test "a missing namespace is one line of error, and the old file stays" {
  config nft-a.rules <<<old
  run --separate-stderr -1 netns-nft-save a
  reported "namespace \`a\` does not exist"
  [[ $(<"$RULES") == old ]]
  no_draft
}

@test "a file in place of the namespace is one line of error, and the old file stays" {
  config nft-a.rules <<<old
  mkdir -p /run/netns
  touch /run/netns/a
  run --separate-stderr -1 netns-nft-save a
  reported '/run/netns/a exists, but is not a namespace'
  [[ $(<"$RULES") == old ]]
  no_draft
}

@test "the error about a missing nft names the package, and the old file stays" {
  setup_rules
  config nft-a.rules <<<old
  run --separate-stderr -1 env PATH="$(only)" netns-nft-save a
  reported '`nft`' 'apt install nftables'
  [[ $(<"$RULES") == old ]]
  no_draft
}

@test "if nft fails, stops early or is killed, the old file stays, without a draft" {
  setup_rules
  config nft-a.rules <<<old
  mkdir "$BATS_TEST_TMPDIR/bin"
  for end in 'exit 1' 'kill -KILL $$'; do
    printf '%s\n' '#!/bin/bash' 'echo "table inet half {"' "$end" >"$BATS_TEST_TMPDIR/bin/nft"
    chmod +x "$BATS_TEST_TMPDIR/bin/nft"
    run --separate-stderr -1 env PATH="$BATS_TEST_TMPDIR/bin:$PATH" netns-nft-save a
    reported 'nft list ruleset'
    [[ $(<"$RULES") == old ]]
    no_draft
  done
}

@test "rules that cannot be loaded again are not saved" {
  setup_rules
  config nft-a.rules <<<old
  mkdir "$BATS_TEST_TMPDIR/bin"
  printf '%s\n' '#!/bin/bash' "[[ \$1 == list ]] || exec $(type -P nft) \"\$@\"" 'echo "table inet half {"' >"$BATS_TEST_TMPDIR/bin/nft"
  chmod +x "$BATS_TEST_TMPDIR/bin/nft"
  run --separate-stderr -1 env PATH="$BATS_TEST_TMPDIR/bin:$PATH" netns-nft-save a
  [[ $stderr == *'cannot be loaded again'* ]]
  [[ $(<"$RULES") == old ]]
  no_draft
}

@test "a full disk is one line of error, and the old file stays, without a draft" {
  setup_rules
  mount -t tmpfs -o size=16k small "$CONF"
  config nft-a.rules <<<old
  head -c 8192 /dev/zero >"$CONF/ballast"
  inside a nft --file - < <(
    echo 'table inet big { chain c {'
    for ((rule = 0; rule < 500; rule++)); do echo "tcp dport $rule accept"; done
    echo '}; }'
  )
  run --separate-stderr -1 netns-nft-save a
  reported "$RULES" 'No space left'
  [[ $(<"$RULES") == old ]]
  no_draft $'ballast\nnft-a.rules'
}

@test "a read-only directory is one line of error, and the old file stays" {
  setup_rules
  config nft-a.rules <<<old
  mount --bind "$CONF" "$CONF"
  mount -o remount,bind,ro "$CONF"
  run --separate-stderr -1 netns-nft-save a
  reported "$RULES" 'Read-only'
  [[ $(<"$RULES") == old ]]
}

@test "a directory at the path is not changed, and the message has its path" {
  setup_rules
  mkdir "$RULES"
  run --separate-stderr -1 netns-nft-save a
  reported "$RULES" directory
  no_draft
}

@test "a link at the path is replaced, and its target is not changed" {
  setup_rules
  echo old >"$BATS_TEST_TMPDIR/elsewhere"
  ln -s "$BATS_TEST_TMPDIR/elsewhere" "$RULES"
  netns-nft-save a
  [[ $(<"$BATS_TEST_TMPDIR/elsewhere") == old ]]
  grep 'flush ruleset' "$RULES"
}

@test "a signal at any moment leaves the old or the new file, without a draft" {
  setup_rules
  netns-nft-save a
  new=$(<"$RULES")
  for ((turn = 0; turn < 60; turn++)); do
    config nft-a.rules <<<old
    netns-nft-save a 3>&- &
    saving=$!
    sleep "0.0$((turn / 10))$((turn % 10))"
    kill -TERM "$saving" 2>/dev/null || true
    wait "$saving" || true
    [[ $(<"$RULES") == old || $(<"$RULES") == "$new" ]]
    no_draft
  done
}

@test "ten concurrent runs leave a complete file" {
  setup_rules
  netns-nft-save a
  new=$(<"$RULES")
  saving=()
  for ((turn = 0; turn < 10; turn++)); do
    netns-nft-save a 3>&- &
    saving+=("$!")
  done
  for pid in "${saving[@]}"; do wait "$pid"; done
  [[ $(<"$RULES") == "$new" ]]
  no_draft
}

@test "a lock on the directory, which any user can hold, delays the save only for a limited time" {
  setup_rules
  setpriv --reuid=nobody --clear-groups flock "$CONF" sleep 100 3>&- &
  BACKGROUND+=("$!")
  eventually locked "$CONF"
  run --separate-stderr -1 timeout 30 netns-nft-save a
  [[ $stderr == *"cannot lock $CONF: another process holds the lock"* ]]
  no_draft ''
}

@test "a user without privilege gets an error, and nothing is written" {
  setup_rules
  run --separate-stderr -1 setpriv --reuid=nobody --clear-groups netns-nft-save a
  reported root
  [[ ! -e $RULES ]]
}

@test "with several types, --type or the configured type selects the file; one file needs neither" {
  setup_rules
  sed 's/^# Rules:.*/# Rules: fw-NAME.rules/' "$SHARE/nft.sh" >"$CONF/fw.sh"
  refused 'several types save' 'type fw' 'type nft' -- netns-nft-save a
  no_draft fw.sh
  netns-nft-save --type fw a
  cmp "$CONF/fw-a.rules" <(echo 'flush ruleset' && inside a nft list ruleset)
  touch "$CONF/nft-a.conf"
  netns-nft-save a
  cmp "$CONF/fw-a.rules" "$RULES"
  rm "$CONF"/{nft-a.conf,fw-a.rules}
  cp "$SHARE/nft.sh" "$CONF/fw.sh"
  rm "$RULES"
  netns-nft-save a
  [[ -s $RULES && ! -e $CONF/fw-a.rules ]]
}

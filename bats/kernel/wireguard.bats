#!/usr/bin/env bats
# The type wireguard, as far as it needs no kernel module: the file of wg-quick(8), the settings, and what is refused. The tunnel itself
# is tested in bats/vm/wireguard.bats, and with wireguard-go in bats/kernel/wireguard_go.bats.

load kernel

FILE=/etc/wireguard/vpn.conf
KEY=yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=

setup() {
  rm -rf "$CONF" "$SHARE"
  mkdir -p "$CONF" "$SHARE" /etc/wireguard
  cp "$ROOT"/plugins/*.sh "$SHARE"
  create vpn
  printf '#!/bin/bash\n' >"$BATS_TEST_TMPDIR/wg" # the tests do not reach a call of it
  chmod +x "$BATS_TEST_TMPDIR/wg"
  PATH=$PATH:$BATS_TEST_TMPDIR
}

# Usage: provide INTERFACE PEER
# Writes the file of a provider, with one more line in both sections.
provide() { printf '%s\n' '[Interface]' "PrivateKey = $KEY" "$1" '[Peer]' "PublicKey = $KEY" "$2" >"$FILE"; }

# Usage: shown <<<COMMANDS
# Prints what these commands of an outside hook print.
shown() {
  {
    cat "$SHARE/wireguard.sh"
    echo 'configure_wireguard_up_outside() {'
    cat
    echo '}'
  } >"$CONF/wireguard.sh"
  hook wireguard vpn up outside
}

@test "a file of a provider sets the address, the routes, the MTU and the resolver, and a setting replaces its value" {
  provide $'Address = 10.2.0.2/32,fd00::2/128\nDNS = 10.2.0.1, example.org # comment\nMTU = 1400' 'AllowedIPs = 0.0.0.0/0, ::/0'
  print='configure_wireguard_defaults "$1"; wireguard_read WIREGUARD
    echo "<${WIREGUARD_IFADDR[*]}> <${WIREGUARD_ROUTES[*]}> <$WIREGUARD_MTU> <$WIREGUARD_DNS_SERVERS> <$WIREGUARD_DNS_SEARCH>"'
  [[ $(shown <<<"$print") == *'<10.2.0.2/32 fd00::2/128> <0.0.0.0/0 ::/0> <1400> <10.2.0.1> <example.org>' ]]
  printf '%s\n' WIREGUARD_MTU=1300 WIREGUARD_DNS_SERVERS=192.0.2.53 'WIREGUARD_ROUTES=(192.0.2.0/24)' WIREGUARD_IFADDR=10.9.9.9/32 |
    config wireguard-vpn.conf
  [[ $(shown <<<"$print") == *'<10.9.9.9/32> <192.0.2.0/24> <1300> <192.0.2.53> <example.org>' ]]
}

@test "an invalid line is refused with file, line, value and what is expected, before anything is made" {
  while IFS='|' read -r interface peer words; do
    config wireguard-vpn.conf <<<''
    peer=${peer/OTHER/${KEY/y/x}}
    provide "${interface//%/$'\n'}" "${peer//%/$'\n'}"
    refused "wireguard@vpn: $FILE:$words" -- hook wireguard vpn up outside
    run -1 --separate-stderr netnsctl check wireguard@vpn
    [[ $output == *"$FILE:${words%%: *}: error: wireguard@vpn: ${words#*: }"* ]]
  done <<'END'
Address = 10.2.0.2/32, 10.2.0.2/24||3: Address: the address '10.2.0.2' is set twice
MTU = 1200%Address = fd00::2/128||3: MTU: '1200': IPv6 needs at least 1280, but 'fd00::2/128' is an IPv6 address
Table = foo|AllowedIPs = 10.0.0.0/8|3: Table: 'foo': expected auto, off, or the number or name of a routing table
Address = 10.2.0.2/32%Address = ff02::1/128||4: Address: 'ff02::1/128': expected the address of a host
|AllowedIPs = 10.0.0.1/8%[Peer]%PublicKey = OTHER%AllowedIPs = 10.9.9.9/8|9: AllowedIPs: the network '10.0.0.0/8' is in two peers
Address = 10.2.0.300/32||3: Address: invalid IP address `10.2.0.300/32`
MTU = 9||3: MTU: '9': expected a number from 68 to 65535
Table = a/b||3: Table: 'a/b': expected auto, off
Jc = 4||3: unknown key 'Jc' in [Interface]: expected PrivateKey
nonsense||3: invalid line: expected KEY = VALUE
[Nonsense]||3: unknown section '[Nonsense]': expected [Interface] or [Peer]
|PublicKey = abc=|6: PublicKey: 'abc=' is not a key: expected 44 characters
|PresharedKey = abc=|6: PresharedKey: the value is not a key (4 characters)
|Endpoint = vpn.example.org|6: Endpoint: 'vpn.example.org': expected HOST:PORT
|AllowedIPs = 0.0.0.0/33|6: AllowedIPs: invalid address `0.0.0.0/33`
|PersistentKeepalive = 70000|6: PersistentKeepalive: '70000': expected a number from 0 to 65535
END
}

@test "the lines of an unknown section are not reported" {
  printf '%s\n' '[Foo]' "PrivateKey = $KEY" 'MTU = 9' 'Address = 10.2.0.2/32' >"$FILE"
  refused "$FILE:1: unknown section '[Foo]'" -- hook wireguard vpn up outside
  [[ $stderr != *"$FILE:2"* && $stderr != *"$FILE:3"* ]]
}

@test "PostUp and its kin are refused with a hint" {
  for key in PreUp PostUp PreDown PostDown; do
    provide "$key = touch /run/ran" ''
    refused "$FILE:3: $key is not run: remove the line, or allow commands with WIREGUARD_RUN_COMMANDS=yes" -- hook wireguard vpn up outside
  done
  [[ ! -e /run/ran ]]
}

@test "invalid settings are refused" {
  provide '' ''
  while IFS='|' read -r setting words; do
    config wireguard-vpn.conf <<<"$setting"
    refused "$CONF/wireguard-vpn.conf:1: $words" -- hook wireguard vpn up outside
  done <<END
WIREGUARD_CONFIG=/nosuch|WIREGUARD_CONFIG: cannot read '/nosuch'
WIREGUARD_RUN_COMMANDS=maybe|WIREGUARD_RUN_COMMANDS: 'maybe' is not a valid word
WIREGUARD_TABLE='a b'|WIREGUARD_TABLE: 'a b': expected auto, off
WIREGUARD_LISTEN_PORT=x|WIREGUARD_LISTEN_PORT: 'x': expected a number
WIREGUARD_FWMARK=x|WIREGUARD_FWMARK: 'x': expected a number
WIREGUARD_DNS_SERVERS='10.2.0.1 foo'|WIREGUARD_DNS_SERVERS: 'foo': expected the IP address of a server
WIREGUARD_NSNAME_SOCKET=vpn|WIREGUARD_NSNAME_SOCKET: is the namespace of the tunnel itself
WIREGUARD_PRIVATE_KEY_FILE=/nosuch|WIREGUARD_PRIVATE_KEY_FILE: cannot read '/nosuch'
END
  config wireguard-vpn.conf <<<"WIREGUARD_PEERS='$KEY endpoint x'"
  fails hook wireguard vpn up outside
  [[ $stderr == *'WIREGUARD_PRIVATE_KEY_FILE: is not set'*"WIREGUARD_PEERS: 'x': expected HOST:PORT"* ]]
}

@test "an error contains no private key, not even one of wrong length" {
  for line in "PrivateKey = ${KEY:1}" "$KEY" "PrivateKey ${KEY}x"; do
    printf '%s\n' '[Interface]' "$line" >"$FILE"
    fails hook wireguard vpn up outside
    [[ $stderr == *"$FILE:2: "* && $stderr != *"${KEY:1:20}"* ]]
  done
}

@test "a file that other users can write is refused" {
  provide '' ''
  chmod 666 "$FILE"
  refused "wireguard@vpn: $FILE: " -- hook wireguard vpn up outside
  chown nobody "$FILE"
  chmod 600 "$FILE"
  refused "wireguard@vpn: $FILE: " 'chown root' -- hook wireguard vpn up outside
  config wireguard-vpn.conf <<<''
  run -1 --separate-stderr netnsctl check wireguard@vpn
  [[ $output == *"$FILE: error: wireguard@vpn: "*'chown root'* ]]
  rm "$FILE"
}

@test "a missing file is an error, and check reports an invalid one at its line" {
  rm -f "$FILE"
  refused "wireguard@vpn: $FILE: the file does not exist: save the file of wg-quick(8) there, or set WIREGUARD_CONFIG" -- hook wireguard vpn up outside
  provide 'MTU = 9' ''
  config wireguard-vpn.conf <<<''
  run -1 --separate-stderr netnsctl check wireguard@vpn
  [[ $output == *"$FILE:3: error: wireguard@vpn: MTU: '9': expected a number from 68 to 65535"* ]]
}

@test "the resolver of a tunnel and the type dns do not replace each other's files" {
  provide '' ''
  config dns-vpn.conf <<<DNS_SERVERS=192.0.2.53
  hook dns vpn up outside
  run -1 --separate-stderr shown <<<'WIREGUARD_DNS_SERVERS=10.2.0.1; resolver_write WIREGUARD_DNS'
  [[ $stderr == *"cannot replace '/etc/netns/vpn/resolv.conf', which dns@vpn has written; use only one of dns@vpn and wireguard@vpn, or set servers in only one of them"* ]]
  grep --quiet 192.0.2.53 /etc/netns/vpn/resolv.conf
  hook wireguard vpn down outside
  [[ -e /etc/netns/vpn/resolv.conf ]]
}

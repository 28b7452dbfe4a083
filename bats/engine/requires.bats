#!/usr/bin/env bats
# Requirements of instances, with both engines.

load engine

# Usage: requires INSTANCE WORD...
# Configures an instance of a test type with these requirements.
requires() {
  local instance=$1
  shift
  [[ -e $CONF/${instance%@*}.sh ]] || plugin "${instance%@*}"
  config "${instance/@/-}.conf" <<<"NETNS_REQUIRES='$*'"
}

# Usage: failing COMMAND...
# Runs a command that must fail with status 1 and a message on stderr.
failing() { run --separate-stderr -1 on "$@"; }

@test "requirements, also transitive ones, are up before the up outside of an instance" {
  requires app@a base@b
  requires base@b ground@c
  requires ground@c
  update
  run --separate-stderr -0 on netnsctl up app@a
  [[ $output == 'app@a is up' ]]
  [[ $(hooks) == 'ground@c up outside,ground@c up inside,base@b up outside,base@b up inside,app@a up outside,app@a up inside' ]]
  on netnsctl down app@a
  [[ $(state base@b) == up && $(state ground@c) == up ]]
}

@test "an instance starts after its requirements, in any order of the arguments" {
  requires app@a base@a
  requires base@a
  update
  on netnsctl up app@a base@a
  [[ $(hooks) == 'base@a up outside,base@a up inside,app@a up outside,app@a up inside' ]]
  on netnsctl down base@a app@a
  [[ $(hooks) == 'app@a down inside,app@a down outside,base@a down inside,base@a down outside' ]]
  nothing_left
}

@test "a required namespace exists, and is removed when no instance needs it" {
  requires app@a b
  requires other@c b
  update
  on netnsctl up app@a other@c
  exists b
  on netnsctl down app@a
  exists b
  on netnsctl down other@c
  eventually gone b
  nothing_left
}

@test "a required namespace stays after its last own instance" {
  requires app@a b
  requires base@b
  update
  on netnsctl up app@a base@b
  on netnsctl down base@b
  exists b
  on netnsctl down app@a
  eventually gone b
  nothing_left
}

@test "down refuses a required instance, and lists its dependants" {
  requires app@a base@b
  requires base@b
  update
  on netnsctl up app@a
  hooks
  failing netnsctl down base@b
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'cannot take down `base@b`: `app@a` is up and requires it'*'netnsctl down --recursive base@b'* ]]
  [[ -z $(hooks) && $(state base@b) == up && $(state app@a) == up ]]
  failing netnsctl down b
  on netnsctl down app@a
  on netnsctl down base@b
  nothing_left
}

@test "--recursive takes the dependants down first, and reports them" {
  requires app@a base@b
  requires base@b ground@c
  requires ground@c
  update
  on netnsctl up app@a
  hooks
  run --separate-stderr -0 on netnsctl down --recursive ground@c
  [[ $(sort <<<"$output") == $'app@a is down\nbase@b is down\nground@c is down' ]]
  [[ $(hooks) == 'app@a down inside,app@a down outside,base@b down inside,base@b down outside,ground@c down inside,ground@c down outside' ]]
  nothing_left
}

@test "a restart takes the dependants down first, and brings them up again" {
  requires app@a base@b
  requires base@b
  update
  on netnsctl up app@a
  hooks
  run -0 on netnsctl restart base@b
  [[ $output == *'base@b was restarted'* ]]
  [[ $(hooks) == 'app@a down inside,app@a down outside,base@b down inside,base@b up inside,app@a up outside,app@a up inside' ]]
  [[ $(state app@a) == up ]]
}

@test "a restart does not affect the requirements" {
  requires app@a base@b c
  requires base@b
  update
  on netnsctl up app@a
  hooks
  on netnsctl restart app@a
  [[ $(hooks) == 'app@a down inside,app@a up inside' ]]
  exists c
}

@test "a failed requirement skips the dependant, and both are reported" {
  plugin base 'configure_base_up_inside() { echo "what it said"; false; }'
  requires app@a base@b
  config base-b.conf <<<''
  update
  failing netnsctl up app@a
  [[ $stderr == *'app@a'* ]]
  [[ $(hooks) == 'base@b up outside,base@b down outside' ]]
  eventually gone b
  # systemd does not check a namespace again if its instance was never started (see netns.conf(5)).
  [[ $ENGINE == systemd ]] || gone a
}

@test "a dependant that fails does not affect its active requirement" {
  plugin app 'configure_app_up_inside() { false; }'
  requires app@a base@b
  requires base@b
  update
  failing netnsctl up app@a
  [[ $(state base@b) == up ]]
  eventually gone a
}

@test "a change or deletion of the .conf does not affect the teardown" {
  requires app@a base@b c
  requires base@b
  update
  on netnsctl up app@a
  config app-a.conf <<<'NETNS_REQUIRES=d'
  [[ $ENGINE == systemd ]] || failing netnsctl down base@b
  on netnsctl down app@a
  eventually gone c
  on netnsctl down base@b
  nothing_left
}

@test "veth requires the namespace of its outside end, and the requirements in its .conf" {
  requires base@b
  pair client VETH_NSNAME_OUTSIDE=server NETNS_REQUIRES=base@b
  update
  on netnsctl up veth@client
  [[ $(state base@b) == up ]]
  on ip netns exec client ping -q -c1 -w5 192.0.2.1
  on netnsctl down client b
  eventually gone server
  nothing_left
}

@test "a failed function, an unknown instance and a cycle are reported, and nothing is changed" {
  plugin app 'configure_app_requires() { echo "what it said" >&2; false; }'
  config app-a.conf <<<''
  [[ $ENGINE == systemd ]] && fails=(netns-update) || fails=(netnsctl up app@a)
  failing "${fails[@]}"
  [[ $stderr == *'cannot read the requirements of `app@a`: `configure_app_requires` failed'* ]]
  plugin app
  config app-a.conf <<<'NETNS_REQUIRES=nosuch@b'
  failing "${fails[@]}"
  [[ $stderr == *'`app@a` requires `nosuch@b`, which is unknown'* ]]
  config app-a.conf <<<'NETNS_REQUIRES=app@b'
  config app-b.conf <<<'NETNS_REQUIRES=app@a'
  failing "${fails[@]}"
  [[ $stderr == *'circular requirements: app@a -> app@b -> app@a'* ]]
  [[ -z $(hooks) ]]
  gone a
}

@test "an array without its end in a .conf is reported when the requirements are read, and nothing is changed" {
  plugin app
  config app-a.conf <<<$'NETNS_REQUIRES=lo@a\nopen=(a'
  [[ $ENGINE == systemd ]] && fails=(netns-update) || fails=(netnsctl up app@a)
  failing "${fails[@]}"
  [[ $stderr == *'cannot read the requirements of `app@a`: '*'/app-a.conf: line 2: unexpected EOF'* ]]
  [[ -z $(hooks) ]]
  gone a
}

@test "check reports impossible requirements" {
  plugin app
  plugin other
  requires app@a app@b
  requires app@b app@a
  requires other@a nosuch@b
  run -1 on netnsctl check
  [[ $output == *'error: app@a: circular requirements: app@a -> app@b -> app@a'* ]]
  [[ $output == *'error: other@a: `other@a` requires `nosuch@b`, which is unknown'* ]]
}

@test "the output of a failed requirement is shown, also if it was not an argument" {
  plugin base 'configure_base_up_inside() { echo "what it said" >&2; false; }'
  config base-b.conf <<<''
  requires app@a middle@c
  requires middle@c base@b
  update
  failing netnsctl up app@a
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'app@a'*'it requires '*'base@b'*'what it said'* ]]
  config base-a.conf <<<''
  requires app@a base@a
  update
  failing netnsctl up app@a
  [[ $stderr == *'app@a'*'it requires `base@a`'*'what it said'* ]]
}

@test "down of an inactive namespace has no effect, and the other arguments are taken down" {
  requires app@a
  requires base@b
  update
  on netnsctl up base@b
  run --separate-stderr -0 on netnsctl down a b
  [[ $stderr == 'nothing is up on namespace `a`'* && $output == 'base@b is down' ]]
  failing netnsctl down nosuch
  [[ $stderr == *'nothing is up on namespace `nosuch`' ]]
  config app-browser.conf <<<''
  failing netnsctl down browsr
  [[ $stderr == *'nothing is up on namespace `browsr`; did you mean `browser`?' ]]
  failing netnsctl restart browser
  [[ $stderr == *'nothing is up on namespace `browser`' ]]
}

@test "reading requirements does not change remembered values" {
  plugin app 'configure_app_requires() { APP_X=2; remember APP_X; }
configure_app_up_outside() { APP_X=1; remember APP_X; }
configure_app_check_outside() { APP_X=3; remember APP_X; recall; [[ $APP_X == 1 ]] || echo "it is $APP_X"; }'
  config app-a.conf <<<''
  update
  on netnsctl up app@a
  on netnsctl show app@a >/dev/null
  run -0 on netnsctl check app
  run -0 on cat /run/systemd-netns/remembered/app@a
  [[ $output == *APP_X*1* ]]
}

@test "an invalid requirement is quoted whole, with its function or file" {
  plugin app
  config app-a.conf <<<'NETNS_REQUIRES="b macvlan@"'
  run -1 on netnsctl check app
  [[ $output == *'NETNS_REQUIRES in /etc/conf.d/netns/app-a.conf: the requirement "macvlan@": '* ]]
  config app.sh <<<'configure_app_requires() { echo "@x y"; }'
  run -1 on netnsctl check app
  [[ $output == *'`configure_app_requires`: the requirement "@x y": '* ]]
}

@test "a required unit: the hint of the error helps" {
  plugin app
  config app-a.conf <<<'NETNS_REQUIRES=nosuch.service'
  update
  failing netnsctl up app@a
  case $ENGINE in
    systemd) [[ $stderr == *'requires the unit `nosuch.service`, which systemd does not know'* && $stderr != *netns-update* ]] ;;
    direct) [[ $stderr == *'which only systemd can start; systemd is not running here'* ]] ;;
  esac
}

#!/usr/bin/env bats
# A service is attached to an instance that requires the service.

load systemd

setup() {
  unit test-web.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  unit test-other.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
}

CIRCLE='circular dependency: `test-web.service` requires `netns-lo@a.service`, which requires '

@test "a requirement of the instance on the service is named by attach and check, before and after netns-update" {
  config lo-a.conf <<<'NETNS_REQUIRES=test-web.service'
  for update in true netns-update; do
    lab "$update" >/dev/null
    run --separate-stderr -0 lab netnsctl attach test-web lo@a
    # shellcheck disable=SC2154 # set by run
    [[ $stderr == *"warning: $CIRCLE"*'`test-web.service`, so neither can start first; remove the requirement of '* ]]
    run -1 lab netnsctl check lo@a
    [[ $output == *"error: $CIRCLE"* ]]
  done
}

@test "a dependency in a drop-in, also through other units, is named" {
  unit netns-lo@a.service.d/test.conf <<<$'[Unit]\nRequires=test-other.service'
  run --separate-stderr -0 lab netnsctl attach --dry-run test-web lo@a
  [[ $stderr != *circular* ]]
  unit test-other.service.d/test.conf <<<$'[Unit]\nRequires=test-web.service'
  run --separate-stderr -0 lab netnsctl attach --dry-run test-web lo@a
  [[ $stderr == *"warning: $CIRCLE"'`test-other.service`, which requires `test-web.service`, so'*'`systemctl cat test-other.service`'* ]]
}

@test "an instance of an attached template that its namespace requires is named" {
  unit test-many@.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  config lo-a.conf <<<'NETNS_REQUIRES=test-many@x.service'
  run --separate-stderr -0 lab netnsctl attach --dry-run test-many@ lo@a
  [[ $stderr == *'circular dependency: `test-many@.service` requires'* ]]
}

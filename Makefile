# The targets of this file; `make` without a target prints them.

BINDIR ?= /usr/sbin
LIBDIR ?= /usr/lib
MANDIR ?= /usr/share/man
DATADIR ?= /usr/share
UNITDIR = $(LIBDIR)/systemd/system
# Each file in CONFDIR affects namespaces, so no sample is installed there.
SAMPLEDIR = $(DATADIR)/doc/systemd-netns/examples
BASHDIR = $(DATADIR)/bash-completion/completions
FISHDIR = $(DATADIR)/fish/vendor_completions.d
# zsh of Debian reads vendor-completions in /usr/share. In other directories, and on other distributions, zsh reads site-functions.
ZSHDIR ?= $(DATADIR)/zsh/$(if $(and $(wildcard /etc/debian_version),$(filter /usr/share,$(DATADIR))),vendor-completions,site-functions)
# The program reads these two directories (src/paths.rs).
PLUGINDIR = /usr/share/systemd-netns
CONFDIR = /etc/conf.d/netns
# systemctl creates the links that enable instances in subdirectories of these.
ENABLEDIRS = /etc/systemd/system /run/systemd/system

CARGO ?= cargo
TARGET = $(or $(CARGO_TARGET_DIR),target)/release
# The program for the demonstrations. The profile demo of Cargo.toml builds it in a third of the time.
DEMO = $(or $(CARGO_TARGET_DIR),target)/demo
# The binary, and the links to it.
BINARY = netnsctl
LINKS = netnsinit netns-update netns-nft-save
UNITS = $(notdir $(wildcard units/*.service))
PLUGINS = $(notdir $(wildcard plugins/*.sh))
# Files for network managers and firewalld, below LIBDIR (docs/managers.md).
MANAGERS = $(patsubst managers/%,%,$(wildcard managers/*/*/*.rules managers/*/*/*.network managers/*/*/*/*.conf managers/*/*/*.xml))
# The manual pages, NAME.SECTION. They are built from man/NAME.SECTION.scd.
PAGES = $(notdir $(basename $(wildcard man/*.scd)))
MAN = $(TARGET)/man
# The completion file of each shell. bash and fish find it by the name of the program, so it has a link for each link to the binary.
COMPLETION = src/commands/completion
COMPLETIONS = $(BASHDIR)/netnsctl.bash $(ZSHDIR)/_netnsctl $(FISHDIR)/netnsctl.fish
COMPLETED = netns-update netns-nft-save
COMPLETION_LINKS = $(COMPLETED:%=$(BASHDIR)/%.bash) $(COMPLETED:%=$(FISHDIR)/%.fish)

$(if $(word 2,$(DESTDIR)),$(error DESTDIR must not contain blanks))

.PHONY: help build install uninstall test test-bash test-distros fuzz soak bench demo demo-systemd lint

help: ## Print this help
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 19
	@echo 'Staging: make install DESTDIR=... (no root needed); BINDIR, LIBDIR, MANDIR, DATADIR and ZSHDIR change the directories.'

# Static linking to a fixed address shortens the start of the program, and netnsinit starts once per hook. With musl it starts in a third
# of the time (docs/performance.md), so musl is used if Rust has it. `make build MUSL=` uses glibc.
MUSL ?= $(shell uname -m)-unknown-linux-musl
build: HAS_MUSL = $(wildcard $(shell rustc --print target-libdir --target $(MUSL) 2>/dev/null)/libstd-*.rlib)
build: ## Build the program and its manual pages
	@tests/need build
	$(CARGO) rustc --release --locked$(if $(HAS_MUSL), --target $(MUSL)) --bin $(BINARY) -- -C target-feature=+crt-static -C relocation-model=static
	@$(if $(HAS_MUSL),install -D $(TARGET:%/release=%/$(MUSL)/release)/$(BINARY) $(TARGET)/$(BINARY))
	@for link in $(LINKS); do ln -sf $(BINARY) $(TARGET)/$$link; done
	@$(MAKE) --no-print-directory manual

.PHONY: manual
manual: $(PAGES:%=$(MAN)/%)

# The footer of each page has the version of the program.
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
$(MAN)/%: man/%.scd man/groff.sed Cargo.toml
	@mkdir -p $(@D)
	scdoc <$< >$@
	@sed -i -e '/^\.TH/s/"systemd-netns[^"]*"/"systemd-netns $(VERSION)"/' -f man/groff.sed $@

# After an error of scdoc, the incomplete page is deleted. Otherwise it would count as built.
.DELETE_ON_ERROR:

install: ## Install the built program, and update the units of all types
	@for built in $(TARGET)/$(BINARY) $(PAGES:%=$(MAN)/%); do test -e $$built || { echo 'nothing to install yet: run `make build` first' >&2; exit 1; }; done
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(UNITDIR) $(DESTDIR)$(PLUGINDIR) $(DESTDIR)$(CONFDIR)
	install -m 755 $(TARGET)/$(BINARY) $(DESTDIR)$(BINDIR)
	for link in $(LINKS); do ln -sf $(BINARY) $(DESTDIR)$(BINDIR)/$$link || exit; done
	install -m 644 $(UNITS:%=units/%) $(DESTDIR)$(UNITDIR)
	case $(BINDIR) in /usr/local/sbin | /usr/local/bin | /usr/sbin | /usr/bin | /sbin | /bin) ;; \
	*) sed -i 's|=netnsinit |=$(BINDIR)/netnsinit |' $(UNITS:%=$(DESTDIR)$(UNITDIR)/%) ;; esac
	install -m 644 $(PLUGINS:%=plugins/%) $(DESTDIR)$(PLUGINDIR)
	for file in $(MANAGERS); do install -D -m 644 managers/$$file $(DESTDIR)$(LIBDIR)/$$file || exit; done
	for page in $(PAGES); do install -D -m 644 $(MAN)/$$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$$page || exit; done
	for file in $(COMPLETIONS); do install -D -m 644 $(COMPLETION)/$${file##*/} $(DESTDIR)$$file || exit; done
	for link in $(COMPLETION_LINKS); do ln -sf netnsctl.$${link##*.} $(DESTDIR)$$link || exit; done
	install -D -m 644 -t $(DESTDIR)$(SAMPLEDIR) etc/*
	@$(reload_managers)
	@if [ -z '$(DESTDIR)' ]; then $(BINDIR)/netns-update --daemon-reload; fi

# systemd-udevd and systemd-networkd read new files only on request.
reload_managers = if [ -z '$(DESTDIR)' ]; then \
  if [ -S /run/udev/control ]; then udevadm control --reload; fi; \
  if [ -d /run/systemd/system ] && systemctl --quiet is-active systemd-networkd; then networkctl reload; fi; fi

# $(call rmdir,BASE,DIRECTORIES): removes the DIRECTORIES below BASE, and their parents below BASE, as far as they are empty.
rmdir = for dir in $(2); do (cd $(DESTDIR)$(1) && rmdir -p $$dir) 2>/dev/null || :; done

uninstall: ## Remove everything except the files in /etc/conf.d/netns
	@if [ -z '$(DESTDIR)' ] && find /run/systemd-netns/direct -name '*.json' 2>/dev/null | grep -q .; then \
	  echo 'not uninstalled: the direct engine has active instances; `netnsctl list` shows them, `netnsctl down` takes them down' >&2; exit 1; \
	fi
	@if [ -z '$(DESTDIR)' ] && [ -x $(BINDIR)/netns-update ]; then \
	  { $(BINDIR)/netns-update --clean --dry-run >/dev/null && $(BINDIR)/netns-update --clean; } || { echo 'not uninstalled: detach the attached services and stop the active instances, or run `netns-update --clean --now`' >&2; exit 1; }; \
	fi
	rm -f $(DESTDIR)$(BINDIR)/$(BINARY) $(LINKS:%=$(DESTDIR)$(BINDIR)/%)
	rm -f $(UNITS:%=$(DESTDIR)$(UNITDIR)/%) $(MANAGERS:%=$(DESTDIR)$(LIBDIR)/%)
	for page in $(PAGES); do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$$page; done
	rm -rf $(DESTDIR)$(SAMPLEDIR)
	rm -f $(COMPLETIONS:%=$(DESTDIR)%) $(COMPLETION_LINKS:%=$(DESTDIR)%)
	rm -f $(PLUGINS:%=$(DESTDIR)$(PLUGINDIR)/%)
	$(call rmdir,$(LIBDIR),systemd/system $(dir $(MANAGERS)))
	$(call rmdir,$(MANDIR),$(patsubst .%,man%,$(sort $(suffix $(PAGES)))))
	$(call rmdir,$(DATADIR),doc/systemd-netns $(filter-out /%,$(patsubst $(DATADIR)/%,%,$(dir $(COMPLETIONS)))))
	for dir in $(PLUGINDIR) $(CONFDIR) $(CONFDIR:%/netns=%); do rmdir $(DESTDIR)$$dir 2>/dev/null || :; done
	@if [ -z '$(DESTDIR)' ]; then for link in $$(find $(ENABLEDIRS) -mindepth 2 -maxdepth 2 -name 'netns-*@*.service' -xtype l 2>/dev/null); do \
	  printf 'disabled: %s\n' "$$link"; rm "$$link" || exit; rmdir "$${link%/*}" 2>/dev/null || :; done; fi
	@if [ -z '$(DESTDIR)' ] && [ -d /run/systemd-netns ]; then find /run/systemd-netns -depth -type d -empty -delete; fi
	@if [ -z '$(DESTDIR)' ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@$(reload_managers)

test: build ## Run all tests (as root: also with the real kernel and systemd)
	@tests/run

test-bash: build ## Run the tests of hooks with bash 5.1, 5.2 and 5.3 (as root, builds them)
	@tests/run bash

# Debian 12, 13 and unstable.
RELEASES ?= bookworm trixie sid
test-distros: build ## Run the suites on other releases of Debian (as root, an hour); make test-distros RELEASES=trixie
	$(CARGO) build --locked
	@tests/distros $(RELEASES)

# SECONDS is the duration of a soak, or of each fuzz target. SEED repeats a soak with the same ENGINE (systemd or direct).
fuzz: SECONDS ?= 300
soak: SECONDS ?= 3600
SEED ?=
ENGINE ?= systemd

fuzz: ## Run the fuzzer, 5 minutes for each target; make fuzz SECONDS=60
	@tests/need cargo
	@fuzz/run $(SECONDS)

soak: build ## Take random steps for an hour, compare with a model (as root); make soak ENGINE=direct SECONDS=600 SEED=1
	@tests/need tests
	@ENGINE=$(ENGINE) tests/soak $(SECONDS) $(SEED)

bench: build ## Measure the cost of each operation (as root, some minutes)
	@tests/need tests
	@tests/need bench
	$(CARGO) build --release --locked --example bench
	@bench/run

demo: $(DEMO) ## Show the program in private namespaces (without root, if the kernel allows)
	@NETNS_BIN=$(DEMO) tests/demo

demo-systemd: $(DEMO) ## Show the program with systemd, in a temporary container (as root)
	@NETNS_BIN=$(DEMO) tests/demo-systemd

.PHONY: $(DEMO)
$(DEMO):
	@tests/need cargo
	@test -x $@/$(BINARY) || echo 'Building the program without optimization, which takes about a minute.'
	$(CARGO) build --profile demo --locked --bin $(BINARY)
	@for link in $(LINKS); do ln -sf $(BINARY) $@/$$link; done

lint: ## Check form and prose: rustfmt, clippy, shellcheck, shfmt, codespell, proselint
	@tests/need lint
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	shellcheck $(SHELL_FILES)
	shfmt -i 2 -ci -d $(SHELL_FILES)
	@$(MAKE) --no-print-directory $(PROSE)
	git ls-files -z -- ':!*.svg' ':!*.lock' | xargs --null $(PROSE)/bin/codespell --ignore-words tests/prose/spelling.txt
	$(PROSE)/bin/python -B tests/prose/test_lint.py --quiet
	$(PROSE)/bin/python tests/prose/lint.py

# The linters of prose are Python programs. Debian does not have these versions, so they get a virtual environment.
PROSE = $(or $(CARGO_TARGET_DIR),target)/prose
$(PROSE): tests/prose/requirements.txt
	python3 -m venv --clear $@
	$@/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

SHELL_FILES = $(wildcard plugins/*.sh src/bash/*.sh src/bash/library/*.sh src/commands/templates/*.sh $(COMPLETION)/*.bash tests/*.bash tests/soak.d/*.bash tests/hostile/*.sh tests/kit/*.sh tests/kit/*.bash bats/*.bash bats/*/*.bash bats/*/*.bats) \
  $(addprefix tests/,run need build-bash with-bash distros bootstrap root vm demo demo-systemd private machine soak soak.d/walk) fuzz/run bench/run .ci/run

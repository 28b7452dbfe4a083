# What can be done here; `make` alone prints it.

BINDIR ?= /usr/sbin
LIBDIR ?= /usr/lib
MANDIR ?= /usr/share/man
DATADIR ?= /usr/share
UNITDIR = $(LIBDIR)/systemd/system
# What is in CONFDIR is read for every namespace, so samples are put there only where nobody has any settings yet.
SAMPLEDIR = $(DATADIR)/doc/systemd-netns/examples
# These two are what the program looks at (src/paths.rs).
PLUGINDIR = /usr/share/systemd-netns
CONFDIR = /etc/conf.d/netns

CARGO ?= cargo
TARGET = $(or $(CARGO_TARGET_DIR),target)/release
# The program for the demonstrations: built in a third of the time, by the profile demo of Cargo.toml.
DEMO = $(or $(CARGO_TARGET_DIR),target)/demo
# The one binary, and the names it is called by.
BINARY = netnsctl
LINKS = netnsinit netns-update netns-nft-save
UNITS = $(notdir $(wildcard units/*.service))
PLUGINS = $(notdir $(wildcard plugins/*.sh))
# The manual pages, NAME.SECTION. They are built from man/NAME.SECTION.scd.
PAGES = $(notdir $(basename $(wildcard man/*.scd)))
MAN = $(TARGET)/man
# Where each shell looks for completions, below DATADIR (bash-completion, zsh and fish as Debian has them).
COMPLETION = src/commands/completion
COMPLETIONS = bash-completion/completions/netnsctl.bash zsh/vendor-completions/_netnsctl fish/vendor_completions.d/netnsctl.fish

$(if $(word 2,$(DESTDIR)),$(error DESTDIR must not have blanks in it))

.PHONY: help build install uninstall test fuzz soak bench demo demo-systemd lint

help: ## Print this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 19
	@echo 'Staging: make install DESTDIR=... (no root needed); BINDIR, LIBDIR, MANDIR and DATADIR move things.'

# Linked statically, and to a fixed address: it starts in less time, and netnsinit starts once per hook. With musl it starts in a third
# of that (docs/performance.md), so that is used where Rust has it; `make build MUSL=` does without.
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

# Otherwise a page would count as built after an error of scdoc.
.DELETE_ON_ERROR:

install: ## Install what was built, and update the units of all types
	@for built in $(TARGET)/$(BINARY) $(PAGES:%=$(MAN)/%); do test -e $$built || { echo 'nothing to install yet: run `make build` first' >&2; exit 1; }; done
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(UNITDIR) $(DESTDIR)$(PLUGINDIR) $(DESTDIR)$(CONFDIR)
	install -m 755 $(TARGET)/$(BINARY) $(DESTDIR)$(BINDIR)
	for link in $(LINKS); do ln -sf $(BINARY) $(DESTDIR)$(BINDIR)/$$link || exit; done
	install -m 644 $(UNITS:%=units/%) $(DESTDIR)$(UNITDIR)
	case $(BINDIR) in /usr/local/sbin | /usr/local/bin | /usr/sbin | /usr/bin | /sbin | /bin) ;; \
	*) sed -i 's|=netnsinit |=$(BINDIR)/netnsinit |' $(UNITS:%=$(DESTDIR)$(UNITDIR)/%) ;; esac
	install -m 644 $(PLUGINS:%=plugins/%) $(DESTDIR)$(PLUGINDIR)
	for page in $(PAGES); do install -D -m 644 $(MAN)/$$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$$page || exit; done
	for file in $(COMPLETIONS); do install -D -m 644 $(COMPLETION)/$${file##*/} $(DESTDIR)$(DATADIR)/$$file || exit; done
	install -D -m 644 -t $(DESTDIR)$(SAMPLEDIR) etc/*
	@if [ -n "$$(ls -A $(DESTDIR)$(CONFDIR))" ]; then \
	  echo 'kept as it is: $(DESTDIR)$(CONFDIR); samples are in $(DESTDIR)$(SAMPLEDIR)'; \
	else install -m 644 etc/* $(DESTDIR)$(CONFDIR); fi
	@if [ -z '$(DESTDIR)' ]; then $(BINDIR)/netns-update --daemon-reload; fi

uninstall: ## Remove the program, but nothing from /etc/conf.d/netns
	@if [ -z '$(DESTDIR)' ] && find /run/systemd-netns/direct -name '*.json' 2>/dev/null | grep -q .; then \
	  echo 'not uninstalled: take down what the direct engine has up, by `netnsctl down`; `netnsctl list` shows it' >&2; exit 1; \
	fi
	@if [ -z '$(DESTDIR)' ] && [ -x $(BINDIR)/netns-update ]; then \
	  { $(BINDIR)/netns-update --clean --dry-run >/dev/null && $(BINDIR)/netns-update --clean; } || { echo 'not uninstalled: detach what is attached, and stop what is active, or run `netns-update --clean --now`' >&2; exit 1; }; \
	fi
	rm -f $(DESTDIR)$(BINDIR)/$(BINARY) $(LINKS:%=$(DESTDIR)$(BINDIR)/%)
	rm -f $(UNITS:%=$(DESTDIR)$(UNITDIR)/%)
	for page in $(PAGES); do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$$page; done
	rm -rf $(DESTDIR)$(SAMPLEDIR)
	rm -f $(COMPLETIONS:%=$(DESTDIR)$(DATADIR)/%)
	rm -f $(PLUGINS:%=$(DESTDIR)$(PLUGINDIR)/%)
	if [ -d $(DESTDIR)$(PLUGINDIR) ]; then rmdir --ignore-fail-on-non-empty $(DESTDIR)$(PLUGINDIR); fi
	@if [ -z '$(DESTDIR)' ] && [ -d /run/systemd-netns ]; then find /run/systemd-netns -depth -type d -empty -delete; fi
	@if [ -z '$(DESTDIR)' ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

test: build ## Run all tests (as root: against the real kernel and a real systemd, too)
	@tests/run

# How long each takes: of `make fuzz`, every target; SEED repeats a run of `make soak`, with the engine systemd or direct.
fuzz: SECONDS ?= 300
soak: SECONDS ?= 3600
SEED ?=
ENGINE ?= systemd

fuzz: ## Try hostile input, 5 minutes each target; make fuzz SECONDS=60
	@tests/need cargo
	@fuzz/run $(SECONDS)

soak: build ## As root, do at random what administrators do, and see that all is as it should be, for an hour; make soak ENGINE=direct SECONDS=600 SEED=1
	@tests/need tests
	@ENGINE=$(ENGINE) tests/soak $(SECONDS) $(SEED)

bench: build ## Measure what things cost, each beside its floor (as root, some minutes)
	@tests/need tests
	$(CARGO) build --release --locked --example bench
	@bench/run

demo: $(DEMO) ## Show it at work, in namespaces of its own (no root needed where users may have namespaces)
	@NETNS_BIN=$(DEMO) tests/demo

demo-systemd: $(DEMO) ## Show it at work on a real systemd, in a throw-away container
	@NETNS_BIN=$(DEMO) tests/demo-systemd

.PHONY: $(DEMO)
$(DEMO):
	@tests/need cargo
	@test -x $@/$(BINARY) || echo 'Building the program without optimisation, which takes about a minute.'
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
	$(PROSE)/bin/python tests/prose/lint.py

# The linters of prose are Python programs that Debian does not have in these versions: they get an environment of their own.
PROSE = $(or $(CARGO_TARGET_DIR),target)/prose
$(PROSE): tests/prose/requirements.txt
	python3 -m venv --clear $@
	$@/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

SHELL_FILES = $(wildcard plugins/*.sh src/bash/*.sh src/commands/*.sh $(COMPLETION)/*.bash tests/*.bash tests/soak.d/*.bash tests/hostile/*.sh tests/kit/*.sh tests/kit/*.bash bats/*.bash bats/*/*.bash bats/*/*.bats) \
  $(addprefix tests/,run need demo demo-systemd private machine soak soak.d/walk) fuzz/run bench/run .ci/run

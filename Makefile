# Convoy: `make demo` shows it at work, `make test` checks everything, `make run` starts a node.
# Each target sets up what it needs first; a second run is quick.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Builds and tools live outside the clone, so that a new clone need not compile RocksDB again.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/convoy
export CARGO_TARGET_DIR ?= $(CACHE)/target
BIN := $(CARGO_TARGET_DIR)/debug
TOOLS := $(CACHE)/tools
VENV := $(CACHE)/venv

CARGO_DENY_VERSION := 0.20.2
AIOSMTPD_VERSION := 1.4.6

# What the build needs (bindgen for RocksDB wants libclang), and the programs that tests talk to.
BUILD_PACKAGES := build-essential libclang-dev
TEST_PACKAGES := openssl swaks libnet-ssleay-perl libdigest-hmac-perl postfix haproxy python3 python3-venv python3-yaml
export DEBIAN_FRONTEND := noninteractive

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## send mail through a node under every STARTTLS situation and show the CSV rows
	$(BIN)/demo

.PHONY: run
run: build run/smtp-cert.pem ## start a node in the foreground with the sample configuration
	cd run && exec $(BIN)/mtad --config ../deploy/sample/config

# A certificate for trying things out: nobody but the key itself vouches for it.
run/smtp-cert.pem:
	@$(call install,openssl)
	mkdir -p run
	umask 077; openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=localhost \
	  -addext subjectAltName=DNS:localhost,DNS:localhost.localdomain,IP:127.0.0.1,IP:::1 \
	  -keyout run/smtp-key.tmp -out run/smtp-cert.tmp 2>/dev/null
	cat run/smtp-cert.tmp run/smtp-key.tmp > $@.tmp && chmod 600 $@.tmp
	rm run/smtp-cert.tmp run/smtp-key.tmp && mv $@.tmp $@

.PHONY: test
test: setup-test ## everything that is checked before a change lands
	cargo fmt --all -- --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	$(TOOLS)/bin/cargo-deny --log-level error check bans licenses sources
	cargo build --workspace --all-targets
	PATH="$(VENV)/bin:$$PATH" cargo test --workspace

.PHONY: fix
fix: ## format, and apply what clippy can mend by itself
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

.PHONY: man
man: build ## write the manual pages to $(CACHE)/man
	mkdir -p $(CACHE)/man
	$(BIN)/mtad --manual conf > $(CACHE)/man/mtad.conf.5
	$(BIN)/mtad --manual program > $(CACHE)/man/mtad.8
	$(BIN)/mtactl man > $(CACHE)/man/mtactl.1
	@echo "read them with: man $(CACHE)/man/mtad.conf.5"

.PHONY: build
build: setup-build
	cargo build --workspace

.PHONY: setup-build
setup-build:
	@command -v cargo >/dev/null || { echo "Rust is missing: see https://rustup.rs" >&2; exit 1; }
	@$(call install,$(BUILD_PACKAGES))

.PHONY: setup-test
setup-test: setup-build $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION) $(VENV)/aiosmtpd-$(AIOSMTPD_VERSION)
	@$(call install,$(TEST_PACKAGES))

# Installs the Debian packages among $(1) that are missing; says what to do without the right to.
# RUNLEVEL=1 keeps packages from starting daemons.
define install
missing=""; for package in $(1); do \
  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q "ok installed" \
    || missing="$$missing $$package"; \
done; \
if [ -n "$$missing" ]; then \
  echo "installing$$missing"; \
  root=""; [ "$$(id -u)" = 0 ] || root="sudo"; \
  { $$root apt-get update -qq \
    && RUNLEVEL=1 $$root apt-get install -y -qq --no-install-recommends $$missing >/dev/null; } \
    || { echo "install these packages first:$$missing" >&2; exit 1; }; \
fi
endef

$(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION):
	CARGO_TARGET_DIR=$(TOOLS)/build cargo install cargo-deny --version $(CARGO_DENY_VERSION) \
	  --locked --debug --quiet --root $(TOOLS)
	rm -rf $(TOOLS)/build
	touch $@

$(VENV)/aiosmtpd-$(AIOSMTPD_VERSION): 
	@$(call install,$(TEST_PACKAGES))
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet aiosmtpd==$(AIOSMTPD_VERSION)
	touch $@

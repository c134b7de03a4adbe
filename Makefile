# make install   everything into .venv, system packages included      make test        all tests
# make lab       JupyterLab on lesson 1                               make test-long   the soak
# make tour      lesson 1 in the terminal                             make bench       ratios against docker, podman, crun …
# make clean     what these commands made, the practice host included
#
# All of them start from a machine with only python3, make and git.  Packages are listed in pyproject.toml.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first of these that is Python 3.11 or newer.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
SUDO := $(if $(filter 0,$(shell id -u)),,$(shell command -v sudo))
APT := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300
UPDATE := $(APT) -o APT::Update::Error-Mode=any update
FETCH := apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=5 download
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
DONE := $(VENV)/.done
comma := ,
export PATH := $(BIN):$(PATH):/usr/sbin:/sbin

# $(call packages,LIST) → the names in that list of pyproject.toml
packages = $(shell $(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["tool"]["kernelkit"]["debian"]["$(1)"])')

# $(call again,COMMAND) → the command, and once more if it fails: a mirror may be out of order for a moment
again = { $(1) || { sleep 10; $(1); }; }

# $(call apt,PACKAGES) installs those that are missing, one by one when a name is unknown to this release.
define apt
	@missing=$$(for p in $(1); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || echo $$p; done | xargs); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "not Debian: please install what these packages hold: $$missing"; exit 0; fi; \
	if [ "$$(id -u)" != 0 ] && [ -z "$(SUDO)" ]; then echo "not root, no sudo: going on without $$missing"; exit 0; fi; \
	echo "installing $$missing"; $(call again,$(UPDATE)) || true; \
	$(call again,$(APT) install -y --no-install-recommends $$missing >/dev/null) || \
	for p in $$missing; do $(APT) install -y --no-install-recommends $$p >/dev/null || echo "going on without $$p"; done
endef

# $(call unpack,PACKAGE:PROGRAM …) unpacks packages whose program is not on PATH below .venv, and links those of
# their programs that are not on PATH into .venv/bin.  Installing them would start a daemon on a machine with systemd.
define unpack
	@for pair in $(1); do package=$${pair%%:*}; program=$${pair##*:}; \
	command -v $$program >/dev/null && continue; \
	command -v apt-get >/dev/null || { echo "going on without $$program"; continue; }; \
	echo "unpacking $$package for its $$program"; mkdir -p $(VENV)/debian && cd $(VENV)/debian || exit 1; \
	{ $(FETCH) $$package || { $(call again,$(UPDATE)); $(call again,$(FETCH) $$package); }; } && dpkg-deb -x $${package}_*.deb $$package \
	&& rm $${package}_*.deb && for found in $$PWD/$$package/usr/*bin/*; do \
	command -v $${found##*/} >/dev/null || ln -s $$found $(BIN)/; done || echo "going on without $$program"; done
endef

# $(call pip,EXTRAS) installs the checkout itself, editable.
define pip
	@echo "installing .[$(1)] into .venv"
	@$(call again,$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(1)]')
	@$(BIN)/python -m kernelkit.cli.launcher $(BIN)/kernelkit
endef

.PHONY: help install lab tour test test-long bench clean

help:
	@sed -n '1,4s/^# //p' Makefile

install: $(DONE)/lessons

# Without python3-venv, Debian's Python can neither make an environment nor install into one.
$(DONE)/venv:
	@[ -n "$(PYTHON)" ] || { echo "kernelkit needs Python 3.11 or newer"; exit 1; }
	@if [ ! -x $(BIN)/pip ] && ! $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then \
	echo "installing python3-venv"; $(call again,$(UPDATE)) || true; \
	$(APT) install -y --no-install-recommends python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv \
	|| $(APT) install -y --no-install-recommends python3-venv; fi
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV)
	@mkdir -p $(DONE) && touch $@

$(DONE)/lessons: pyproject.toml $(DONE)/venv
	$(call apt,$(call packages,run))
	$(call pip,lessons)
	@touch $@

$(DONE)/test: pyproject.toml $(DONE)/lessons
	$(call apt,$(call packages,test))
	$(call unpack,$(call packages,unpack))
	$(call pip,lessons$(comma)test)
	@touch $@

$(DONE)/bench: pyproject.toml $(DONE)/test
	$(call apt,$(call packages,bench))
	$(call unpack,$(call packages,bench-unpack))
	@touch $@

# JupyterLab asks everybody once whether to fetch its news from the web; in a classroom nobody needs that question.
$(DONE)/lab: $(DONE)/lessons
	@jupyter labextension disable --level=sys_prefix @jupyterlab/apputils-extension:announcements >/dev/null 2>&1 || true
	@touch $@

# Lesson 1 in a browser, as a document that has all the width.  LAB_FLAGS and PORT are yours; without a display no
# browser is opened, only the URL printed.
# The images are made ready here and pulled by the lesson: that is its first step.
PORT ?= 8888
LAB_FLAGS ?= $(if $(DISPLAY)$(WAYLAND_DISPLAY),,--no-browser)
lab: $(DONE)/lab
	@kernelkit up
	@python -m kernelkit.embedded prepare busybox bash
	@python -m kernelkit.embedded prepare debian --background
	@trap 'kill $$lab 2>/dev/null' INT TERM HUP; jupyter lab --log-level WARN --port $(PORT) --ServerApp.answer_yes=True --ServerApp.root_dir=notebooks \
	--LabApp.default_url=/doc/tree/01_what_docker_run_did.ipynb $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_FLAGS) & \
	lab=$$!; while kill -0 $$lab 2>/dev/null; do wait $$lab; done; kernelkit down

tour: install
	@kernelkit tour

# As many at once as there are processors, four at most; the last line is pytest's own summary.
WORKERS ?= $(shell n=$$(nproc); echo $$((n < 2 ? 2 : n > 4 ? 4 : n)))
TESTS ?= tests/pure tests/kernel tests/e2e
test: $(DONE)/test
	@python -m pytest -q -n $(WORKERS) --dist loadfile $(TESTS)

test-long: $(DONE)/test
	@python -m pytest -q --timeout 7200 tests/long

bench: $(DONE)/bench
	@python -m tests.bench $(BENCH_FLAGS)

clean:
	@-[ -x $(BIN)/kernelkit ] && kernelkit down
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

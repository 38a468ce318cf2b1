# minidock: how to run it, test it, install it. `make` or `make help` lists what there is.
#
# Every target does its own set-up: what it needs from apt is named before it is installed, and
# done once. Paths are relative, so that the checkout may lie under any name, spaces included.
# Whoever is not root is asked by sudo where root is needed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
PREFIX ?= /usr/local
TESTS ?= $(wildcard tests/unit tests/privileged tests/conformance)
VM_TESTS ?= $(addprefix tests/privileged/test_,cgroups.py limits.py cgroup_of_container.py)
export CMD YES

# What the checkers remember lies in the environment: a read-only checkout can be checked too.
export RUFF_CACHE_DIR := $(VENV)/cache/ruff
export MYPY_CACHE_DIR := $(VENV)/cache/mypy

PYTHON := "$(VENV)/bin/python"
MINIDOCK := "$(VENV)/bin/minidock"

.PHONY: help
help: ## show this list
	@echo "minidock: a container runtime in pure Python"
	echo
	awk -F ':.*## ' '/^[a-z].*:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	echo
	echo "VENV=$(VENV)  PREFIX=$(PREFIX)  TESTS='$(TESTS)'"

.PHONY: run
run: venv ## a shell in a container; CMD='…' (or no terminal): that one command, by default cat /etc/os-release
	@image=$$(.ci/base-image $(MINIDOCK))
	if [ -t 0 ] && [ -t 1 ] && [ -z "$$CMD" ]; then
		echo "==> minidock run -it $$image /bin/bash     (exit, or Ctrl-D, ends it)" >&2
		# The shell's exit code is that of the last thing typed; only 125 says that minidock failed.
		.ci/root $(MINIDOCK) run -it "$$image" /bin/bash || [ $$? -ne 125 ]
	else
		: "$${CMD:=cat /etc/os-release}"
		echo "==> minidock run --rm $$image /bin/sh -c $${CMD@Q}" >&2
		.ci/root $(MINIDOCK) run --rm "$$image" /bin/sh -c "$$CMD"
	fi

.PHONY: test
test: venv rootfs/busybox.tar rootfs/debian.tar ## all tests; TESTS='tests/unit -k word' for some
	@.ci/need "tests make a container of it" /bin/busybox:busybox-static
	.ci/need "tests look at system calls, terminals, mounts and processes with them" \
		strace tmux mount unshare:util-linux ip:iproute2 ps:procps
	# As root, so caches lie elsewhere: they would belong to root in a checkout that may not. But
	# caches there are, whatever the caller's environment says: a test starts minidock often.
	.ci/root sh -c 'cache=$$(mktemp -d) && trap "rm -rf $$cache" EXIT && \
		PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$$cache $(PYTHON) -m pytest -p no:cacheprovider $(TESTS)'

.PHONY: test-vm
test-vm: venv ## a machine with cgroup v2, booted for it (qemu; KVM not needed); VM_TESTS='…'
	@.ci/need "tests make a container of it" /bin/busybox:busybox-static
	.ci/test-vm "$(VENV)" $(VM_TESTS)

.PHONY: check
check: venv ## what needs no root and takes seconds: ruff, mypy --strict, tests/unit
	@$(PYTHON) -m ruff check --output-format=concise .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest -q -p no:cacheprovider tests/unit

.PHONY: bench
bench: venv rootfs/debian.tar ## minidock beside docker, podman and runc, as far as they are installed
	@.ci/root $(PYTHON) tests/bench/run.py $(BENCH)

.PHONY: install
install: ## minidock for everybody, in PREFIX (sudo make install)
	@.ci/install "$(PREFIX)"

.PHONY: uninstall
uninstall: ## the reverse; images and containers stay (sudo make uninstall)
	@.ci/install --remove "$(PREFIX)"

.PHONY: clean
clean: ## stop and remove all containers and images, and what was made in the checkout; asks first (YES=1)
	@.ci/clean "$(VENV)"

.PHONY: venv
venv: ## the virtual environment (the others make it by themselves)
	@.ci/venv "$(VENV)"

# Root filesystems: make rootfs/busybox.tar, rootfs/debian.tar, rootfs/ubuntu.tar
rootfs/busybox.tar: rootfs/busybox rootfs/pack
	@rootfs/busybox

rootfs/debian.tar rootfs/ubuntu.tar: rootfs/%.tar: rootfs/% rootfs/bootstrap rootfs/pack
	@.ci/root rootfs/$*

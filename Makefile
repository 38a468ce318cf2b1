# minidock: how to run it, test it, install it. `make` or `make help` lists what there is.
#
# Every target does its own set-up: what it needs from apt is named before it is installed, and
# done once. Paths are relative, so that the checkout may lie under any name, spaces included.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
PYTHON := "$(VENV)/bin/python"

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z].*:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: venv
venv: ## the virtual environment in .venv (VENV=…), which the others make by themselves
	@.ci/venv "$(VENV)"

.PHONY: check
check: venv ## what needs no root and takes seconds: ruff, mypy --strict, tests/unit
	@$(PYTHON) -m ruff check --output-format=concise .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest -q tests/unit

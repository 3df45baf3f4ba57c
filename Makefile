# sodalake: `make demo` to see it, `make test` to trust it.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
export UV_PYTHON_DOWNLOADS := never

.PHONY: help install demo test lint types arrows check bench debian clean
help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: .venv/.stamp  ## build .venv with .venv/bin/sodalake in it
.venv/.stamp: pyproject.toml uv.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) sync --frozen --inexact --quiet --all-extras --all-groups
	touch $@

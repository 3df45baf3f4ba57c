# sodalake: `make demo` to see it, `make test` to trust it. Needs Python >= 3.11, make and the package registries.
PYTHON ?= python3
BIN := .venv/bin
# That run the tests: they wait for services and daemons half of the time.
PROCESSES ?= 2
ROOMS := lake sodacut tap uws transfer server jupyter_ext benchmarks
# What some tests drive, as command:package; only what is missing is installed, and only as root.
# (PostgreSQL's own programs are not on the PATH; pg_ctlcluster comes with them.)
DEBIAN := java:openjdk-17-jre-headless mvn:maven chromium:chromium pg_ctlcluster:postgresql stilts:stilts
export UV_PYTHON_DOWNLOADS := never
# Where bytecode is not kept, each of a service's five processes compiles all it imports: half of a start's time.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo test lint types arrows check debian bench format clean

help:  ## this list
	@grep -hE '^[a-z]+:.*  ## ' $(MAKEFILE_LIST) | sed 's/:.*  ## /\t/' | expand -t 12

install: .venv/.installed  ## build .venv, with .venv/bin/sodalake in it
.venv/.installed: pyproject.toml uv.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv sync --frozen --inexact --quiet --all-extras --all-groups
	@touch $@

demo: install  ## make a small lake on local disk, serve it, open a page
	$(BIN)/sodalake demo

test: install debian lint types arrows check  ## lint, types, arrows and tests

lint: install  ## ruff, and the lock file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/uv lock --check --quiet

types: install  ## mypy --strict
	$(BIN)/mypy $(addsuffix /sodalake,$(wildcard $(ROOMS)))

arrows: install  ## who may import whom
	$(BIN)/lint-imports

check: install  ## the tests alone: make check ARGS="-k stamps"
	$(BIN)/pytest --numprocesses=$(PROCESSES) --dist=loadfile $(ARGS)

debian:  ## Debian packages that tests drive (as root; else they are named)
	@missing=; for pair in $(DEBIAN); do command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "Some tests will be skipped; to run them install:$$missing" >&2; fi

bench: install  ## the numbers: make bench NAME=stamps
	$(BIN)/sodalake bench $(or $(NAME),stamps)

format: install  ## let ruff mend what it can
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

clean:  ## remove what was built
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

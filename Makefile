# make PYTHON=python3.12 install   names the interpreter (3.11 or newer)
# make test ARGS="-k settings"     hands arguments to pytest; make demo ARGS="--keep" to the demo

# A python3 that was built without optimisations, as version managers do unless told, takes half as long again for
# everything; the system's own is taken instead where it will do.
PLAIN := import sys, sysconfig; sys.exit(sys.prefix == "/usr" or "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""))
FITS := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
BEST = $(shell python3 -c '$(PLAIN)' 2>/dev/null && /usr/bin/python3 -c '$(FITS)' 2>/dev/null && echo /usr/bin/python3 || echo python3)
# Looked up once, when it is first asked for.
PYTHON ?= $(eval PYTHON := $(BEST))$(PYTHON)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CHECKED := domain orchestrator projections adapters tests $(if $(wildcard benchmarks/*.py),benchmarks)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test bench bench-engine bench-rebuild bench-live bench-pages bench-tailing bench-seals bench-audit bench-compare simulate fuzz chaos \
	kill-projectors lint format lock clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

install: $(STAMP) ## make .venv with the exact versions of requirements.lock and the tillroll command

demo: install ## a whole shop on a fresh data folder: real orders over HTTP, then the audit
	@$(BIN)/tillroll demo $(ARGS)

# Half a minute of faults needs the machine for itself: beside other tests too few orders get through it.
ALONE := tests/chaos/test_short_chaos.py

test: install ## all tests, by a process a core; ARGS="tests/domain -k stock" for some of them in one
ifdef ARGS
	@$(BIN)/pytest -q $(ARGS)
else
	@$(BIN)/pytest -q --numprocesses auto --maxprocesses 4 --dist loadfile --ignore $(ALONE)
	@$(BIN)/pytest -q $(ALONE)
endif

bench: install ## orders a second over HTTP on a fresh shop; not part of the tests
	@$(BIN)/tillroll bench http $(ARGS)

bench-engine: install ## the saga without HTTP; SHAPE=spread, hot, retail or sold-out
	@$(BIN)/tillroll bench engine --shape $(or $(SHAPE),spread) --clients 2000 --role inventory --role watchlist $(ARGS)

bench-rebuild: install ## rebuilding all read models of EVENTS=1000000, beside what reading and copying them costs
	@$(BIN)/python -m benchmarks.rebuild --events $(or $(EVENTS),1000000) $(ARGS)

bench-live: install ## how fast projections follow, and how far behind they are meanwhile
	@$(BIN)/python -m benchmarks.live $(ARGS)

bench-pages: install ## pages of every list at up to ORDERS=10000000 orders, with their plans; needs 17 GB
	@$(BIN)/python -m benchmarks.pages $(if $(ORDERS),--orders $(ORDERS)) $(ARGS)

bench-tailing: install ## sixteen writers and a reader who must never miss one of IDS=1000000
	@$(BIN)/python -m benchmarks.tailing --ids $(or $(IDS),1000000) $(ARGS)

bench-seals: install ## how fast EVENTS=500000 are verified, and what sealing costs those who write
	@$(BIN)/python -m benchmarks.sealing --events $(or $(EVENTS),500000) $(ARGS)

bench-audit: install ## how long an audit takes and how much memory, at EVENTS="250000 500000 1000000"
	@$(BIN)/python -m benchmarks.audit $(if $(EVENTS),--events $(EVENTS)) $(ARGS)

bench-compare: install ## engine and HTTP beside the SQL limit and peers, in turn, with the goals, ROUNDS=5; about an hour
	@$(BIN)/tillroll bench compare --rounds $(or $(ROUNDS),5) $(ARGS)

.PHONY: bench-overload
bench-overload: install ## ten times more orders than can be placed: who gets through, how fast, in how much memory
	@$(BIN)/python -m benchmarks.overload $(ARGS)

.PHONY: bench-scale
bench-scale: install ## a small shop and a large one in turn, ROUNDS=5: 10 million events, 100,000 goods, a long stream
	@$(BIN)/python -m benchmarks.scale --rounds $(or $(ROUNDS),5) $(ARGS)

simulate: install ## N=10000 histories of a simulated shop under fire; SEED=n tells one step by step
	@$(BIN)/python -m tests.simulation.run $(if $(SEED),--seed $(SEED),--histories $(or $(N),10000)) $(ARGS)

fuzz: install ## N=20000 requests made out of the OpenAPI document, as every role; SEED=n repeats them
	@$(BIN)/python -m tests.fuzz.run --requests $(or $(N),20000) $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos: install ## MINUTES=10 of kills and faults on a shop of real processes; SEED=n for the same faults
	@$(BIN)/python -m tests.chaos.run --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(ARGS)

kill-projectors: install ## KILLS=200 of projectors at random moments; live tables must equal a rebuild byte for byte
	@$(BIN)/python -m tests.adapters.kill_projectors --kills $(or $(KILLS),200) $(ARGS)

lint: install ## formatting, lint and types, changing nothing
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy $(CHECKED)

format: install ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: install ## pin anew what pyproject.toml asks for
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--group dev pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header benchmarks/peers/requirements.in -o benchmarks/peers/requirements.lock

clean: ## remove .venv and caches; data folders stay
	@rm -rf $(VENV) .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is touched last, so an install that was interrupted is done again.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Tillroll needs Python 3.11 or newer: make PYTHON=python3.11 install" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "Python's venv module is missing: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || \
		{ echo "Making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv --clear $(VENV); }
	@$(BIN)/uv --version >/dev/null 2>&1 || \
		{ echo "Bringing uv into $(VENV)"; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'; }
	@echo "Installing what requirements.lock names"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q adapters domain orchestrator projections
	@touch $@
	@echo "Installed: $(BIN)/tillroll"

# Two commands are all a newcomer needs: `make demo` and `make test`. Each creates what it needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
#: Processes that share the tests, module by module; each has a broker and a store of its own.
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder
STAMP := $(VENV)/.installed

.PHONY: demo test test-unit test-kafka test-kafka-short chaos bench bench-short bench-loop bench-plots bench-contenders bench-detection bench-detection-short bench-sdk soak lint format types lock dashboards clean check

demo: $(STAMP)  ## replay a year of real traffic through the whole loop, with a bad release in it
	$(BIN)/python -m examples.flights

test: $(STAMP)  ## every test that needs nothing but this machine
	$(PYTEST)

test-unit: $(STAMP)  ## the fast ones: no broker, no store
	$(PYTEST) -m "not broker and not store and not e2e and not kafka and not slow"

# The demo and the embedded stack bring their own broker, so they are left to `make test`.
test-kafka: $(STAMP)  ## what talks to a broker, against Apache Kafka (needs Java 17 and Maven)
	@if command -v java >/dev/null && command -v mvn >/dev/null; then \
	  $(BIN)/python -m tests.kafka.cluster && \
	  SEAWALL_TEST_BROKER=kafka $(BIN)/python -m pytest -m "broker or kafka or e2e" \
	    --ignore tests/e2e/test_demo.py --ignore tests/streams/embedded --ignore tests/seawall/cli/test_up.py; \
	else echo "test-kafka is skipped: it needs Java 17 and Maven (Debian: apt-get install openjdk-17-jre-headless maven)"; fi

# One seed of chaos, because what only a broker that keeps its log can show was found nowhere else. `tests/kafka` always
# has Apache Kafka, so `make test` has run it.
SHORT_KAFKA := tests/e2e/test_loop.py tests/streams/io/test_topics.py \
  'tests/chaos/test_chaos.py::test_what_is_stored_equals_a_recount_whatever_was_killed[42-True]'
test-kafka-short: $(STAMP)  ## what CI runs after `make test`, three minutes: the loop, topics, one seed of chaos
	@if command -v java >/dev/null && command -v mvn >/dev/null; then \
	  $(BIN)/python -m tests.kafka.cluster && \
	  SEAWALL_TEST_BROKER=kafka $(BIN)/python -m pytest $(SHORT_KAFKA); \
	else echo "test-kafka-short is skipped: it needs Java 17 and Maven (Debian: apt-get install openjdk-17-jre-headless maven)"; fi

SEED ?= $(shell date +%s)
BROKER ?= embedded
SECONDS ?= 60
chaos: $(STAMP)  ## kill, pause and cut off real processes, then recount: make chaos SEED=7 BROKER=kafka SECONDS=60
	$(BIN)/python -m tests.chaos --seed $(SEED) --broker $(BROKER) --seconds $(SECONDS)

bench: $(STAMP)  ## every benchmark one after the other, with a table at the end; half an hour
	$(BIN)/python -m benchmarks

bench-short: $(STAMP)  ## the same with fewer runs of everything, some minutes
	$(BIN)/python -m benchmarks --short

bench-loop: $(STAMP)  ## the demo's year through the embedded loop, as fast as it goes
	$(BIN)/python -m benchmarks.loop

bench-plots: $(STAMP)  ## draw what the benchmarks found into docs/images
	$(BIN)/python -m benchmarks.plots --to docs/images

bench-contenders: $(STAMP)  ## Seawall, Faust, Bytewax and Quix Streams do the same work from the same topic
	$(BIN)/python -m benchmarks.contenders

bench-detection: $(STAMP)  ## known faults in real data, Seawall beside others, each in an environment of its own; hours, resumable
	$(BIN)/python -m benchmarks.detection.known_faults

bench-detection-short: $(STAMP)  ## the same in minutes, once the environments are there: one table
	$(BIN)/python -m benchmarks.detection.known_faults --short

bench-sdk: $(STAMP)  ## what logging costs the product
	$(BIN)/python -m benchmarks.sdk

soak: $(STAMP)  ## ten minutes of load at 70 % of what one worker can do
	$(BIN)/python -m benchmarks.soak

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: lint types test  ## what CI runs

dashboards: $(STAMP)  ## rebuild the Grafana JSON from the SQL and the panels
	$(BIN)/seawall dashboards build

lock: $(STAMP)  ## resolve pyproject.toml anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --all-extras --universal --python-version 3.11 --no-header --no-emit-index-url --output-file requirements.lock pyproject.toml

# The stamp is as new as the lock: a second `make` starts at once.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Seawall needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing (Debian: apt-get install python3-venv)"; exit 1; }
	@echo "Installing what Seawall needs into $(VENV) (once, about a minute) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock || \
	  { echo "The installation failed: is there a network, or a package mirror in pip's configuration?"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache

# What one can do here: `make help`. Each target does its own set-up from a clean clone.
.SILENT:
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help install demo lock parts lint types imports test long check coverage coverage-core bench paging recordings violence soak scale mutants format clean

bin := .venv/bin
SECONDS_OF_DEMO ?= 90
# What to hand to pytest: make test TESTS="tests/unit -k ledger"
TESTS ?=
# Many tests wait for brokers and clocks, so two at a time; each process has its own real parts.
PROCESSES ?= 2
# What does not fit into the 40 minutes of `make check`: `make long`, and in full `make violence`.
LONG := tests/acceptance/test_alerts_killed.py $(addprefix tests/violence/test_, \
	cluster_faults.py crash_points.py drill.py escalation_killed.py failed_statements.py \
	failed_statements_for_real.py histories_two_writers.py)
# In the order of collection: the longest files first, so that the end waits for none of them.
PYTEST := $(bin)/pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder
EVENTS ?= 5000000
MINUTES ?= 0
INDIVIDUALS ?= 10000000

help: ## show this list
	sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

install: .venv/.runtime ## make .venv with .venv/bin/facetally and all that the demo needs

demo: .venv/.runtime ## the whole thing in one terminal, nothing else to install
	$(bin)/facetally demo --seconds $(SECONDS_OF_DEMO)

check: lint types imports coverage-core test ## everything that must hold before a change is shared

lint: .venv/.dev ## ruff: rules and format
	echo "== ruff"
	$(bin)/ruff check --quiet --output-format concise .
	$(bin)/ruff format --quiet --diff .

types: .venv/.dev ## mypy, strict, over code and tests
	echo "== mypy"
	$(bin)/mypy --no-error-summary

imports: .venv/.dev ## imports point one way: deploy -> streams, alerts -> monitor
	echo "== import direction"
	$(bin)/pytest -q --no-header --durations=0 --durations-min=60 tests/unit/test_dependencies.py

test: .venv/.dev parts ## all tests but those of `make long`, against the real parts
	echo "== tests"
	$(PYTEST) $(if $(TESTS),$(TESTS),$(addprefix --ignore=,$(LONG)))

long: .venv/.dev parts ## a kill at every step, every failing statement, the drill, three brokers, two writers, fifty kills over a thousand pages: 20 minutes
	$(PYTEST) $(LONG)

parts: ## PostgreSQL, Alertmanager, Prometheus, Java from Debian, Kafka from Maven Central
	scripts/get-parts

coverage-core: .venv/.dev ## every branch of the pure core is taken by its unit tests, in seconds
	echo "== branch coverage of the pure core"
	scripts/coverage-core

coverage: .venv/.dev parts ## tests with branch coverage of what runs in their own process
	$(bin)/pytest --cov --cov-report=term $(TESTS)

bench: .venv/.dev parts ## measure; the results go into docs/performance.md
	$(bin)/python -m tests.benchmarks

paging: .venv/.dev parts ## from Kafka's append to the page at a webhook, into docs/paging.md
	$(bin)/python -m tests.benchmarks.paging

recordings: .venv/.dev parts ## every recording in every order, at every instant, on both databases
	FACETALLY_EXHAUSTIVE=1 $(bin)/pytest tests/acceptance/test_recordings_apply.py tests/acceptance/test_recordings_kafka.py

violence: .venv/.dev parts ## crashes, faults and a million histories in full size, into docs/promises.md: hours
	$(bin)/python -m tests.violence $(TESTS)

soak: .venv/.dev parts ## five million events and more under all faults, for as long as asked: make soak MINUTES=600
	$(bin)/python -m tests.violence.soak --minutes $(MINUTES) --events $(EVENTS)

scale: .venv/.dev parts ## ten million individuals in one processor, into docs/scale.md
	$(bin)/python -m tests.benchmarks.scale --individuals $(INDIVIDUALS)

mutants: .venv/.dev ## mutation testing of the pure core
	scripts/mutants

format: .venv/.dev ## put the code into the house format
	$(bin)/ruff check --quiet --fix-only .
	$(bin)/ruff format --quiet .

lock: .venv/.dev ## resolve the dependencies anew (make lock UPGRADE=--upgrade)
	scripts/lock $(UPGRADE)

clean: ## remove what make made, the downloaded Kafka included
	rm -rf .venv .cache .hypothesis

.venv/.runtime: requirements.lock pyproject.toml scripts/install
	scripts/install runtime

# The development lock holds the runtime one, so this alone makes a whole environment.
.venv/.dev: requirements-dev.lock pyproject.toml scripts/install
	scripts/install dev

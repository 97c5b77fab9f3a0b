# What one can do here: `make help`. Each target does its own set-up from a clean clone.
.SILENT:
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help install demo lock parts lint types imports test check coverage bench kills recordings format clean

SECONDS_OF_DEMO ?= 90
# What to hand to pytest: make test TESTS="tests/unit -k ledger"
TESTS ?=
bin := .venv/bin

help: ## show this list
	sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

install: .venv/.runtime ## make .venv with .venv/bin/facetally and all that the demo needs

demo: .venv/.runtime ## the whole thing in one terminal, nothing else to install
	$(bin)/facetally demo --seconds $(SECONDS_OF_DEMO)

check: lint types imports test ## everything that must hold before a change is shared

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

test: .venv/.dev parts ## all tests, against the real parts
	echo "== tests"
	$(bin)/pytest $(TESTS)

parts: ## PostgreSQL, Alertmanager, Prometheus, Java from Debian, Kafka from Maven Central
	scripts/get-parts

coverage: .venv/.dev parts ## tests with branch coverage of what runs in their own process
	$(bin)/pytest --cov --cov-report=term $(TESTS)

bench: .venv/.dev parts ## measure; the results go into docs/performance.md
	$(bin)/python -m tests.benchmarks

kills: .venv/.dev parts ## 20 SIGKILLs per database on the way through 300,000 events
	FACETALLY_KILLS=20 $(bin)/pytest -s tests/acceptance/test_kills.py

recordings: .venv/.dev parts ## every recording in every order, at every instant, on both databases
	FACETALLY_EXHAUSTIVE=1 $(bin)/pytest tests/acceptance/test_recordings_apply.py tests/acceptance/test_recordings_kafka.py

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

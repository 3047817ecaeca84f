.PHONY: help setup buildkit demo dev test full model chaos replay check lint fmt types gen lock bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

setup: ## make .venv and .tools, where they are out of date
	@scripts/setup

buildkit: ## what builds from git run on, where it can be had: takes root, Go and some minutes
	@scripts/setup --build

demo: ## a stack of its own and what happens on it; the first time it also sets up what builds from git need
	@scripts/setup --build && .venv/bin/hydra-deploy demo

dev: setup ## the same stack, staying up
	@.venv/bin/hydra-deploy dev

test: ## all tests
	@scripts/setup --test && .venv/bin/pytest --numprocesses=3 --dist=loadgroup

full: ## the long modes of all but chaos and model: every point, both databases, thousands of previews; an hour or so
	@scripts/setup --test && HYDRA_TEST_FULL=1 .venv/bin/pytest --numprocesses=3 --dist=loadgroup --ignore=tests/chaos --ignore=tests/integration/model

model: setup ## 300 random sequences against the model, for an hour or so
	@HYDRA_TEST_FULL=1 .venv/bin/pytest tests/integration/model

chaos: setup ## every crash, outage and load in full, for hours; the matrix of crashes goes to build/crashes.md
	@mkdir -p build && scripts/setup --test && HYDRA_TEST_FULL=1 HYDRA_TEST_CRASH_MATRIX=build/crashes.md .venv/bin/pytest -s tests/chaos

replay: setup ## integration tests with a replay at every await; all of them with HYDRA_TEST_FULL=1
	@scripts/replay

check: setup lint types ## everything CI checks before the tests
	@.venv/bin/lint-imports && scripts/gen --check && scripts/buf

lint: setup ## style and format, changing nothing
	@.venv/bin/ruff check && .venv/bin/ruff format --check

fmt: setup ## mend what ruff can mend
	@.venv/bin/ruff check --fix && .venv/bin/ruff format

types: setup ## mypy
	@.venv/bin/mypy

gen: setup ## write gen/ from proto/
	@scripts/gen

lock: setup ## write the locks from pyproject.toml and tools/package.json
	@scripts/lock

bench: setup ## print the tables of the benchmarks
	@.venv/bin/python -m bench

clean: ## remove what the other targets made
	@rm -rf .venv .tools .*_cache .hypothesis build dist && find . -name __pycache__ -prune -exec rm -rf {} +

# Every task of the project. `make demo` and `make test` are the two that a newcomer needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# An inherited PYTHONDONTWRITEBYTECODE would make every start compile the sources again.
unexport PYTHONDONTWRITEBYTECODE
JS := tests/interop/js
JS_STAMP := $(JS)/node_modules/.installed
PYSSM := $(BIN)/pyssm
PYTEST := $(BIN)/python -m pytest
# The order of sets: `make check` has always the same one, `make test` and `make interop` another one in each run.
SEED := $(or $(PYTHONHASHSEED),$(shell echo $$RANDOM))
SITE_VENV := .venv-site
SITE_STAMP := $(SITE_VENV)/.installed
RELEASE_VENV := .venv-release
RELEASE_STAMP := $(RELEASE_VENV)/.installed

.PHONY: help install demo test interop check format lock sim fuzz bench docs site recordings dist audit release clean

help: ## list the tasks
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv with the package, the sandbox and the test tools

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "aws-runas needs Python 3.11 or later; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "making a virtual environment failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## run the main job in the sandbox: credentials, a shell, a forwarded port
	@$(BIN)/python -m aws_runas.sandbox.demo

test: install ## run the tests, but those of interop and slow ones; five at a time, because most of them wait
	@RUNAS_TESTS_EVERY_FIX=1 PYTHONHASHSEED=$(SEED) $(PYTEST) -n 5 --dist loadfile -m "not slow" --ignore tests/interop

interop: install $(PYSSM) $(SITE_STAMP) $(RELEASE_STAMP) $(if $(shell command -v npm),$(JS_STAMP)) ## test against programs that we did not write: browsers, SDKs, databases, shells; and the slow tests
	@PYTHONHASHSEED=$(SEED) $(PYTEST) -n 2 --dist loadfile tests/interop
	@PYTHONHASHSEED=$(SEED) $(PYTEST) -n 4 --dist loadfile -m slow tests/contract tests/integration tests/sim

$(PYSSM): requirements/interop.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --ignore-requires-python -r $<
	@touch $@

# The SDK for JavaScript uses the credential servers; without npm those tests skip and say so.
$(JS_STAMP): tests/interop/js/package-lock.json
	@cd $(JS) && npm ci --silent --no-audit --no-fund && touch node_modules/.installed

check: install ## check formatting, lint, types, and the coverage of the unit and core tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONHASHSEED=0 $(PYTEST) -n 2 --cov --cov-report= tests/unit tests/core
	@$(BIN)/python -m tests.support.coverage_floor .coverage

format: install ## format the sources and fix what ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: ## resolve requirements/dev.in again into versions and hashes
	@$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet pip-tools
	@.venv-lock/bin/pip-compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--allow-unsafe --strip-extras --no-header --no-annotate -o requirements/dev.txt requirements/dev.in
	@.venv-lock/bin/pip-compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--allow-unsafe --strip-extras --no-header --no-annotate -o requirements/site.txt requirements/site.in
	@.venv-lock/bin/pip-compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--allow-unsafe --strip-extras --no-header --no-annotate -o requirements/release.txt requirements/release.in
	@sed -E 's/ \\$$//; /^ +--hash/d' requirements/dev.txt > .venv-lock/constraints.txt # what is tested is what is bundled
	@.venv-lock/bin/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--allow-unsafe --strip-extras --no-header --no-annotate -c .venv-lock/constraints.txt -o requirements/runtime.txt pyproject.toml
	@rm -rf .venv-lock

sim: install ## 1,000 seeds of a bad network in virtual time
	@RUNAS_SIM_SEEDS=1000 $(PYTEST) -n 2 tests/sim

fuzz: install ## feed the protocol's decoders and both channels with what a fuzzer makes of recorded sessions
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check atheris
	@$(BIN)/python -m tests.fuzz -max_total_time=$(or $(FUZZ_SECONDS),60)

bench: install ## measure everything, each beside a peer in the same run; BENCH=startup for one, QUICK=1 for less of each
	@failed=; for name in $(or $(BENCH),startup codec channel forward serve run copy fleet session_start recovery tunnels identity completion); do \
		echo "== bench.$$name"; quick=; if test -n "$(QUICK)" && grep -q '"--quick"' bench/$$name.py; then quick=--quick; fi; \
		$(BIN)/python -m bench.$$name $$quick || failed="$$failed $$name"; \
	done; test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

docs: install ## generate the tables of docs/reference/cli.md and performance.md, and the state diagram of docs/protocol
	@$(BIN)/python -m tests.contract.cli_reference
	@$(BIN)/python -m tests.contract.state_diagram
	@$(BIN)/python -m release.performance_page

$(SITE_STAMP): requirements/site.txt
	@test -x $(SITE_VENV)/bin/python || $(PYTHON) -m venv $(SITE_VENV)
	@$(SITE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

site: $(SITE_STAMP) ## build the documentation site in build/site/html; BENCH_DATA=build/bench draws your own numbers
	@PYTHONPATH=src $(SITE_VENV)/bin/python -m release.site $(or $(BENCH_DATA),docs/reference/bench)
	@cd build/site && ../../$(SITE_VENV)/bin/zensical build --strict --clean

recordings: install $(SITE_STAMP) ## make the pictures of the terminal and of the page again, in the sandbox, for README and the site
	@$(BIN)/python -m release.recordings docs/images $(SITE_VENV)/bin/termtosvg
	@RUNAS_SCREENSHOTS=1 $(PYTEST) -n 0 tests/interop/test_page.py

$(RELEASE_STAMP): requirements/release.txt
	@test -x $(RELEASE_VENV)/bin/python || $(PYTHON) -m venv $(RELEASE_VENV)
	@$(RELEASE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

dist: install $(RELEASE_STAMP) ## build wheel, sdist, Debian package, bill of materials, provenance and SHA256SUMS in dist
	@$(BIN)/python -m release.dist dist $(RELEASE_VENV)

audit: $(RELEASE_STAMP) ## ask for vulnerabilities, withdrawn releases and changed files of what a package bundles
	@$(RELEASE_VENV)/bin/python -m release.audit requirements/runtime.txt

release: install ## tag this commit with the version of the package; push the tag yourself
	@$(BIN)/python -m release.tag

clean: ## remove what the tasks above made
	@rm -rf $(VENV) $(SITE_VENV) $(RELEASE_VENV) .venv-lock .bench-venv build dist .mypy_cache .ruff_cache .hypothesis .pytest_cache .coverage

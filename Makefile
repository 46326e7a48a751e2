# make demo   installs into .venv, indexes the Python language reference and searches it
# make test   installs into .venv, runs all tests but those that take long
# make campaign   the long form of the reliability campaign, hours; VECSEARCH_CAMPAIGN_SEED=2 sets another seed
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# as many processes as cores, each with one thread for matrices
TEST_ENV := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
TEST_ARGS := -n auto --maxprocesses=4 --dist=worksteal

.PHONY: demo test campaign lint docs bench bench-peers clean

demo: $(STAMP)
	@$(BIN)/python -m vecsearch.demo | $(BIN)/vecsearch add - --index python-reference
	@for query in "how are exceptions caught" "repeat while a condition is true" "call a function with keyword arguments"; do \
		echo; echo "\$$ vecsearch search \"$$query\" --index python-reference -k 2"; \
		$(BIN)/vecsearch search "$$query" --index python-reference -k 2 || exit 1; \
	done

test: $(STAMP)
	$(TEST_ENV) $(BIN)/python -m pytest $(TEST_ARGS) -m "not campaign and not slow"

campaign: $(STAMP)
	VECSEARCH_CAMPAIGN=long $(BIN)/python -m pytest -m "campaign or not campaign" -s tests/campaign tests/property/test_index_machine.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/python docs/refresh.py

bench: $(STAMP)
	$(BIN)/python -m tests.bench

bench-peers: $(STAMP)
	$(BIN)/python -m tests.bench.peers

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

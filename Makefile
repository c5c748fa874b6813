# Every target makes what it needs; a second call is fast.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
REAL_READY := $(VENV)/.real-ready
BENCH_READY := $(VENV)/.bench-ready
EDITOR_READY := $(VENV)/.editor-ready

MINUTES ?= $(if $(HOURS),$(shell expr $(HOURS) \* 60),10)
SEED ?= $(shell date +%s)

.PHONY: demo test faults fuzz seeded lint check bench real reference translations lock clean

demo: $(READY)  ## a generated café: import, validate, preview, approve, run, read the log
	$(BIN)/regulars demo

test: lint $(EDITOR_READY)  ## lint, types, import contract, docs check and all tests, on SQLite and PostgreSQL
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

fuzz: $(READY)  ## random rules and cafés, and spoilt files, for long: HOURS=1 or MINUTES=30; a failure names its SEED
	REGULARS_FUZZ=$(MINUTES) REGULARS_FUZZ_SECONDS=$$(( $(MINUTES) * 60 )) REGULARS_FUZZ_SEED=$(SEED) $(BIN)/python -m pytest -n 2 -q \
		tests/vocabulary/test_mutated_files.py tests/evaluation/test_random_rules.py tests/evaluation/test_oracle.py

seeded: $(READY)  ## plants more than sixty mistakes, one after the other, and shows that the tests notice each
	$(BIN)/python -m tests.seeded $(ONLY)

faults: $(READY)  ## every fault of docs/reliability.md, and the table of what became of the messages; NAME=, TRIES=, SEED=
	$(BIN)/python -m tests.faults $(NAME) $(if $(TRIES),--tries $(TRIES)) $(if $(filter command environment,$(origin SEED)),--seed $(SEED))

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(BENCH_READY)  ## every bar of speed beside its opponent, in one run: SIZE=100k, 1m or 10m guests; ONLY=first,daily; results in benchmarks/
	$(BIN)/python -m benchmarks $(if $(SIZE),--size $(SIZE)) $(if $(ONLY),--only $(ONLY)) $(if $(DATABASES),--databases $(DATABASES)) $(if $(ROUNDS),--rounds $(ROUNDS))

real: $(REAL_READY)  ## the starter rules over a year of real household baskets
	$(BIN)/python -m benchmarks.real

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Regulars needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[postgres,dev]'
	touch $@

# The editor's language server comes from npm, and npm from PyPI where the machine has none. Without either its tests
# skip, saying why.
$(EDITOR_READY): tests/editor/package-lock.json $(READY)
	command -v npm >/dev/null || $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[editor]'
	mkdir -p $(VENV)/editor && cp tests/editor/package.json tests/editor/package-lock.json $(VENV)/editor
	export PATH="$$PATH:$(CURDIR)/$(BIN)"; npm ci --prefix $(VENV)/editor --no-audit --no-fund --loglevel=error && touch $@ || echo "The tests of the editor will be skipped: npm could not install its language server."

$(REAL_READY): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[postgres,dev,real]'
	touch $@

$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[postgres,dev,bench]'
	touch $@

reference: $(READY)  ## the pages of the rule language, from the vocabulary
	$(BIN)/regulars words --format markdown > docs/reference.md
	$(BIN)/regulars --lang zh words --format markdown > docs/reference.zh.md

translations: $(READY)  ## what of the program's phrases has no Chinese yet, as entries for the catalogue
	$(BIN)/python tests/house/translations.py

lock: $(READY)  ## renew the pins; the file names no registry
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --universal --all-extras --python-version 3.11 --no-emit-index-url --no-header --no-annotate --quiet --output-file constraints.txt

clean:
	rm -rf $(VENV) demo real .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

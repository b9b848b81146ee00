# Each of these does all its own set-up: a virtual environment, the C extension if there is a compiler.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
SOURCES := pyproject.toml $(wildcard graft/native/*.c graft/native/*.h)

.PHONY: demo test check clean

# A stale extension would hide a compile error: it goes first.
$(STAMP): $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -rf build graft/native/*.so
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/graft demo

test: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	for source in graft/native/*.c; do \
	    $(CC) -std=c11 -O2 -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow -fsyntax-only \
	        -I"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
	        "$$source" || exit 1; \
	done

clean:
	rm -rf $(VENV) build *.egg-info graft/native/*.so

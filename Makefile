# Each of these does all its own set-up: tools by apt where that may be (.ci/tools.txt), a virtual
# environment, the C extension if there is a compiler.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
SOURCES := pyproject.toml $(wildcard graft/kernel/native/*.c graft/kernel/native/*.h)

.PHONY: demo test test-unit test-versions test-thorough test-mutants test-large test-fresh tools native bench check lock fuzz fuzz-fixups clean

# Those of the tests need more than all others; a compiler must be there before the extension is built.
tools:
	@PYTHON=$(PYTHON) VENV=$(VENV) .ci/installer $(if $(filter test%,$(MAKECMDGOALS)),tests,demo)

$(BIN)/pip: | tools
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# A stale extension would hide a compile error: it goes first. The packages are those of requirements-dev.txt, so
# that no new release breaks the tests; with LATEST=1 they are the newest that pyproject.toml allows.
$(STAMP): $(SOURCES) requirements-dev.txt | $(BIN)/pip
	rm -rf build graft/kernel/native/*.so
ifdef LATEST
	$(BIN)/pip install --quiet --upgrade --upgrade-strategy eager --editable '.[dev]'
else
	$(BIN)/pip install --quiet --require-hashes --requirement requirements-dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
endif
	$(BIN)/pip check
	touch $@ $@-demo

# The newest version of each package, for every Python and system.
lock: $(STAMP)
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-annotate --custom-compile-command 'make lock' --extra dev --output-file requirements-dev.txt pyproject.toml

# What tests need takes minutes to install, and the demo needs little of it.
$(STAMP)-demo: $(SOURCES) | $(BIN)/pip
	rm -rf build graft/kernel/native/*.so
	$(BIN)/pip install --quiet --editable .
	touch $@

# The virtual environment may be older than the compiler.
NATIVE := { ls graft/kernel/native/*.so >/dev/null 2>&1 || ! command -v gcc >/dev/null || \
    $(BIN)/pip install --quiet --no-deps --editable .; }

demo: $(STAMP)-demo
	@$(NATIVE)
	$(BIN)/graft demo

# As many processes as processors; each file's tests stay together, for they share what they set up.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile

native: $(STAMP)
	@$(NATIVE)

test: native
	$(PYTEST) $(PYTEST_ARGS)

test-unit: native
	$(PYTEST) -m "not nix and not sanitize and not slow" $(PYTEST_ARGS)

# The lowest version of each package that pyproject.toml allows, if it has a wheel for this Python.
LOWEST := $(VENV)-lowest
$(LOWEST)/.stamp: $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --only-binary :all: --python $(BIN)/python \
	    --extra dev --output-file $(LOWEST)/requirements.txt pyproject.toml
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --requirement $(LOWEST)/requirements.txt
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps --editable .
	touch $@

test-versions: $(LOWEST)/.stamp
	$(LOWEST)/bin/python -m pytest -n auto --dist loadfile -m "not nix and not sanitize and not slow" $(PYTEST_ARGS)

# Hours: properties with 40 times as many examples, and the longest runs of the tests marked thorough.
test-thorough: native
	$(PYTEST) -m "(not nix and not sanitize and not slow) or thorough" --hypothesis-profile=thorough $(PYTEST_ARGS)
	GRAFT_TEST_CASES=20000 $(PYTEST) tests/fixups/fragments/test_trial.py
	GRAFT_TEST_SAMPLES=100000 $(PYTEST) tests/jobs/layers

# One small fault at a time in the code, each tried with the tests that run its line.
MUTANTS ?= --rooms jobs,machine,store --count 100
test-mutants: native
	$(BIN)/python -m tests.mutants $(MUTANTS)

test-large: native
	$(BIN)/python -m pytest -m large $(PYTEST_ARGS)

# The demo and the tests on a Debian that has nothing yet.
SUITE ?= trixie
FRESH_TESTS ?= test
test-fresh:
	.ci/fresh-machine $(SUITE) $(FRESH_TESTS)

# What cannot be installed here is left out by the benchmarks, which say so.
$(STAMP)-bench: $(STAMP)
	$(BIN)/pip install --quiet --editable '.[dev,bench]' || \
	    echo 'some of the peers cannot be installed here'
	touch $@

bench: $(STAMP)-bench
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/english.py --check
	for source in graft/kernel/native/*.c; do \
	    $(CC) -std=c11 -O2 -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow -fsyntax-only \
	        -I"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
	        "$$source" || exit 1; \
	done

# Needs clang. What it finds worth keeping goes to the corpus that the tests run.
FUZZ_SECONDS ?= 600
CORPUS := tests/kernel/native/corpus/match
fuzz:
	mkdir -p build/fuzz/found
	clang -g -O1 -fsanitize=fuzzer,address,undefined -Igraft/kernel/native tests/kernel/native/fuzz_match.c \
	    graft/kernel/native/entries.c graft/kernel/native/match.c graft/kernel/native/windows_*.c -o build/fuzz/match
	build/fuzz/match -artifact_prefix=build/fuzz/ -max_len=700 -max_total_time=$(FUZZ_SECONDS) build/fuzz/found $(CORPUS)
	build/fuzz/match -merge=1 -max_len=700 $(CORPUS) build/fuzz/found

# The parsers of file types, on samples that were damaged.
fuzz-fixups: $(STAMP)
	$(BIN)/python -m tests.fixups.fuzz $(FUZZ_SECONDS)

clean:
	rm -rf $(VENV) $(LOWEST) build *.egg-info graft/kernel/native/*.so

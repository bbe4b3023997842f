# make demo       the whole platform on this machine: trains a small model once, serves it, opens a page
# make test       everything that needs no GPU and no network
# make test-slow  what takes longer
# make voice      how the voice of this package was made and measured: over an hour on two cores
# make test-s3    what reads and writes an object store, against moto's server
# make check      lint, format, types, import rules

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3))
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: demo voice test test-slow test-s3 check chromium flite clean

demo: $(VENV)/installed flite
	@$(BIN)/python -m ray_jobs.demo $(ARGS)

VOICE := runs/voice-tiny
voice: $(VENV)/installed flite
	$(BIN)/python -m ray_jobs.build_speech --recipe voice-tiny --output $(VOICE)/corpus
	$(BIN)/python -m ray_jobs.train --recipe voice --size tiny --data $(VOICE)/corpus --output $(VOICE)
	$(BIN)/python -m opens2s_core.benchmark voice --corpus $(VOICE)/corpus --voice $(VOICE)/voice \
		--json $(VOICE)/voice/benchmark.json --plots $(VOICE)/voice/spectrograms --card $(VOICE)/voice/README.md \
		--made-by 'make voice' --training-data "$$TRAINING_DATA"

define TRAINING_DATA
Machine-made English sentences, spoken by machine (`ray_jobs.build_speech --recipe voice-tiny`): under three hours by
`slt`, a voice of flite (Carnegie Mellon's, free to use for any purpose), and one by 38 other voices of flite and of
espeak-ng (GPL-3, the program; it is not part of the weights). No person was recorded for it.
endef
export TRAINING_DATA

test: $(VENV)/installed chromium
	$(BIN)/python -m pytest $(ARGS)

test-slow: $(VENV)/installed chromium
	$(BIN)/python -m pytest -m slow $(ARGS)

# moto has an environment of its own: it needs a botocore that s3fs does not accept.
MOTO := .venv-moto
test-s3: $(VENV)/installed
	@test -x $(MOTO)/bin/moto_server || \
		{ $(PYTHON) -m venv $(MOTO) && $(MOTO)/bin/pip install --quiet --disable-pip-version-check 'moto[server,s3]>=5'; }
	$(BIN)/python -m tests.moto $(MOTO)/bin/moto_server $(BIN)/python -m pytest -k s3 tests $(ARGS)

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
		{ echo "Python 3.11 or 3.12 is needed, $(PYTHON) is another: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@echo "installing into $(VENV): some minutes the first time"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# Debian's packages, installed where this may be done: $(call debian_package,program,what happens without it)
define debian_package
@command -v $(1) >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $(1) >/dev/null 2>&1; } || \
	echo "no $(1) and no way to install it: $(2)"
endef

chromium:
	$(call debian_package,chromium,the tests of the page will be skipped)

flite:
	$(call debian_package,flite,the demo's replies will not be clear and no voice can be made)

clean:
	rm -rf $(VENV) runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# Everything a newcomer needs: `make demo`, `make test`. Each sets itself up in .venv inside the checkout.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
export PYTHONPATH :=

.PHONY: help demo test bench docs check laws format clean

help:  ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("vdata needs Python 3.11 or newer; say make PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable '.[examples,test]'
	@touch $@

$(VENV)/.tools: $(VENV)/.installed
	$(RUN) -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed  ## real photographs to shards, streamed, augmented, trained on, interrupted, resumed; a picture at the end
	$(RUN) examples/demo.py

test: $(VENV)/.installed  ## the whole test suite
	$(RUN) -m pytest

$(VENV)/.bench: $(VENV)/.installed
	$(RUN) -m pip install --quiet --editable '.[bench]'
	@touch $@

bench: $(VENV)/.bench  ## every case beside its peers: make bench ARGS="--case a1 --photos FOLDER", ARGS=--quick
	$(RUN) benchmarks/bench.py $(ARGS)

$(VENV)/.docs: $(VENV)/.installed
	$(RUN) -m pip install --quiet --editable '.[docs]'
	@touch $@

docs: $(VENV)/.docs  ## the site, in build/site
	$(RUN) -m sphinx -W --keep-going docs build/site

check: $(VENV)/.tools  ## lint, types and the laws: for the one who works on it
	$(RUN) -m ruff check .
	$(RUN) -m pyright
	$(RUN) -m pytest tests/laws tests/test_floors.py tests/test_surface.py -x -q

format: $(VENV)/.tools  ## sort imports and mend what ruff can
	$(RUN) -m ruff check --fix .

clean:  ## remove what was made here
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

# `make demo` trains on real digits and explains them; `make test` checks everything. Both set up .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
# Large memory pages, unless the environment says something about the allocator: docs/performance.md
LARGE_PAGES := GLIBC_TUNABLES=$${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}

SHIPPED := shipped-mnist shipped-phantom

.PHONY: demo demo-pictures $(SHIPPED) test smoke lint docs soak clean help

help:
	@echo "make demo   train on real digits and explain eight of them (9 to 13 minutes on 2 cores)"
	@echo "make demo-pictures FOLDER=... [MINUTES=40]   explain pictures of one's own: a folder for each class, or a .csv"
	@echo "make test   lint, types, tests, and a strict build of the documentation"
	@echo "make smoke  the README's commands, with the newest of everything that can be installed"
	@echo "make lint   lint and types only"
	@echo "make docs   the documentation as a site, in build/docs"
	@echo "make soak   kill a short run 200 times at random: is anything lost?"
	@echo "make shipped-mnist, make shipped-phantom   train an explainer that comes along, and put it into cae_jax/shipped"
	@echo "make clean  remove .venv and caches; runs/ stays"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(STAMP)

demo: $(STAMP)
	$(LARGE_PAGES) $(BIN)/python train.py --config configs/mnist.py
	$(BIN)/python explain.py --workdir runs/mnist
	@echo "Pictures: runs/mnist/pictures (swaps while training); page: runs/mnist/explained/test_to_any/index.html"

MINUTES ?= 40
demo-pictures: $(STAMP)
	@test -n "$(FOLDER)" || \
	  { echo "name a folder with a folder of images for each class, or a .csv: make demo-pictures FOLDER=..." >&2; exit 1; }
	$(LARGE_PAGES) $(BIN)/python train.py --config configs/folder.py --workdir runs/pictures \
	  --config.data.name="$(FOLDER)" --config.train.minutes=$(MINUTES)
	$(BIN)/python explain.py --workdir runs/pictures
	@echo "Pictures: runs/pictures/pictures (swaps while training); page: runs/pictures/explained/test_to_any/index.html"

# A run that is there already is packed, without training, by make shipped-mnist WORKDIR=...
shipped-mnist: CONFIG := mnist_5k
shipped-phantom: CONFIG := phantom_32
$(SHIPPED): shipped-%: $(STAMP)
	$(if $(WORKDIR),,$(LARGE_PAGES) $(BIN)/python train.py --config configs/$(CONFIG).py)
	rm -rf build/shipped/$*
	$(BIN)/python -m cae_jax package --workdir $(or $(WORKDIR),runs/$(CONFIG)) --half --out build/shipped/$* --note \
	  'By `make shipped-$*`, which is `cae train --config $(CONFIG)` and `cae package --workdir runs/$(CONFIG) --half`.'
	rm -rf cae_jax/shipped/$*
	mv build/shipped/$* cae_jax/shipped/$*

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(DEV_STAMP)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs
	@echo "Documentation: build/docs/index.html"

test: lint
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

NEWEST := build/newest
smoke:
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile build
	rm -rf build/dist
	$(NEWEST)/bin/pyproject-build --outdir build/dist .
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile build/dist/*.whl
	$(NEWEST)/bin/python tests/smoke.py

soak: $(STAMP)
	$(BIN)/python -m benchmarks.soak --kills 200

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist *.egg-info

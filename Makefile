# make study   every chapter on embedded data, and the book of that run      make book   the published report
# make test    the tests                                                      make lab    JupyterLab
# make lint    ruff, notebooks included                                       make pdf    the report as a PDF
# make explore the explorer as an app                                         make clean  remove what was built
PYTHON ?= python3
PROFILE ?= quick
DATASET ?=
# Of the explorer: the port and the theme (light or dark), and other options of Voila's, such as --no-browser
PORT ?= 8866
THEME ?= light
VOILA ?=
BIN := .venv/bin
READY := .venv/.ready
BUILD_BOOK := $(BIN)/jupyter-book build --all -W -n --keep-going -q
# The published results are written by the full profile alone.
RESULTS := $(if $(filter full,$(PROFILE)),results,build/$(PROFILE)/results)
# And its chapters, which may measure times, run one after the other.
AT_ONCE := $(if $(filter full,$(PROFILE)),1,2)

# The script that the book brings along, for maths, so that its reader asks no other host.
SCRIPTS := build/scripts/.ready

.PHONY: study book pdf explore test lint lab lock clean
.DELETE_ON_ERROR:

$(READY): requirements.lock pyproject.toml notebooks/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . --editable notebooks
	touch $@

$(SCRIPTS): book/fetch_scripts.py | $(READY)
	$(BIN)/python book/fetch_scripts.py
	touch $@

study: $(READY) $(SCRIPTS)
	$(BIN)/python notebooks/run_study.py --profile $(PROFILE) --out $(RESULTS) --at-once $(AT_ONCE) \
	  $(if $(DATASET),--dataset $(DATASET))
ifeq ($(PROFILE),full)
	$(MAKE) book
else
	rm -rf build/$(PROFILE)/book build/$(PROFILE)/_build
	cp -R index.md references.bib _config.yml _toc.yml book build/$(PROFILE)/
	$(BIN)/flexstudy pages build/$(PROFILE)
	$(BUILD_BOOK) build/$(PROFILE)
	@echo "The book of this run: $(CURDIR)/build/$(PROFILE)/_build/html/index.html"
endif

book: $(READY) $(SCRIPTS)
	$(BUILD_BOOK) --path-output build/published .
	cp build/published/_build/html/_static/front.png results/front.png  # which the README shows
	@echo "The published report: $(CURDIR)/build/published/_build/html/index.html"

# Printed by a Chromium that is installed (CHROMIUM=its path, where it is not found).
pdf: $(READY) $(SCRIPTS)
	$(BUILD_BOOK) --builder singlehtml --path-output build/pdf .
	$(BIN)/python book/make_pdf.py build/pdf/_build/singlehtml/index.html build/flexencoder-reproduced.pdf

# By two processes. Each takes whole files, so that what a file builds once is not built twice.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

# The explorer as an app in the browser, on this machine alone, without the parts that only a built page can show.
explore: $(READY)
	JUPYTER_PATH=notebooks $(BIN)/voila notebooks/explore.ipynb --template=explorer --theme=$(THEME) --port=$(PORT) \
	  --TagRemovePreprocessor.enabled=True --TagRemovePreprocessor.remove_cell_tags=book-only $(VOILA)

lab: $(READY)
	$(BIN)/jupyter lab notebooks

# The newest versions that pyproject.toml allows, but for torch, which is raised by hand. Setuptools is pinned too
# (--allow-unsafe); pip-compile writes it last, so the file is sorted.
lock: $(READY)
	$(BIN)/python -m pip install --quiet pip-tools
	mkdir -p build
	grep '^torch==' requirements.lock > build/constraints.txt
	echo 'soupsieve<3' >> build/constraints.txt  # from 3 on it wants Python 3.11.5, and Debian 12 has 3.11.2
	$(BIN)/pip-compile --quiet --upgrade --all-extras --strip-extras --allow-unsafe --no-emit-find-links \
	  --no-emit-index-url --no-emit-options --no-header --no-annotate -c build/constraints.txt \
	  -o requirements.lock pyproject.toml notebooks/pyproject.toml
	sed -i.old -e 's/^\(torch==[0-9.]*\)+.*/\1/' -e '/^#/d' -e '/^$$/d' requirements.lock && rm requirements.lock.old
	LC_ALL=C sort -t= -k1,1 -o requirements.lock requirements.lock

clean:
	rm -rf .venv build .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info notebooks/*.egg-info

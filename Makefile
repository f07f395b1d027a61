# `make demo` and `make test` need Python 3.10 or newer; they make their own environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/toymaps_best
MNIST ?= datasets/mnist

.PHONY: demo test chromium browser faults fingerprints gpu check clean

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --quiet --editable '.[dev]'
	touch $@

datasets/toymaps: | $(VENV)/ready
	$(BIN)/unit data toymaps

demo: $(VENV)/ready datasets/toymaps
	@if [ -f $(DEMO)/model.safetensors ]; then echo "$(DEMO) holds a trained model; delete it to train again"; \
	else $(BIN)/unit train --config toymaps_best --resume auto; fi
	@echo; echo "Translating the held-out photographs in datasets/toymaps/testA:"
	@$(BIN)/unit translate --model $(DEMO) --input datasets/toymaps/testA --output $(DEMO)/translated --overwrite
	@echo; echo "How near they are to the true maps (pixels within 16 of 255; balanced over the five classes):"
	@$(BIN)/unit evaluate --model $(DEMO) --metrics maps,round_trip --grid $(DEMO)/grid.png
	@echo; echo "Open $(DEMO)/grid.png: photographs, their translations, the true maps."
	@echo "All translations are in $(DEMO)/translated, how the training went is in $(DEMO)/samples."
	@echo "Next, your own two folders: put images into mine/trainA and mine/trainB, then"
	@echo "  $(BIN)/unit train --config maps_small --data.root mine --run.output runs/mine"

test: $(VENV)/ready
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Reports in a headless Chromium: what is on the path or named by CHROMIUM, else Debian's, which takes root to install.
browser: $(VENV)/ready chromium
	$(BIN)/python -m pytest -m browser tests/report

chromium:
	@for name in "$(CHROMIUM)" chromium chromium-browser google-chrome; do \
	  command -v "$$name" >/dev/null 2>&1 && exit 0; done; \
	command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && \
	  { apt-get install -y --no-install-recommends chromium || \
	    { apt-get update && apt-get install -y --no-install-recommends chromium; }; } >/dev/null 2>&1 && exit 0; \
	echo "no Chromium: install one (Debian: apt-get install chromium), or set CHROMIUM to its path"; exit 1

# The whole proof of docs/reliability.md, in under 30 minutes on two cores.
faults: $(VENV)/ready datasets/toymaps
	$(BIN)/python -m pytest -m slow
	$(BIN)/unit prove-resume --config toymaps --kills 50
	$(BIN)/unit prove-resume --config toymaps --kills 50 --processes 2

# Do short trainings of every config end with the recorded weights? Minutes; see the head of the file.
fingerprints: $(VENV)/ready datasets/toymaps
	$(BIN)/python benchmarks/fingerprints.py --mnist $(MNIST)

# On a machine with a CUDA GPU: its tests, the step's speed, exact resume, and maps at 256×256 with its score, in at most
# 25 minutes; figures and table in runs/gpu. Without a GPU it says so in one line.
gpu: $(VENV)/ready
	$(BIN)/python benchmarks/gpu.py --minutes 25 --json runs/gpu/gpu.json

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

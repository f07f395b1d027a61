# `make demo` and `make test` need Python 3.10 or newer; they make their own environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/toymaps
# One process; without these flags accelerate would say that it takes them as defaults.
LAUNCH := --quiet --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
	--num_cpu_threads_per_process $(shell getconf _NPROCESSORS_ONLN)

.PHONY: demo test faults check clean

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

datasets/toymaps: | $(VENV)/ready
	$(BIN)/python datasets/prepare.py toymaps

demo: $(VENV)/ready datasets/toymaps
	@if [ -f $(DEMO)/model.safetensors ]; then echo "$(DEMO) holds a trained model; delete it to train again"; \
	elif [ -f $(DEMO)/config.yaml ]; then $(BIN)/accelerate launch $(LAUNCH) train.py --resume $(DEMO); \
	else $(BIN)/accelerate launch $(LAUNCH) train.py --config toymaps.yaml; fi
	@echo; echo "Translating the held-out photographs in datasets/toymaps/testA:"
	$(BIN)/python translate.py --model $(DEMO) --input datasets/toymaps/testA --output $(DEMO)/translated --overwrite
	@echo; echo "Their share of right pixels (within 16 of 255), and the mean over the five classes (balanced):"
	$(BIN)/python -m unit evaluate --model $(DEMO) --root datasets/toymaps --palette toymaps --grid $(DEMO)/grid.png
	@echo; echo "Open $(DEMO)/grid.png: photographs, their translations, the true maps."
	@echo "All translations are in $(DEMO)/translated, how the training went is in $(DEMO)/samples."
	@echo "Next, your own two folders: put images into mine/trainA and mine/trainB, then"
	@echo "  $(BIN)/accelerate launch train.py --config maps_small.yaml --data.root mine --run.output runs/mine"

test: $(VENV)/ready
	$(BIN)/python -m pytest

# The whole proof of docs/reliability.md, in under 30 minutes on two cores.
faults: $(VENV)/ready datasets/toymaps
	$(BIN)/python -m pytest -m slow
	$(BIN)/python -m unit prove-resume --config toymaps.yaml --kills 50
	$(BIN)/python -m unit prove-resume --config toymaps.yaml --kills 50 --processes 2

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

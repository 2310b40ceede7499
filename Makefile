PYTHON ?= python3
BIN := .venv/bin

.PHONY: train gpu-train gpu-check test coverage docs clean

train: .venv/installed ## train on the digits, which need no download
	$(BIN)/python main.py --preset digits --train True --max_minutes 2
	@echo "Look at samples/training.gif. More digits: $(BIN)/python main.py --dataset digits"

gpu-train: .venv/installed-gpu ## the same on a GPU, which needs NVIDIA's driver
	$(BIN)/python main.py --preset digits --train True --max_minutes 2 --device gpu

gpu-check: .venv/installed-gpu ## try each trainer in each precision on the GPU, and print a table
	$(BIN)/python -m benchmarks.gpu

test: .venv/installed-dev ## check the style and run the tests, as CI does
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest -q -n 2 --dist worksteal

coverage: .venv/installed-dev ## run the tests and list the lines that they do not reach
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n 2 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

.venv/installed: requirements.txt
	$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and 'Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

.venv/installed-gpu: requirements-gpu.txt .venv/installed
	$(BIN)/python -m pip install --quiet -r requirements-gpu.txt
	touch $@

.venv/installed-dev: requirements-dev.txt requirements-onnx.txt .venv/installed
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

docs: .venv/installed ## write the pages that are made from the tables
	$(BIN)/python -m messages.help > docs/flags.md

clean: ## delete the environment, and no run or picture
	rm -rf .venv

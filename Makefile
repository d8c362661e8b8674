# The commands that people and CI share. Variables: ARCHIVE, LIMIT, RECIPE, WEIGHTS, CHECK=1, PYTHON, ARGS, WORKERS.
.DEFAULT_GOAL := help
.PHONY: help demo up deploy test test-core nightly lint type fmt clean

VENV := .venv
RUN := $(VENV)/bin/python -m
CORE := .venv-core/bin/python -m
WORKERS := 2

help:
	@echo "make demo              images -> dataset -> model -> report -> page, on a local stack, until Ctrl-C"
	@echo "make demo CHECK=1      the same, tested once through both APIs, then stopped"
	@echo "     ARCHIVE=DIR|isic  images as isic-cli or the challenge leaves them, or the real archive (default: synthetic)"
	@echo "     LIMIT=N RECIPE=NAME WEIGHTS=imagenet|none|PATH"
	@echo "make test              what CI tests, by two processes (ARGS='-k splits', WORKERS=0 for one)"
	@echo "make test-core         lesion_core in an environment without Prefect and Gradio"
	@echo "make nightly           every test, in both environments, more of each, and ten planted faults"
	@echo "make lint  type  fmt   what CI checks, and the formatter"
	@echo "make up  deploy        the stack alone; the deployments onto the server of PREFECT_API_URL"

$(VENV)/.installed: pyproject.toml uv.lock scripts/install
	@PYTHON="$(PYTHON)" scripts/install --no-dev
	@touch $@

$(VENV)/.installed-dev: pyproject.toml uv.lock scripts/install
	@PYTHON="$(PYTHON)" scripts/install --group dev
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	@$(VENV)/bin/lesion demo $(if $(ARCHIVE),--archive "$(ARCHIVE)") $(if $(LIMIT),--limit $(LIMIT)) \
	  $(if $(RECIPE),--recipe "$(RECIPE)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(filter 1,$(CHECK)),--check)

up: $(VENV)/.installed
	@$(VENV)/bin/lesion up $(if $(ARCHIVE),--archive "$(ARCHIVE)")

deploy: $(VENV)/.installed
	@$(VENV)/bin/lesion deploy

test: $(VENV)/.installed-dev
	$(RUN) pytest -n $(WORKERS) $(ARGS)

.venv-core/.installed: pyproject.toml uv.lock scripts/install-core
	UV_PROJECT_ENVIRONMENT=.venv-core scripts/install-core
	@touch $@

# Proves the boundary: lesion_core installs, and each of its modules and tests imports, without the layers above it.
test-core: .venv-core/.installed
	@found=$$($(CORE) pytest --collect-only -q tests/core) || { echo "$$found"; exit 1; }; echo "$$found" | tail -n 1
	$(CORE) pytest -n $(WORKERS) tests/core/test_imports.py tests/core/test_jobs.py tests/core/stores tests/core/serving $(ARGS)

# All that CI leaves out; CONTRIBUTING lists it. LESION_TEST_KILLS: how often a training is killed.
nightly: $(VENV)/.installed-dev .venv-core/.installed
	LESION_TEST_KILLS=$${LESION_TEST_KILLS:-8} $(RUN) pytest -n $(WORKERS) --nightly --durations=30
	$(CORE) pytest -n $(WORKERS) --nightly tests/core
	$(RUN) tests.architecture.mutations
	rm -rf .lesion/nightly
	$(VENV)/bin/lesion demo --check --home .lesion/nightly

lint: $(VENV)/.installed-dev
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(VENV)/bin/lint-imports
	$(RUN) mypy
	$(VENV)/bin/codespell
	$(VENV)/bin/yamllint --strict .
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	$(VENV)/bin/hadolint docker/Dockerfile docker/minio/Dockerfile

type: $(VENV)/.installed-dev
	$(RUN) mypy

fmt: $(VENV)/.installed-dev
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

clean:
	rm -rf $(VENV) .venv-core .lesion

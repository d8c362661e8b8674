# The commands that people and CI share. Variables: ARCHIVE, LIMIT, RECIPE, WEIGHTS, CHECK=1, PYTHON, ARGS.
.DEFAULT_GOAL := help
.PHONY: help demo up deploy test test-core lint type fmt clean

VENV := .venv
RUN := $(VENV)/bin/python -m

help:
	@echo "make demo              images -> dataset -> model -> report -> page, on a local stack, until Ctrl-C"
	@echo "make demo CHECK=1      the same, tested once through both APIs, then stopped"
	@echo "     ARCHIVE=DIR|isic  images as isic-cli or the challenge leaves them, or the real archive (default: synthetic)"
	@echo "     LIMIT=N RECIPE=NAME WEIGHTS=imagenet|none|PATH"
	@echo "make test              all tests            (ARGS='-k splits')"
	@echo "make test-core         lesion_core's tests, in an environment without Prefect and Gradio"
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
	$(RUN) pytest $(ARGS)

# Proves the boundary: the ground floor installs and passes without the floors above it.
test-core:
	UV_PROJECT_ENVIRONMENT=.venv-core scripts/install-core
	.venv-core/bin/python -m pytest tests/core $(ARGS)

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

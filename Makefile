# Everything a person does with Zoco. `make` alone explains.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
.NOTPARALLEL:

# The newest names first fail on a machine that has only one Python, so the plain name comes first and the rest help where it is too old.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; exit; }; done; \
	command -v python3)
BIN := .venv/bin

# Stopping what was never started must not install anything first.
zoco = if [ -x $(BIN)/zoco ]; then $(BIN)/zoco $(1); else echo "Nothing was ever started from this checkout."; fi

# Development tools that come as Go modules, built once into .tools/bin. What needs one says so; running the shop needs none.
GO_TOOLS := \
	github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4 \
	github.com/bojand/ghz/cmd/ghz@v0.120.0 \
	github.com/stripe/stripe-mock@v0.203.0 \
	github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2@v2.33.0 \
	github.com/oasdiff/oasdiff@v1.37.0

.PHONY: help up down reset status test gen lint check tools bench parity conformance chaos chaos-short chaos-mutations figures lock environment environment-dev

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: environment ## Start the shop on this machine; DETACH=1 returns when it is ready
	@exec $(BIN)/zoco up $(if $(filter-out 0,$(DETACH)),--detach)

down: ## Stop it
	@$(call zoco,down)

reset: ## Stop it and delete its data
	@$(call zoco,reset)

status: ## Show what runs
	@$(call zoco,status)

test: environment-dev ## Run every test; ARGS="-k order" picks
	@$(BIN)/pytest $(ARGS)

gen: environment-dev ## Write generated/ anew from the contracts
	@$(BIN)/python -m mesh.compiler

lint: environment-dev ## Style, types, architecture and contracts
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "Some files are not formatted: run .venv/bin/ruff format ."; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@mkdir -p .cache && { $(BIN)/lint-imports --no-logo > .cache/imports.txt || { cat .cache/imports.txt; exit 1; }; }
	@$(BIN)/python -m mesh.compiler.buf lint
	@echo "lint: 0 findings"

# What Envoy itself says of the configurations (--mode validate), and a strict parse into its protos.
ENVOY_TESTS := tests/mesh/test_envoy_protos.py tests/gateway/test_emission.py tests/gateway/test_sidecar_emission.py

check: lint ## lint, and: generated/ is up to date, Envoy takes it, no client of the contracts breaks, no RPC opens unnamed
	@$(BIN)/python -m mesh.compiler --check
	@$(BIN)/pytest -q --no-header $(ENVOY_TESTS) > .cache/envoy.txt || { cat .cache/envoy.txt; exit 1; }
	@echo "Envoy's configurations: $$(tail -n 1 .cache/envoy.txt)"
	@$(BIN)/python -m mesh.compiler.buf breaking
	@$(BIN)/python -m gateway.openapi.breaking
	@$(BIN)/python -m mesh.compiler.widening
	@echo "check: passed"

tools: ## Build the pinned development tools into .tools/bin
	@command -v go >/dev/null || $(PYTHON) requirements/install.py go
	@mkdir -p .tools/versions
	@for tool in $(GO_TOOLS); do \
		name=$${tool%@*}; name=$${name##*/}; version=$${tool#*@}; \
		if [ "$$(cat .tools/versions/$$name 2>/dev/null)" != "$$tool" ] || [ ! -x .tools/bin/$$name ]; then \
			echo "Building $$name $$version"; \
			PATH="$$PATH:$(CURDIR)/$(BIN)" GOBIN="$(CURDIR)/.tools/bin" go install -trimpath "$$tool" 2>.tools/install.log \
				|| { cat .tools/install.log >&2; echo "$$name $$version could not be built." >&2; exit 1; }; \
			echo "$$tool" > .tools/versions/$$name; \
		fi; \
	done
	@echo "tools: $(words $(GO_TOOLS)) in .tools/bin"

bench: environment-dev ## Measure against the targets; NAME=pipeline picks one, BENCH_SHORT=1 only shows that it works
	@$(BIN)/python -m tests.bench $(NAME)

parity: environment-dev ## Ask pipeline, edge and sidecars about every method and identity: all must decide alike
	@$(BIN)/python -m tests.parity

conformance: environment-dev ## Ask a shop of its own what the specifications say of its REST surface; ONLY=streams picks by subject or name
	@$(BIN)/python -m tests.conformance

chaos: environment-dev ## Kill everything everywhere and count what is lost; SEED=, ONLY= repeat a part, PART=crashes or faults does a half. Takes an hour or more
	@$(BIN)/python -m tests.chaos

chaos-short: environment-dev ## The same in a few minutes: every crash point once, and five faults
	@$(BIN)/python -m tests.chaos --short

chaos-mutations: environment-dev ## Whether the same sees anything: break a rule of delivery, and it must turn red
	@$(BIN)/python -m tests.chaos.mutations

figures: environment-dev ## Measure a shop of its own: start, memory, orders, reads
	@$(BIN)/python -m tests.bench.figures

# UPGRADE=1 takes the newest versions; without it only what pyproject.toml asks for changes.
LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-config --no-emit-index-url --no-header --no-annotate \
	--python-version 3.11 $(if $(UPGRADE),--upgrade)

lock: environment-dev ## Pin what pyproject.toml asks for, with hashes, in requirements/
	@$(LOCK) pyproject.toml --output-file requirements/runtime.txt
	@$(LOCK) pyproject.toml --extra dev --constraints requirements/runtime.txt --output-file requirements/dev.txt
	@$(LOCK) --group go --output-file requirements/go.txt
	@grep -c == requirements/*.txt

environment:
	@$(if $(PYTHON),,echo "Zoco needs Python 3.11 or newer; there is none on PATH." >&2; exit 1)
	@$(PYTHON) requirements/install.py runtime

environment-dev:
	@$(if $(PYTHON),,echo "Zoco needs Python 3.11 or newer; there is none on PATH." >&2; exit 1)
	@$(PYTHON) requirements/install.py dev

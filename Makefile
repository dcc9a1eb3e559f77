# Perennial: `make demo` shows the whole loop, `make test` runs every test. Both set up all that they need.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
PY := .venvs/operator/bin
# xdist workers for unit and API tests
JOBS ?= 2

.PHONY: help
help: ## This list
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: demo
# ENGINE=kubeflow: its trainings run in a real Kubeflow Pipelines.
demo: $(if $(filter kubeflow,$(ENGINE)),kubeflow-node,cluster) images env-operator env-components ## The whole loop on a real cluster and real patients, about 10 minutes
	@eval "$$(hack/cluster/env)"
	exec $(PY)/python -m hack.demo

.PHONY: test test-unit test-api test-e2e test-rollouts test-cluster test-drift test-training test-own test-kubeflow test-feast
test: lint generated test-unit test-api test-e2e ## Every test: lint, generated files, unit, API server, real node
	@echo "all tests passed"

test-unit: env-operator env-components env-serving env-clients ## Pure decisions, components and predictor
	@$(PY)/pytest -n $(JOBS) -q tests/unit --ignore tests/unit/components --ignore tests/unit/serving
	.venvs/serving/bin/pytest -n $(JOBS) -q tests/unit/serving
	@# Each in a process of its own: their clients define the same messages.
	for file in tests/clients/test_*.py; do .venvs/clients/bin/pytest -q "$$file"; done
	hack/venv bench-mlflow
	.venvs/components/bin/pytest -n $(JOBS) -q tests/unit/components

test-api: env-operator programs ## Controllers against a real API server, no kubelet
	@eval "$$(hack/cluster/env)"
	$(PY)/pytest -n $(JOBS) -q tests/api

test-e2e: addons kubeflow-node images env-operator env-components ## The line through, on the node; once more with the operator killed again and again; a run in Kubeflow
	@eval "$$(hack/cluster/env)"
	$(PY)/pytest -n 3 --dist loadgroup -q tests/e2e tests/kubeflow/test_short.py

test-rollouts: addons images env-operator env-components ## Every strategy by both ways of sharing traffic, to every end, under load, about 13 minutes
	@eval "$$(hack/cluster/env)"
	$(PY)/pytest -n 3 --dist load -q tests/rollouts

test-drift: cluster images env-operator env-components env-serving ## Monitors, alerts and dashboards by real Prometheus, and monitors on the node, about 8 minutes
	@eval "$$(hack/cluster/env)"
	$(PY)/pytest -n 2 --dist loadfile -q tests/drift tests/monitoring

test-training: cluster images env-operator env-components ## Trainings on the node from each source, by each trigger, past each gate, about 5 minutes
	@eval "$$(hack/cluster/env)"
	hack/venv bench-mlflow
	$(PY)/pytest -q tests/training

test-own: cluster images env-operator env-components ## Pipelines of one's own, by PyTorch and TensorFlow, each in its image, about 6 minutes
	@hack/example-images
	eval "$$(hack/cluster/env)"
	$(PY)/pytest -q tests/own

test-kubeflow: kubeflow-node images env-operator env-components ## Trainings that a real Kubeflow Pipelines runs, about 8 minutes
	@hack/example-images torch
	eval "$$(hack/cluster/env)"
	$(PY)/pytest -q tests/kubeflow

test-feast: cluster images env-operator env-components env-feast ## Features of a Feast repository, looked up and trained on, on the node, about 4 minutes
	@.venvs/feast/bin/pytest -q tests/feast/lookup
	hack/images feast
	eval "$$(hack/cluster/env)"
	$(PY)/pytest -q tests/feast/node

test-cluster: ## The node's own life, on a second node: up, killed half-way, up again, down leaves nothing
	@hack/venv operator
	$(PY)/pytest -q tests/cluster

.PHONY: cluster kubeflow kubeflow-node addons cluster-down images programs system-packages
system-packages:
	@hack/system-packages

programs: system-packages
	@hack/cluster/build

cluster: programs ## A real cluster: kind where Docker runs, otherwise a bare node in a namespace of its own
	@hack/cluster/up

addons: cluster ## Puts a Gateway API implementation and metrics-server into the cluster, for tests of rollouts
	@hack/cluster/addons

kubeflow-node: cluster ## A real Kubeflow Pipelines beside the bare node, its pods on it
	@hack/kubeflow/up

kubeflow: cluster ## The published Kubeflow Pipelines on the kind cluster
	@hack/kubeflow/published

cluster-down: ## Ends the cluster and leaves nothing behind
	@hack/cluster/down

images: system-packages ## Builds the operator, components and serving images and loads them
	@hack/images

.PHONY: env-operator env-components env-serving env-feast env-clients
env-operator env-components env-serving env-feast env-clients: env-%: system-packages
	@hack/venv $*

.PHONY: crds generated lint format lock clean
crds: env-operator env-components ## Writes the generated files: CRDs, their reference, dashboards, the compiled pipeline, gRPC's messages
	@$(PY)/python -m perennial.api.crdgen
	$(PY)/python -m perennial.api.reference
	$(PY)/python -m hack.dashboards
	.venvs/components/bin/python -m perennial_components.pipelines.compile
	hack/stubs

generated: env-operator env-components ## Fails where a generated file is not current
	@$(PY)/python -m perennial.api.crdgen --check
	$(PY)/python -m perennial.api.reference --check
	$(PY)/python -m hack.dashboards --check
	.venvs/components/bin/python -m perennial_components.pipelines.compile --check
	hack/stubs --check

lint: env-operator env-components env-serving ## ruff, mypy --strict, import-linter
	@$(PY)/ruff check
	$(PY)/ruff format --check
	$(PY)/mypy operator hack/demo hack/dashboards --exclude heldout
	.venvs/components/bin/mypy components
	.venvs/serving/bin/mypy serving
	PYTHONPATH=operator:components:serving $(PY)/lint-imports

format: env-operator ## Formats the code
	@$(PY)/ruff check --fix-only
	$(PY)/ruff format

lock: ## Locks the environments anew (requirements/*.txt)
	@hack/lock

bench-%: ## serving, drift, training, operator or kubeflow: a table, and figures in benchmarks/results/
	@case $* in serving) env=serving ;; *) env=operator ;; esac
	hack/venv $$env
	.venvs/$$env/bin/python -m benchmarks.$*

clean: ## Removes environments and build output (the cluster and its cache stay)
	@rm -rf .venvs build .mypy_cache .ruff_cache .pytest_cache .hypothesis

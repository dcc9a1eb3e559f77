"""Kubeflow Pipelines as the engine: what is decided, what is sent, and how each fault of its API ends."""

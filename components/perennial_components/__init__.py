"""The built-in pipeline: Kubeflow components over plain functions, and the runner that executes them in a Job.

A component's folder has ``component.py``, the thin Kubeflow wrapper, and ``core.py``, which knows nothing of Kubeflow.
"""

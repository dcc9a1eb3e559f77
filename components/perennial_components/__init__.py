"""The built-in pipeline: Kubeflow components over plain functions, and the runner that executes them in a Job.

A component's folder has ``component.py``, the thin Kubeflow wrapper, and ``core.py``, which knows nothing of Kubeflow.
"""

import os

# onnxruntime's Linux builds report every session, with the model's names, to their maker unless told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

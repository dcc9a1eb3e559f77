"""The predictor: one model version behind the Open Inference Protocol v2, with counters for drift and rollout."""

import os

__version__ = "0.1.0"

# onnxruntime's Linux builds report sessions to their maker unless told not to, before they are loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# A pod has about one core, and its rows are few: threads would spin on what is not theirs.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

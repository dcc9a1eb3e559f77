"""The predictor: one model version behind the Open Inference Protocol v2, with counters for drift and rollout."""

__version__ = "0.1.0"

"""The predictor: one model version behind the Open Inference Protocol v2, counting what drift and rollout need to know."""

__version__ = "0.1.0"

"""The four custom resources as pydantic models: the source of crds/*.yaml and of every read of an object."""

from perennial.api.common import VERSION, Object
from perennial.api.deployment import ModelDeployment
from perennial.api.drift import DriftMonitor
from perennial.api.training import ModelTraining
from perennial.api.version import ModelVersion

KINDS: tuple[type[Object], ...] = (ModelTraining, ModelVersion, ModelDeployment, DriftMonitor)

__all__ = ["KINDS", "VERSION", "DriftMonitor", "ModelDeployment", "ModelTraining", "ModelVersion"]

"""Pipelines composed of the components, and their compiled form."""

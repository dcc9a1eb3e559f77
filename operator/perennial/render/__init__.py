"""Manifests of the children, as pure functions."""

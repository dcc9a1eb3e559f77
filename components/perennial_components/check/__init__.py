"""Refuses data that a model should not be trained on."""

"""Perennial: models that come back."""

"""Counts what the training data and the predictions looked like, for drift detection."""

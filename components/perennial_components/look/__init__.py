"""Finds out which data a run is about, so that what was made of the same data can be taken from Kubeflow's cache."""

"""Reads the data of a run from the store."""

"""Uploads everything a run made and writes its account."""

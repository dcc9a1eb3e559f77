"""Measures the exported model, and the champion, on held-out rows."""

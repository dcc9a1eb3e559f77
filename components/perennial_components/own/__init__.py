"""A user's own pipeline: it is executed, and what it claims is measured again."""

FOLDER = "claimed"
"""Under a run's output: where its own pipeline writes."""

"""A user's own pipeline: it is executed, and what it claims is measured again."""

from perennial.contracts.names import CLAIMED as FOLDER

__all__ = ["FOLDER"]

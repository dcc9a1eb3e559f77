"""How a new revision takes over, and how it is taken back. :mod:`.decide` is the way in."""

"""What a new version is measured by, and what the answers are worth. :mod:`.judge` is the way in."""

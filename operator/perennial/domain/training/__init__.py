"""From a trigger to a registered version. :mod:`.decide` is the way in."""

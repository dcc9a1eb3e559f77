"""From a text to how often each known term is in it: one way for training and serving."""

import re

_TERM = re.compile(r"\w\w+")


def terms_of(text: str) -> list[str]:
    """The text's terms in their order: all runs of two or more word characters (Unicode), in lower case."""
    return _TERM.findall(text.lower())


class TermCounts:
    """Counts the ``terms`` in texts."""

    def __init__(self, terms: tuple[str, ...]) -> None:
        self._places = {term: place for place, term in enumerate(terms)}

    def __call__(self, text: str) -> list[float]:
        """How often each term is in ``text``, in the order of the terms."""
        counts = [0.0] * len(self._places)
        for term in terms_of(text):
            if (place := self._places.get(term)) is not None:
                counts[place] += 1.0
        return counts

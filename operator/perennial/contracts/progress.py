"""How far a run is: ``progress.json`` in the store, overwritten as it goes on. Only what is shown rests on it."""

import msgspec


class Progress(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Component ``index`` (from 1) of ``components`` is at work; ``trial`` of ``trials`` and the ``best`` value of
    ``metric`` so far where it searches. ``at`` is when this was written, Unix seconds.
    """

    component: str
    index: int
    components: int
    at: float
    trial: int = 0
    trials: int = 0
    metric: str = ""
    best: float | None = None

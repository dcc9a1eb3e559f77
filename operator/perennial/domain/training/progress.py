"""How far a run is, as it says itself, in a few words."""

import msgspec

from perennial.contracts.progress import Progress

_LIMIT = 200


def read(data: bytes) -> Progress | None:
    """The progress from its JSON; None where that is broken, for nothing rests on it."""
    try:
        return msgspec.json.decode(data, type=Progress)
    except msgspec.DecodeError:
        return None


def told(progress: Progress | None) -> str:
    """Such as ``tune 4/9: trial 7/20, best roc_auc 0.912``; empty where nothing is known."""
    if progress is None:
        return ""
    parts = [f"trial {progress.trial}/{progress.trials}"] if progress.trials else []
    if progress.best is not None:
        parts.append(f"best {progress.metric} {progress.best:.4g}")
    where = f"{progress.component} {progress.index}/{progress.components}"
    text = f"{where}: {', '.join(parts)}" if parts else where
    return "".join(filter(str.isprintable, text))[:_LIMIT]

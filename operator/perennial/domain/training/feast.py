"""What keeps a Feast repository from being read at all."""

from perennial.contracts.request import RunRequest

_NO_IMAGE = (
    "data.source.feast: the operator has no image that reads Feast repositories: set the chart's image.feast, or "
    "data.source.feast.image"
)


def unreadable(request: RunRequest) -> tuple[str, str] | None:
    """Why the request's repository cannot be read: (reason, message), None where it can be or there is none."""
    if request.feast is None or request.feast.image:
        return None
    return "FeastImageMissing", _NO_IMAGE

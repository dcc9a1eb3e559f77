"""Logs as one JSON object a line. Nothing that a caller sent is ever in them."""

import logging
from datetime import UTC, datetime
from traceback import format_tb

import msgspec

_logger = logging.getLogger(__name__)


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def configure() -> None:
    """Logs to standard error: ours from info on, the libraries' from warning on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Line())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("perennial_serving").setLevel(logging.INFO)


def unforeseen(error: Exception) -> None:
    """Logs the kind and the place of an ``error`` in a request; its own words may repeat what a caller sent."""
    _logger.error("%s: %s", type(error).__name__, "".join(format_tb(error.__traceback__)))

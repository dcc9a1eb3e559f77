"""The predictor with a part taken out, to see what it costs. In the product all parts are always on."""

import asyncio
import dataclasses
import os
import sys
from typing import Any

import uvloop

import perennial_serving.__main__ as predictor
from perennial_serving.counters import Counters
from perennial_serving.server import serve
from perennial_serving.settings import load_settings


class Uncounted(Counters):
    """Counts nothing."""

    def request(self, code: int, seconds: float) -> None:
        """Does nothing."""

    def predictions(self, matrix: Any, prediction: Any) -> None:
        """Does nothing."""


_ANSWER = b'{"model_name":"heart-disease","outputs":[{"name":"predicted","shape":[1],"datatype":"BYTES","data":["0"]}]}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]


async def constant(_: Any, receive: Any, send: Any) -> None:
    """Reads the body and answers the same to everything."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _ANSWER})


def main() -> None:
    """Serves the variant named on the command line."""
    if sys.argv[1] == "ours_no_counters":
        predictor.Counters = Uncounted  # type: ignore[attr-defined]
        sys.exit(predictor.main())
    settings = load_settings(os.environ)
    service = dataclasses.replace(predictor.build(settings), app=constant)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, service))


if __name__ == "__main__":
    main()

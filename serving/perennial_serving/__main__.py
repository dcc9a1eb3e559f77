"""``python -m perennial_serving``: verify the files, load the model, serve."""

import asyncio
import gc
import logging
import os
import sys

import uvloop

from perennial_serving.access import logged
from perennial_serving.app import Predictor
from perennial_serving.artifacts import ArtifactError, leave_message, verify
from perennial_serving.batching import batcher
from perennial_serving.bearer import Bearer
from perennial_serving.counters import MAX_SERIES, Counters
from perennial_serving.feedback import Feedback, KeyRing
from perennial_serving.inference import Inference
from perennial_serving.logs import configure
from perennial_serving.mirror import Mirror
from perennial_serving.model import load
from perennial_serving.scorers import ModelError
from perennial_serving.server import Service, serve
from perennial_serving.settings import TERMINATION_LOG, Settings, SettingsError, load_settings
from perennial_serving.state import State
from perennial_serving.tls import Tls, TlsError

_LARGE_BODIES = 2
"""Of the greatest size at a time: read, one takes many times its bytes, and a pod has 256 MiB."""
_logger = logging.getLogger("perennial_serving")


def build(settings: Settings) -> Service:
    """All that is served, over the verified model. Raises ArtifactError, ModelError or TlsError."""
    model = load(verify(settings))
    counters = Counters(model, settings.deployment, settings.version, settings.revision)
    state = State(_LARGE_BODIES * settings.max_body_bytes)
    feedback = Feedback(
        keys=KeyRing(settings.feedback_keys),
        counters=counters,
        signature=model.signature,
        deployment=settings.deployment,
        version=settings.version,
        lifetime=settings.feedback_ttl_seconds,
    )
    tls = Tls(settings.tls_dir, settings.tls_client_auth) if settings.tls_dir else None
    bearer = Bearer(settings.bearer_dir) if settings.bearer_dir else None
    mirror = Mirror(settings=settings, classes=model.signature.classes, tls=tls, spread=model.spread)
    inference = Inference(
        settings=settings,
        model=model,
        counters=counters,
        batcher=batcher(model, counters, state),
        feedback=feedback,
        mirror=mirror,
    )
    app = Predictor(settings=settings, inference=inference, counters=counters, state=state, bearer=bearer)
    return Service(
        app=logged(app) if settings.access_log else app,
        inference=inference,
        counters=counters,
        state=state,
        mirror=mirror,
        tls=tls,
        bearer=bearer,
    )


def main() -> int:
    """Exit code 0 after a drain, 1 when the model cannot be served; the reason is the termination message."""
    configure()
    try:
        settings = load_settings(os.environ)
        service = build(settings)
    except (ArtifactError, ModelError, SettingsError, TlsError) as error:
        leave_message(os.environ.get("PERENNIAL_TERMINATION_LOG", TERMINATION_LOG), str(error))
        _logger.error("%s", error)  # noqa: TRY400 - the message is written for people; a trace adds nothing
        return 1
    if service.counters.series > MAX_SERIES:
        _logger.warning("%d series, more than %d: count fewer features or classes", service.counters.series, MAX_SERIES)
    _logger.info("serving %s, version %s, on port %d", settings.model, settings.version, settings.port)
    # What was loaded stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, service))
    return 0


if __name__ == "__main__":
    sys.exit(main())

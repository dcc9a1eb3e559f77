"""Deletes the files of a version that is gone: ``python -m perennial_components.remove``.

``PERENNIAL_REMOVED_FOLDER`` is the address of one run's folder, ``<root>/<namespace>/<training>/<run>``; the store's
credentials are in the environment. ``result.json`` goes first: where that exists, everything it names does too.
"""

import os
import re
import sys
from collections.abc import Mapping

import obstore.exceptions

from perennial.contracts import names, objects
from perennial_components.storage import store_message

_FOLDER = re.compile(r"/[a-z0-9-]+/[a-z0-9.-]+/[0-9]+")


def main(environ: Mapping[str, str] | None = None) -> int:
    """Deletes once; the exit code is 0 when nothing is left."""
    environ = os.environ if environ is None else environ
    folder, root = environ[names.ENV_REMOVED_FOLDER], environ[names.STORE_ROOT].rstrip("/")
    if not folder.startswith(f"{root}/") or not _FOLDER.fullmatch(folder[len(root) :]):
        print(f"{folder} is no run's folder under {root}: nothing is deleted", file=sys.stderr)
        return 1
    try:
        print(f"{remove(folder, environ)} files deleted under {folder}")
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:
        print(f"{folder} cannot be deleted: {store_message(error)}", file=sys.stderr)
        return 1
    return 0


def remove(folder: str, credentials: Mapping[str, str]) -> int:
    """Deletes every object under ``folder``; how many there were. Raises what ``contracts.objects`` does."""
    found = sorted(objects.listing(f"{folder}/", credentials), key=lambda uri: not uri.endswith(names.FILE_RESULT))
    for uri in found:
        objects.delete(uri, credentials)
    return len(found)


if __name__ == "__main__":
    sys.exit(main())

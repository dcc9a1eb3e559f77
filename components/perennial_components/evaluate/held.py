"""What is measured: the rows held out, with what a model answers."""

from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Held(msgspec.Struct, frozen=True):
    """The held-out rows as they were read, their ``target`` [N], and the challenger's ``answers`` [N, K].

    ``groups`` [N] numbers the group of each row where rows are held out by group.
    """

    rows: pd.DataFrame
    target: NDArray[Any]
    answers: NDArray[np.float32]
    groups: NDArray[np.int64] | None = None

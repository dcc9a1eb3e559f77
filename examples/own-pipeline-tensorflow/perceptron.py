"""Fits a multilayer perceptron with Keras and exports it as ONNX: ``python perceptron.py ROWS.npz FOLDER``.

It runs under an environment of its own, which has TensorFlow and nothing of Perennial: rows come as a NumPy file, and
what leaves is FOLDER/model.onnx and FOLDER/answers.npy.
"""
# ruff: noqa: INP001

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf2onnx

Prepare = Callable[[Any], Any]


def preparation(features: np.ndarray, categories: list[int]) -> tuple[Prepare, int]:
    """From the tensor that Perennial's models take to what the network takes, and how many columns that has.

    The tensor [N, F] has numbers, NaN where one is missing, and categories as their index, -1 where it is missing;
    ``categories`` [F] says how many each feature has, 0 for a number. ``features`` give medians and spreads.
    """
    numeric = [place for place, count in enumerate(categories) if not count]
    known = features[:, numeric]
    middle = np.nan_to_num(np.nanmedian(known, axis=0)).astype(np.float32)
    spread = np.sqrt(np.square(np.where(np.isnan(known), middle, known) - middle).mean(axis=0))
    spread = np.where(spread > 0, spread, 1).astype(np.float32)
    # One column for each category: a missing one equals none of them. ONNX's OneHot would take -1 for the last one.
    pairs = [(place, value) for place, count in enumerate(categories) for value in range(count)]
    columns = [place for place, _ in pairs]
    values = np.array([value for _, value in pairs], dtype=np.float32)

    def prepare(rows: Any) -> Any:
        numbers = tf.gather(rows, numeric, axis=1)
        numbers = (tf.where(tf.math.is_nan(numbers), middle, numbers) - middle) / spread
        chosen = tf.cast(tf.equal(tf.gather(rows, columns, axis=1), values), tf.float32)
        return tf.concat((numbers, chosen), axis=1)

    return prepare, len(numeric) + len(pairs)


def fitted(rows: dict[str, np.ndarray], fit: np.ndarray) -> Any:
    """The model, a tf.function from features [N, F] to probabilities [N, K], of the rows for which ``fit`` [N] is true;
    the same rows and seed give the same model.
    """
    keras.utils.set_random_seed(int(rows["seed"]))
    features, target, weight = (rows[name][fit] for name in ("features", "target", "weight"))
    prepare, width = preparation(features, rows["categories"].tolist())
    decay = keras.regularizers.L2(float(rows["decay"]))
    network = keras.Sequential(
        [
            keras.Input((width,)),
            keras.layers.Dense(int(rows["hidden"]), activation="relu", kernel_regularizer=decay),
            keras.layers.Dense(int(rows["classes"]), activation="softmax", kernel_regularizer=decay),
        ]
    )
    steps = keras.optimizers.Adam(float(rows["learning_rate"]))
    network.compile(optimizer=steps, loss=keras.losses.SparseCategoricalCrossentropy())
    network.fit(
        prepare(features), target, sample_weight=weight, epochs=int(rows["epochs"]),
        batch_size=len(target), shuffle=False, verbose=0,
    )  # fmt: skip

    @tf.function(input_signature=[tf.TensorSpec((None, features.shape[1]), tf.float32, name="features")])
    def model(features: Any) -> dict[str, Any]:
        return {"probabilities": network(prepare(features))}

    return model


def main(source: str, folder: str) -> None:
    """Fits one model for each row of ``fit`` [P, N] and exports the last. The answers are [P, N, K], to all rows."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    with np.load(source) as arrays:
        rows = dict(arrays)
    models = [fitted(rows, fit) for fit in rows["fit"]]
    answers = [model(tf.constant(rows["features"]))["probabilities"].numpy() for model in models]
    np.save(Path(folder) / "answers.npy", np.stack(answers))
    graph, _ = tf2onnx.convert.from_function(models[-1], input_signature=models[-1].input_signature, opset=18)
    (Path(folder) / "model.onnx").write_bytes(graph.SerializeToString())


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Applies a feature repository of patients to the store, as its owner would: FOLDER LOCAL SETTINGS.

LOCAL has patients.parquet; what features were known of a patient, and from when on. It is read from FOLDER, an address.
"""

import sys
from pathlib import Path

from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64

NAMES = ("age", "sex", "cp", "chol", "thalach")


def main(folder: str, local: str) -> None:
    """The repository's feature_store.yaml is in LOCAL."""
    patient = Entity(name="patient", join_keys=["patient"], value_type=ValueType.INT64)
    seen = FeatureView(
        name="patients",
        entities=[patient],
        source=FileSource(name="patients", path=f"{folder}/patients.parquet", timestamp_field="event_timestamp"),
        schema=[Field(name="patient", dtype=Int64), *(Field(name=name, dtype=Float64) for name in NAMES)],
    )
    service = FeatureService(name="heart", features=[seen])
    FeatureStore(repo_path=local).apply([patient, seen, service])


if __name__ == "__main__":
    main(sys.argv[1], str(Path(sys.argv[2])))

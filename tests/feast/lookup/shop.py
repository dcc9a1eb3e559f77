"""A feature repository of drivers and shops, applied for real: its registry, and its history in Parquet files."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64, String

DAYS = pd.to_datetime(["2026-03-01", "2026-03-05", "2026-03-09"], utc=True)
DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
SHOP = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)


def history() -> dict[str, pd.DataFrame]:
    """What was known of two drivers and one shop, and from when on."""
    drivers = pd.DataFrame(
        {
            "driver_id": [1, 1, 1, 2, 2],
            "event_timestamp": [*DAYS, *DAYS[:2]],
            "trips": [10, 20, 30, 7, 8],
            "rating": [4.5, 4.25, 4.0, 3.5, None],
        }
    )
    shops = pd.DataFrame(
        {"shop": ["north"] * 3, "event_timestamp": DAYS, "town": ["Ulm", "Bonn", "Kiel"], "trips": [100, 200, 300]}
    )
    return {"drivers": drivers, "shops": shops}


def settings(folder: Path, **more: Any) -> str:
    """The feature_store.yaml of a repository in ``folder``."""
    return yaml.safe_dump(
        {
            "project": "shop",
            "provider": "local",
            "registry": str(folder / "registry.db"),
            "offline_store": {"type": "dask"},
            "online_store": {"type": "sqlite", "path": str(folder / "online.db")},
            "entity_key_serialization_version": 3,
            **more,
        }
    )


def views(folder: str, *, ttl: timedelta | None = None, endpoint: str | None = None) -> list[FeatureView]:
    """The views of drivers and shops; their files are in ``folder``."""

    def source(name: str) -> FileSource:
        path = f"{folder}/{name}.parquet"
        return FileSource(name=name, path=path, timestamp_field="event_timestamp", s3_endpoint_override=endpoint)

    return [
        FeatureView(
            name="drivers", entities=[DRIVER], ttl=ttl, source=source("drivers"),
            schema=_fields(driver_id=Int64, trips=Int64, rating=Float64),
        ),
        FeatureView(
            name="shops", entities=[SHOP], ttl=None, source=source("shops"),
            schema=_fields(shop=String, town=String, trips=Int64),
        ),
    ]  # fmt: skip


def _fields(**kinds: Any) -> list[Field]:
    return [Field(name=name, dtype=kind) for name, kind in kinds.items()]


def apply(folder: Path, *, ttl: timedelta | None = None) -> str:
    """Writes the history into ``folder`` and applies the repository there; its feature_store.yaml."""
    for name, table in history().items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    text = settings(folder)
    (folder / "feature_store.yaml").write_text(text, encoding="utf-8")
    drivers, shops = views(str(folder), ttl=ttl)
    service = FeatureService(name="both", features=[drivers[["rating"]], shops[["town"]]])
    FeatureStore(repo_path=str(folder)).apply([DRIVER, SHOP, drivers, shops, service])
    return text

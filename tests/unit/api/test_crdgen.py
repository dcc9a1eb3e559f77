"""The generated definitions hold what the API server and Argo CD need; models that cannot are refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from perennial.api import crdgen
from perennial.api.common import Metadata, Model, Object, Status

Json = dict[str, Any]


def schema_of(kind: type[Object]) -> Json:
    made: Json = crdgen.definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return made


def nodes(node: Any, *, in_list: bool = False) -> Iterator[tuple[Json, bool]]:
    """Every schema below, and whether it is inside a list item."""
    yield node, in_list
    for child in node.get("properties", {}).values():
        yield from nodes(child, in_list=in_list)
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from nodes(node[key], in_list=True)


@pytest.mark.parametrize("kind", crdgen.KINDS)
def test_no_default_stands_inside_a_list_item_and_nothing_is_left_that_the_api_server_refuses(
    kind: type[Object],
) -> None:
    for node, in_list in nodes(schema_of(kind)):
        assert not (in_list and "default" in node)
        assert not {"$ref", "anyOf", "title", "const", "prefixItems"} & node.keys()
        assert node.get("additionalProperties") not in (True, False)


@pytest.mark.parametrize("kind", crdgen.KINDS)
def test_a_status_has_neither_defaults_nor_required_fields_but_keys(kind: type[Object]) -> None:
    for node, _ in nodes(schema_of(kind)["properties"]["status"]):
        assert "default" not in node
        assert node.get("required", ["type"]) == ["type"]


@pytest.mark.parametrize("kind", crdgen.KINDS)
def test_every_kind_has_a_short_name_a_category_columns_and_a_status(kind: type[Object]) -> None:
    spec = crdgen.definition(kind)["spec"]
    assert spec["names"]["shortNames"] == [kind.SHORT]
    assert spec["names"]["categories"] == ["mlops"]
    assert spec["versions"][0]["additionalPrinterColumns"]
    assert "status" in spec["versions"][0]["subresources"]


def test_check_names_the_file_that_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crdgen.main([str(tmp_path)]) == 0
    assert crdgen.main(["--check", str(tmp_path)]) == 0
    stale = tmp_path / "driftmonitors.yaml"
    stale.write_text(stale.read_text() + "# edited\n")
    assert crdgen.main(["--check", str(tmp_path)]) == 1
    assert "driftmonitors.yaml is not what the models say: run make crds" in capsys.readouterr().err


def kind_with(spec_type: type[Model]) -> type[Object]:
    class Toy(Object):
        """A kind of the test's."""

        KIND: ClassVar[str] = "Toy"
        PLURAL: ClassVar[str] = "toys"
        SHORT: ClassVar[str] = "t"
        DOC: ClassVar[str] = "A toy."
        metadata: Metadata
        spec: spec_type  # type: ignore[valid-type]
        status: Empty

    return Toy


class Empty(Status):
    """Nothing."""


class Undescribed(Model):
    """A spec."""

    size: int


class Unbounded(Model):
    """A spec."""

    name: str = Field(description="Of any length.")


class Endless(Model):
    """A spec."""

    sizes: list[int] = Field(description="Any number of them.")


class United(Model):
    """A spec."""

    either: int | list[int] = Field(description="One or many.")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Undescribed, r"Toy\.spec\.size: no description"),
        (Unbounded, r"Toy\.spec\.name: no maxLength"),
        (Endless, r"Toy\.spec\.sizes: no maxItems"),
        (United, "a union of more than scalars"),
    ],
)
def test_a_model_that_cannot_become_a_definition_is_refused(spec: type[Model], message: str) -> None:
    with pytest.raises(crdgen.SchemaError, match=message):
        crdgen.definition(kind_with(spec))

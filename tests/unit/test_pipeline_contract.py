"""What a compiled pipeline of somebody else's must be, and what is said of one that is not."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from perennial.cli import group
from perennial.contracts import pipelines
from perennial.contracts.pipeline import lint

OURS = Path(pipelines.__file__).with_name("tabular.yaml")
Ir = dict[str, Any]


@pytest.fixture(scope="module")
def compiled() -> Ir:
    """The pipeline that we bring, as it was compiled."""
    return next(iter(yaml.safe_load_all(OURS.read_text())))


def container(ir: Ir) -> Ir:
    """The first component's."""
    executors = ir["deploymentSpec"]["executors"]
    return executors[next(iter(executors))]["container"]


def without_request(ir: Ir) -> None:
    del ir["root"]["inputDefinitions"]["parameters"]["request"]


def with_another_parameter(ir: Ir) -> None:
    ir["root"]["inputDefinitions"]["parameters"]["epochs"] = {"parameterType": "NUMBER_INTEGER"}


def with_two_results(ir: Ir) -> None:
    ir["root"]["outputDefinitions"]["artifacts"]["model"] = {}


def with_a_container_component(ir: Ir) -> None:
    container(ir)["command"] = ["train.sh"]


def with_an_importer(ir: Ir) -> None:
    ir["deploymentSpec"]["executors"]["exec-importer"] = {"importer": {"artifactUri": {"constant": "s3://a/b"}}}


def with_another_image(ir: Ir) -> None:
    container(ir)["image"] = "pytorch/pytorch"


def that_installs(ir: Ir) -> None:
    container(ir)["command"] = ["sh", "-c", "python3 -m pip install kfp && python3 -m kfp.dsl.executor_main"]


def of_an_old_compiler(ir: Ir) -> None:
    ir["schemaVersion"] = "1.9"


def test_our_own_pipeline_keeps_the_contract(compiled: Ir) -> None:
    assert lint([compiled]) == []


@pytest.mark.parametrize(
    ("breaks", "place", "says"),
    [
        (without_request, "root.inputDefinitions.parameters.request", "must take request: str"),
        (with_another_parameter, "root.inputDefinitions.parameters.epochs", "give it a default"),
        (with_two_results, "root.outputDefinitions", "must return one artifact"),
        (with_a_container_component, "deploymentSpec.executors.exec-baseline", "make it a @dsl.component"),
        (with_an_importer, "deploymentSpec.executors.exec-importer", "this is: importer"),
        (with_another_image, "container.image", "all components must be of the one image"),
        (that_installs, "deploymentSpec.executors.exec-baseline", "the image must have them"),
        (of_an_old_compiler, "schemaVersion", "compile it with kfp 2"),
    ],
)
def test_what_breaks_it_is_named_with_its_place(compiled: Ir, breaks: Any, place: str, says: str) -> None:
    ir = copy.deepcopy(compiled)
    breaks(ir)
    errors = [finding for finding in lint([ir]) if finding.level == "Error"]
    assert errors
    assert any(place in finding.place and says in finding.message for finding in errors)


def test_a_default_makes_another_parameter_possible(compiled: Ir) -> None:
    ir = copy.deepcopy(compiled)
    ir["root"]["inputDefinitions"]["parameters"]["epochs"] = {"parameterType": "NUMBER_INTEGER", "defaultValue": 5.0}
    assert lint([ir]) == []


def test_what_has_no_effect_is_a_warning(compiled: Ir) -> None:
    ir = copy.deepcopy(compiled)
    container(ir)["resources"] = {"memoryLimit": 4.0}
    found = lint([ir, {"platforms": {"kubernetes": {}}}])
    assert [finding.level for finding in found] == ["Warning", "Warning"]


@pytest.mark.parametrize("documents", [[], [None], ["text"], [{"root": {}}]])
def test_a_file_of_another_kind_is_told(documents: list[Any]) -> None:
    (finding,) = lint(documents)
    assert "no compiled pipeline" in finding.message


def test_the_command_says_what_is_wrong_and_exits_by_it(compiled: Ir, tmp_path: Path) -> None:
    good = CliRunner().invoke(group, ["lint", "pipeline", str(OURS)])
    assert good.exit_code == 0
    assert "keeps the contract" in good.output

    ir = copy.deepcopy(compiled)
    with_an_importer(ir)
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(ir))
    bad = CliRunner().invoke(group, ["lint", "pipeline", str(path)])
    assert bad.exit_code == 1
    assert "exec-importer" in bad.output

    wrong = CliRunner().invoke(group, ["lint", "pipeline", str(OURS), "--image", "registry/mine:1"])
    assert wrong.exit_code == 1
    assert "is not registry/mine:1" in wrong.output

    path.write_text("a: [1")
    assert "YAML" in CliRunner().invoke(group, ["lint", "pipeline", str(path)]).output


def test_kubeflow_runs_what_the_embedded_engine_cannot(compiled: Ir, tmp_path: Path) -> None:
    container = {"container": {"image": "other:1", "command": ["train"]}}
    changed = copy.deepcopy(compiled)
    changed["deploymentSpec"]["executors"]["exec-tune"] = container
    changed["root"].pop("outputDefinitions")
    assert [each for each in lint([changed], engine="Kubeflow") if each.level == "Error"] == []
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(changed))
    assert CliRunner().invoke(group, ["lint", "pipeline", str(path)]).exit_code == 1
    assert CliRunner().invoke(group, ["lint", "pipeline", str(path), "--engine", "Kubeflow"]).exit_code == 0

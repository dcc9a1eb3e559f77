"""Data as a trigger: other content starts one run, the same content none, and a poll that fails disturbs nothing."""

from datetime import timedelta

import hypothesis.strategies as st
from hypothesis import given, settings

from perennial.contracts.result import RunOutcome
from perennial.domain.training.run import Unseen, observe_poll
from tests.unit.training.support import NOW, Cluster, a_job, a_pod, a_training, ended_pod, result, spec

POLLED = {**spec()["data"], "poll": "1h"}
TRAINED, OTHER = "d" * 64, "e" * 64
"""``result()`` says that it was trained on the first."""
UNREACHABLE = RunOutcome(succeeded=False, reason="DataUnavailable", message="s3://data cannot be read")
REJECTED = RunOutcome(succeeded=False, component="check", reason="DataRejected", message="too old")


def polled(seen: str = TRAINED, **changes: object) -> Cluster:
    """A cluster whose first run is over, and whose first poll has seen ``seen``."""
    cluster = Cluster(a_training(data=POLLED, **changes))
    cluster.settle()
    cluster.end_poll(seen)
    cluster.end_run()
    cluster.settle()
    return cluster


def poll(cluster: Cluster, seen: str = "", failure: RunOutcome | None = None) -> None:
    """Lets an hour pass and a poll end."""
    cluster.now += timedelta(hours=1)
    cluster.settle()
    assert cluster.status.data.job in cluster.jobs
    cluster.end_poll(seen, failure=failure)
    cluster.settle()


def test_a_poll_runs_beside_the_first_run_and_leaves_nothing_behind() -> None:
    cluster = Cluster(a_training(data=POLLED))
    cluster.settle()
    assert cluster.run.launched
    name = cluster.status.data.job
    job = cluster.jobs[name]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "perennial_components.poll"]
    assert container["securityContext"] == run_container(cluster)["securityContext"]
    assert "perennial.dev/run" not in job["metadata"]["labels"]
    assert job["spec"]["ttlSecondsAfterFinished"] > 0
    cluster.end_poll(TRAINED)
    cluster.settle()
    assert name not in cluster.jobs
    assert name not in cluster.config_maps
    assert cluster.condition("DataReachable")[:2] == ("True", "Unchanged")


def run_container(cluster: Cluster) -> dict:
    """The container of the newest run."""
    found: dict = cluster.jobs[cluster.run.job]["spec"]["template"]["spec"]["containers"][0]
    return found


def test_unchanged_data_start_no_run() -> None:
    cluster = polled()
    for _ in range(3):
        poll(cluster, TRAINED)
    assert cluster.status.run_counter == 1


def test_other_data_start_one_run_with_their_digest() -> None:
    cluster = polled()
    poll(cluster, OTHER)
    assert (cluster.run.number, cluster.run.trigger.type, cluster.run.trigger.id) == (2, "Data", OTHER)
    cluster.end_run(made=trained_on(cluster, OTHER))
    cluster.settle()
    poll(cluster, OTHER)
    assert cluster.status.run_counter == 2
    assert cluster.status.data.trained == OTHER


def trained_on(cluster: Cluster, digest: str) -> object:
    """A result of the run under way."""
    import msgspec

    made = result(f"s3://artifacts/cardio/heart/{cluster.run.number}")
    return msgspec.structs.replace(made, data=msgspec.structs.replace(made.data, sha256=digest))


def test_a_run_that_failed_on_the_data_is_not_repeated_until_they_change() -> None:
    cluster = polled()
    poll(cluster, OTHER)
    cluster.end_run(REJECTED)
    cluster.settle()
    poll(cluster, OTHER)
    assert cluster.status.run_counter == 2
    poll(cluster, "f" * 64)
    assert cluster.status.run_counter == 3


def test_data_that_change_back_before_the_run_start_none() -> None:
    cluster = polled()
    cluster.request("train/heart/u1")
    cluster.settle()
    poll(cluster, OTHER)
    poll(cluster, TRAINED)
    cluster.end_run()
    cluster.settle()
    assert cluster.status.run_counter == 2


def test_data_that_the_run_under_way_has_read_already_start_no_other() -> None:
    cluster = polled()
    cluster.request("train/heart/u1")
    cluster.settle()
    poll(cluster, OTHER)
    cluster.end_run(made=trained_on(cluster, OTHER))
    cluster.settle()
    assert cluster.status.run_counter == 2


def test_a_poll_that_fails_says_so_and_is_repeated_at_the_next_interval() -> None:
    cluster = polled()
    ready = cluster.condition()
    poll(cluster, failure=UNREACHABLE)
    status, reason, message = cluster.condition("DataReachable")
    assert (status, reason) == ("False", "DataUnavailable")
    assert "s3://data cannot be read" in message
    assert (cluster.condition(), cluster.status.phase) == (ready, "Succeeded")
    assert cluster.status.run_counter == 1
    plan = cluster.step()
    assert plan.requeue == 3600
    poll(cluster, TRAINED)
    assert cluster.condition("DataReachable")[0] == "True"


def test_a_store_without_its_secret_is_a_poll_that_failed() -> None:
    cluster = polled()
    cluster.trouble = ("StoreSecretMissing", "create the Secrets")
    cluster.now += timedelta(hours=1)
    cluster.settle()
    assert cluster.condition("DataReachable")[:2] == ("False", "StoreSecretMissing")
    assert cluster.status.phase == "Succeeded"


def test_what_a_poll_saw_under_another_spec_counts_for_nothing() -> None:
    cluster = polled()
    cluster.now += timedelta(hours=1)
    cluster.settle()
    cluster.change(tuning={"trials": 3})
    cluster.settle()
    cluster.end_poll(OTHER)
    cluster.settle()
    assert cluster.status.data.wanted == ""
    cluster.end_run()
    cluster.settle()
    assert cluster.status.run_counter == 2


def test_a_spec_that_changes_as_a_run_starts_makes_the_same_data_no_others() -> None:
    cluster = polled()
    cluster.request("train/heart/u1")
    cluster.step()
    assert not cluster.run.launched
    cluster.change(features={"numeric": ["age", "chol"], "categorical": []})
    cluster.settle()
    cluster.end_run(REJECTED)
    cluster.settle()
    poll(cluster, OTHER)  # the same data, of which other columns are read
    assert (cluster.status.run_counter, cluster.status.data.wanted) == (2, "")


def test_no_poll_while_suspended_and_none_without_an_interval() -> None:
    cluster = polled()
    cluster.change(suspend=True)
    cluster.now += timedelta(hours=2)
    cluster.settle()
    assert not cluster.polls
    cluster.change(suspend=False)
    cluster.settle()
    assert len(cluster.polls) == 1
    cluster.change(data=spec()["data"])
    cluster.settle()
    assert not cluster.polls
    assert all(each.type != "DataReachable" for each in cluster.status.conditions)


def test_a_poll_that_ended_without_a_word_says_how() -> None:
    ended = a_job("p", condition="Failed", reason="DeadlineExceeded")
    stuck = a_pod({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
    assert observe_poll(None, [], NOW) == Unseen("PollLost", "its Job is gone, and what it has seen with it")
    found = observe_poll(ended, [stuck], NOW)
    assert isinstance(found, Unseen)
    assert found.message == "it took too long: no such image"
    killed = ended_pod("", exit_code=137, reason="OOMKilled")
    found = observe_poll(a_job("p", condition="Failed"), [killed], NOW)
    assert isinstance(found, Unseen)
    assert found.reason == "OOMKilled"
    assert observe_poll(a_job("p"), [], NOW) is None


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), st.integers(0, 3)), max_size=15))
def test_each_content_that_differs_from_the_last_has_one_run_whatever_ends_between(
    course: list[tuple[str, bool, int]],
) -> None:
    cluster = polled("a" * 64)
    trained = TRAINED
    tried = ""
    runs = 1
    for letter, good, steps in course:
        digest = letter * 64
        cluster.now += timedelta(hours=1)
        cluster.step(steps=steps, status=False)
        cluster.settle()
        cluster.end_poll(digest)
        cluster.step(steps=steps, status=False)
        cluster.settle()
        wanted = digest not in {trained, tried}
        runs += wanted
        assert cluster.status.run_counter == runs
        if wanted and good:
            trained, tried = digest, ""
            cluster.end_run(made=trained_on(cluster, digest))  # type: ignore[arg-type]
        elif wanted:
            tried = digest
            cluster.end_run(REJECTED)
        cluster.settle()
        assert not cluster.polls

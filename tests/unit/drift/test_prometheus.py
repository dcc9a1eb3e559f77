"""What is an outage, and what a refused query; answers as Prometheus writes them."""

import json
import math

import pytest

from perennial.adapters.prometheus import Prometheus, PrometheusUnavailable, QueryRejected
from tests.unit.drift.prometheus_server import PrometheusServer, Traffic

QUERY = 'sum (increase(perennial_predictions_total{deployment="ward/heart",version="heart-v1"}[1000ms]))'


async def test_a_range_and_an_instant() -> None:
    async with PrometheusServer() as server, Prometheus(server.url + "/") as prometheus:
        server.traffic = [Traffic("heart-v1", 0, 100, {}, {"0": 3.0, "1": 4.0})]
        [series] = await prometheus.query_range(QUERY, 10, 30, 10)
        assert series.points == ((10.0, 7.0), (20.0, 7.0), (30.0, 7.0))
        assert (await prometheus.query(QUERY, 20))[0].points == ((20.0, 7.0),)
        assert [each["path"] for each in server.asked] == ["/api/v1/query_range", "/api/v1/query"]


async def test_values_that_json_does_not_know_and_scalars() -> None:
    async with PrometheusServer() as server, Prometheus(server.url) as prometheus:
        data = {"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [1.5, "NaN"]}]}
        server.broken = 200, json.dumps({"status": "success", "data": data, "warnings": ["x"]})
        [series] = await prometheus.query("x", 1.5)
        assert series.labels == {"a": "b"}
        assert math.isnan(series.points[0][1])
        server.broken = 200, '{"status":"success","data":{"resultType":"scalar","result":[1,"+Inf"]}}'
        assert (await prometheus.query("x", 1))[0].points == ((1.0, math.inf),)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, '{"status":"error","errorType":"bad_data","error":"parse error"}', QueryRejected),
        (422, '{"status":"error","errorType":"execution","error":"too many samples"}', QueryRejected),
        (503, '{"status":"error","errorType":"timeout","error":"query timed out"}', PrometheusUnavailable),
        (503, '{"status":"error","errorType":"unavailable","error":"starting"}', PrometheusUnavailable),
        (503, "Service Unavailable", PrometheusUnavailable),
        (404, "404 page not found", PrometheusUnavailable),
        (200, "<html>a proxy's page</html>", PrometheusUnavailable),
    ],
)
async def test_outages_and_refusals(status: int, body: str, error: type[Exception]) -> None:
    async with PrometheusServer() as server, Prometheus(server.url) as prometheus:
        server.broken = status, body
        with pytest.raises(error):
            await prometheus.query(QUERY, 0)


async def test_nobody_listens() -> None:
    async with Prometheus("http://127.0.0.1:9") as prometheus:
        with pytest.raises(PrometheusUnavailable, match=r"http://127\.0\.0\.1:9: "):
            await prometheus.query(QUERY, 0)

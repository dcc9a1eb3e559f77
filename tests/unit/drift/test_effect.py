"""How much a window is worth: rows in clusters, features that agree, one that does not, neighbours that are alike."""

import numpy as np
import pytest
from scipy import stats

from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING, Distribution
from perennial.domain.drift.effect import moderated
from perennial.domain.drift.statistics import design_effect, examine, judge_features

BINS = (MISSING, INVALID, BELOW, *(f"b{at}" for at in range(10)), ABOVE)
SHARES = np.full(10, 0.1)


def reference(name: str, rows: int = 10_000) -> Distribution:
    return Distribution(name, "Numeric", BINS, (0, 0, 0, *[rows // 10] * 10, 0))


def counts(ten: np.ndarray) -> np.ndarray:
    """(K, 10) as (K, bins)."""
    return np.pad(ten, ((0, 0), (3, 1))).astype(np.float64)


def test_estimates_that_agree_are_one_and_certain() -> None:
    rng = np.random.default_rng(1)
    found = moderated(stats.chi2(20).rvs(50, random_state=rng) / 20 * 3, np.full(50, 20.0), 0.0)
    assert found.size == pytest.approx(np.full(50, 3.0), rel=0.2)
    assert np.median(found.freedom) > 200
    assert not found.apart.any()


def test_one_that_differs_stands_for_itself() -> None:
    rng = np.random.default_rng(2)
    raw = stats.chi2(20).rvs(50, random_state=rng) / 20
    raw[7] = 15.0
    found = moderated(raw, np.full(50, 20.0), 0.0)
    assert found.apart.tolist() == [at == 7 for at in range(50)]
    assert (found.size[7], found.freedom[7]) == (15.0, 20.0)
    assert np.delete(found.size, 7).max() < 2


def test_alone_it_is_what_it_is_and_never_under_one() -> None:
    found = moderated(np.array([2.5]), np.array([11.0]), 0.0)
    assert (found.size[0], found.freedom[0]) == (2.5, 11.0)
    assert moderated(np.array([0.2]), np.array([11.0]), 0.0).size[0] == 1.0
    nothing = moderated(np.array([0.0]), np.array([0.0]), 0.0)
    assert (nothing.size[0], nothing.freedom[0]) == (1.0, np.inf)


def test_neighbours_that_are_alike_make_a_window_worth_less() -> None:
    rng = np.random.default_rng(3)
    level = np.zeros(24)
    for at in range(1, 24):
        level[at] = 0.7 * level[at - 1] + rng.normal()
    tilt = np.clip(0.1 * (1 + np.outer(level, np.linspace(-0.5, 0.5, 10))), 0.001, None)
    cells = np.stack([rng.multinomial(100, row / row.sum()) for row in tilt]).astype(np.float64)
    shuffled = cells[rng.permutation(24)]
    assert design_effect(cells) > 1.5 * design_effect(shuffled)


def rate(season: int, repeats: int = 40) -> float:
    """Windows of two days in which the one feature of 20 that is shifted by 0.25 sd is found, on hours of the day."""
    rng, found = np.random.default_rng(4), 0
    edges = stats.norm(0, np.sqrt(1.5)).ppf(np.linspace(0, 1, 11)[1:-1])
    hour = np.sin(np.arange(48) * 2 * np.pi / 24)
    references = [known(f"x{at}", edges, hour) for at in range(20)]
    for _ in range(repeats):
        features = []
        for at in range(20):
            values = rng.normal(hour[:, None] + (0.25 if at == 0 else 0.0), 1.0, size=(48, 100))
            places = np.searchsorted(edges, values)
            cells = np.stack([np.bincount(row, minlength=10) for row in places])
            features.append((references[at], counts(cells)))
        findings = judge_features(
            [each for each in examine(features, season=season) if each], alpha=0.01, tolerance=0.02
        )
        assert sum(each.drifting for each in findings[1:]) == 0
        found += findings[0].drifting
    return found / repeats


def known(name: str, edges: np.ndarray, hour: np.ndarray) -> Distribution:
    """The shares of many days."""
    below = np.mean([stats.norm(mean, 1).cdf(edges) for mean in hour], axis=0)
    shares = np.diff(np.concatenate([[0], below, [1]]))
    return Distribution(name, "Numeric", BINS, (0, 0, 0, *(round(100_000 * each) for each in shares), 0))


def test_a_season_that_is_known_is_no_noise() -> None:
    assert rate(season=0) < 0.2
    assert rate(season=24) > 0.9


def test_windows_of_the_reference_say_what_a_season_is_worth() -> None:
    rng = np.random.default_rng(6)
    edges = stats.norm(0, np.sqrt(1.5)).ppf(np.linspace(0, 1, 11)[1:-1])

    def window(shift: float = 0.0) -> np.ndarray:
        """24 chunks of 40 rows, in which a season goes round seven times: no chunk is like the next."""
        values = rng.normal(np.sin(np.arange(960) * 2 * np.pi * 7.3 / 960) + shift, 1.0).reshape(24, 40)
        return counts(np.stack([np.bincount(np.searchsorted(edges, row), minlength=10) for row in values]))

    names = [f"x{at}" for at in range(12)]
    own = {name: np.stack([window().sum(axis=0) for _ in range(10)]) for name in names}
    known = [Distribution(name, "Numeric", BINS, tuple(int(each) for each in own[name].sum(axis=0))) for name in names]
    features = [(each, window(0.4 if each.name == "x0" else 0.0)) for each in known]

    def drifting(windows: dict[str, np.ndarray]) -> list[str]:
        tests = [each for each in examine(features, windows=windows) if each is not None]
        findings = judge_features(tests, alpha=0.01, tolerance=0.02)
        return [each.test.feature for each in findings if each.drifting]

    assert drifting({}) == []
    assert drifting(own) == ["x0"]

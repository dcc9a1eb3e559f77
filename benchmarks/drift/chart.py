"""docs/drift-benchmark.svg: for each method and each kind of rows, false alarms over shifts found."""

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

_KINDS = (
    ("independent rows", "0.25 sd found", "clean_alarm_rate", "power_025_n1000"),
    ("AR(1), 0.9", "0.5 sd found", "ar1_alarm_rate", "ar1_power_05"),
    ("season of ten windows", "0.5 sd found", "seasonal_alarm_rate", "seasonal_power_05"),
    ("four seasons a window", "0.5 sd found", "short_season_alarm_rate", "short_season_power_05"),
)
_WIDTH, _TOP, _ROW, _LEFT, _COLUMN, _BAR = 960, 78, 66, 214, 184, 120
_FONT = "ui-sans-serif,system-ui,Helvetica,Arial,sans-serif"
_ALARMS, _FOUND, _INK, _PALE, _TRACK = "#dc2626", "#0d9488", "#0f172a", "#475569", "#e2e8f0"


def chart(methods: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """An SVG image of ``methods`` of the results, in the order of ``names``."""
    height = _TOP + _ROW * len(_KINDS) + 12
    label = f"False alarms and shifts found, of {', '.join(names.values())}; the figures stand in the table below"
    about = f'role="img" font-family={quoteattr(_FONT)} font-size="13" aria-label={quoteattr(label)}'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {about}>',
        f'  <rect width="{_WIDTH}" height="{height}" rx="14" fill="#f8fafc"/>',
        *_legend(),
    ]
    for at, (name, title) in enumerate(names.items()):
        left = _LEFT + _COLUMN * at
        lines.append(_text(left, 58, title, _INK, ' font-weight="700" font-size="15"'))
        for row, (_, _, alarms, found) in enumerate(_KINDS):
            top = _TOP + _ROW * row
            lines += _bar(left, top + 4, methods[name][alarms], _ALARMS, f"{methods[name][alarms]:.1%}")
            lines += _bar(left, top + 26, methods[name][found], _FOUND, f"{methods[name][found]:.0%}")
    for row, (title, found, *_) in enumerate(_KINDS):
        top = _TOP + _ROW * row
        lines += [_text(24, top + 16, title, _INK, ' font-weight="700"'), _text(24, top + 38, found, _PALE)]
    return "\n".join([*lines, "</svg>", ""])


def _legend() -> Iterator[str]:
    for left, colour, title in ((24, _ALARMS, "false alarms"), (134, _FOUND, "a shift found")):
        yield f'  <rect x="{left}" y="21" width="12" height="12" rx="3" fill="{colour}"/>'
        yield _text(left + 18, 32, title, _PALE)
    yield _text(_WIDTH - 24, 32, "share of windows of 1,000 rows, 20 features", _PALE, ' text-anchor="end"')


def _bar(left: int, top: int, share: float, colour: str, text: str) -> Iterator[str]:
    yield f'  <rect x="{left}" y="{top}" width="{_BAR}" height="14" rx="4" fill="{_TRACK}"/>'
    if share > 0:
        # Even what is rare has to be seen.
        yield f'  <rect x="{left}" y="{top}" width="{max(4.0, share * _BAR):.1f}" height="14" rx="4" fill="{colour}"/>'
    yield _text(left + _BAR + 8, top + 12, text, _INK)


def _text(x: int, y: int, text: str, colour: str, more: str = "") -> str:
    return f'  <text x="{x}" y="{y}" fill="{colour}"{more}>{escape(text)}</text>'

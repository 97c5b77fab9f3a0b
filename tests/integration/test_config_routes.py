"""``facetally config check``: routes by which a page's end is told to others than the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.homes import home

IN_ITS_PLACE = '"duty_moved", "duty_due_moved", "duty_reopened", "filing_step"'


@pytest.mark.parametrize(
    ("takes", "left"),
    [
        ('kinds = ["duty_opened"]', "duty_moved, duty_due_moved, duty_reopened, filing_step"),
        (f'kinds = ["duty_opened", {IN_ITS_PLACE}]', None),
        ('kinds = ["gap"]', None),
        ('kinds = ["duty_opened"]\nseverities = ["info"]', None),
        ("", None),
    ],
)
def test_a_route_that_is_not_told_what_ends_its_page_is_warned_of(
    tmp_path: Path, takes: str, left: str | None
) -> None:
    made = home(tmp_path)
    made.settings.write_text(
        '[[channels]]\nkind = "alertmanager"\nurl = "http://127.0.0.1:9093"\n'
        f'[[routes]]\nchannels = ["alertmanager"]\n{takes}\n'
    )
    said = made.good("config", "check").err

    assert said.count("warning: routes[0].kinds: takes duty_opened") == (left is not None)
    assert left is None or f"but not {left}: such a page takes the place" in said


@pytest.mark.parametrize(
    ("routes", "warned"),
    [
        ('channels = ["alertmanager"]\nseverities = ["page"]', False),
        ('channels = ["log"]', True),
        ('channels = ["alertmanager"]\nprocessors = ["acme"]', True),
    ],
)
def test_a_route_whose_channels_another_tells_what_ends_its_page_is_not_warned_of(
    tmp_path: Path, routes: str, *, warned: bool
) -> None:
    made = home(tmp_path)
    made.settings.write_text(
        '[[channels]]\nkind = "alertmanager"\nurl = "http://127.0.0.1:9093"\n'
        '[[channels]]\nkind = "log"\n'
        '[[routes]]\nchannels = ["alertmanager"]\nkinds = ["duty_opened"]\n'
        f"[[routes]]\n{routes}\n" + ('severities = ["warning"]\n' if "log" in routes else "")
    )
    said = made.good("config", "check").err

    assert ("routes[0].kinds: takes duty_opened" in said) == warned

"""When the silence of a watchdog is told: by the times of beats and looks alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alerts.deadman.pulse import Patience, Pulse, Pulses, Said, beaten, looked

MINUTE = 60_000_000
PATIENCE = Patience(silence=5 * MINUTE, repeat=60 * MINUTE)
START = 1_000 * MINUTE


def pulses(*installations: str) -> Pulses:
    return Pulses(installations, PATIENCE, START)


def silent(
    number: int, since: int = START, name: str | None = None, *, heard: bool = False
) -> Said:
    return Said(name, silent=True, since=since, heard=heard, number=number)


def told(found: Pulses, minutes: Sequence[float]) -> list[float]:
    """Look at each of *minutes* after the start; return those at which something was said."""
    return [one for one in minutes if found.look(START + int(one * MINUTE))]


@pytest.mark.parametrize("given", [{"silence": 0, "repeat": 1}, {"silence": 1, "repeat": 0}])
def test_patience_is_more_than_nothing(given: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be more than nothing"):
        Patience(**given)


def test_what_was_never_heard_is_silent_one_silence_after_the_start() -> None:
    found = pulses()

    assert found.look(START + 5 * MINUTE - 1) == []
    assert found.look(START + 5 * MINUTE) == [silent(1)]


def test_a_silence_is_told_once_and_again_each_repeat() -> None:
    assert told(pulses(), range(200)) == [5, 65, 125, 185]


def test_beats_that_are_closer_than_the_silence_keep_it_quiet() -> None:
    found = pulses()
    said = []
    for minute in range(0, 600, 4):
        said += found.beat([None], START + minute * MINUTE)[1]
        said += found.look(START + (minute + 4) * MINUTE)

    assert said == []


def test_beats_that_stop_are_told_one_silence_after_the_last() -> None:
    found = pulses()
    last = START + 30 * MINUTE
    found.beat([None], last)

    assert found.look(last + 5 * MINUTE - 1) == []
    assert found.look(last + 5 * MINUTE) == [silent(1, last, heard=True)]


def test_what_is_heard_again_is_told_once_and_a_new_silence_anew() -> None:
    found = pulses()
    found.look(START + 5 * MINUTE)
    found.look(START + 65 * MINUTE)
    back = START + 70 * MINUTE

    assert found.beat([None], back)[1] == [silent(2)._replace(silent=False)]
    assert found.beat([None], back + MINUTE)[1] == []
    assert found.look(back + 6 * MINUTE) == [silent(1, back + MINUTE, heard=True)]


def test_without_names_any_watchdog_counts_and_one_message_is_one_beat() -> None:
    found = pulses()
    found.look(START + 5 * MINUTE)

    assert found.beat(["harbour", None, "city"], START + 6 * MINUTE) == (
        1,
        [silent(1)._replace(silent=False)],
    )


def test_each_installation_that_is_named_has_a_pulse_of_its_own() -> None:
    found = pulses("harbour", "city")
    beats, _ = found.beat(["harbour"], START + 4 * MINUTE)

    assert beats == 1
    assert found.look(START + 5 * MINUTE) == [silent(1, name="city")]
    assert found.silent == ["city"]
    assert found.look(START + 9 * MINUTE) == [silent(1, START + 4 * MINUTE, "harbour", heard=True)]


@pytest.mark.parametrize("name", [None, "", "elsewhere"])
def test_where_installations_are_named_no_other_counts(name: str | None) -> None:
    found = pulses("harbour")

    assert found.beat([name], START + MINUTE) == (0, [])
    assert found.look(START + 5 * MINUTE) == [silent(1, name="harbour")]


def test_who_is_silent_is_known_while_it_lasts() -> None:
    found = pulses()
    found.look(START + 5 * MINUTE)
    before = list(found.silent)
    found.beat([None], START + 6 * MINUTE)

    assert (before, list(found.silent)) == ([""], [])


@pytest.mark.parametrize("order", list(permutations([7, 8, 9])))
def test_beats_of_several_threads_may_come_in_any_order(order: tuple[int, ...]) -> None:
    pulse = Pulse(5)
    for at in order:
        pulse = beaten(pulse, at)

    assert pulse == Pulse(9, heard=True)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=60),
    st.integers(1, 40),
    st.integers(1, 80),
)
@example([(5, False), (5, True), (10, False)], 5, 5)
def test_what_is_told_is_what_the_whole_past_says(
    given: list[tuple[int, bool]], silence: int, repeat: int
) -> None:
    """Against the definition, over all of the past: sorted times, each a beat or a look."""
    patience = Patience(silence=silence, repeat=repeat)
    pulse, past = Pulse(0), list[tuple[int, str]]()
    for at, is_beat in sorted(given):
        beats = [0, *(one for one, what in past if what == "beat")]
        pages = [one for one, what in past if what == "page"]
        since = [one for one in pages if one > beats[-1]]
        due = at - beats[-1] >= silence and all(at - one >= repeat for one in since)
        if is_beat:
            pulse = beaten(pulse, at)
            past.append((at, "beat"))
            continue
        before, pulse = pulse, looked(pulse, at, patience)
        past += [(at, "page")] * (pulse != before)

        assert (pulse != before) == due

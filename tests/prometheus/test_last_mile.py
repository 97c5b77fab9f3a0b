"""The way of an alert after the rules, failing for real: Prometheus and Alertmanager themselves.

One run, as in ``test_end_to_end``; nothing of facetally runs, so pages about that fire all along.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.prometheus.watched import AGAIN, prometheus_of, quick_alertmanager, quick_rules, scrape
from tests.receiver import Answer, Receiver, Request, receiving
from tests.services import alertmanager as alertmanagers
from tests.services import prometheus as prometheuses
from tests.services.alertmanager import Alertmanager
from tests.services.presence import require
from tests.services.prometheus import Prometheus
from tests.workers import until

PATIENCE: Final = 240.0  # a fault takes some seconds; a machine that is busy is not at fault
# Told by both services, or by neither: `page` may be the one that fails.
ROADS: Final = {
    "FacetallyNotificationsFailing": "other",
    "FacetallyAlertsDropped": "other",
    "FacetallyRulesFailing": "other",
    "FacetallyLastMileUnwatched": "warnings",
}
# A rule of a site's own that is right while there is one target of that job, as such rules are.
BROKEN: Final = {"record": "broken", "expr": 'up{job="prometheus"} * on () up{job="also"}'}


@dataclass
class LastMile:
    """What runs, and what was seen. *refusing* are the roads whose service takes nothing."""

    home: Path
    refusing: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    told_restart: bool = True

    def answer(self, request: Request) -> Answer:
        return Answer(403 if request.path in self.refusing else 200)

    def targets(self, job: str) -> Path:
        return self.home / f"{job}.json"

    def run(self, receiver: Receiver, alertmanager: Alertmanager, prometheus: Prometheus) -> None:
        """Do one fault after the other, each after all was silent of its kind."""

        def told(name: str, after: int) -> bool:
            return any(
                alert["labels"]["alertname"] == name and alert["status"] == "firing"
                for request in receiver.requests[after:]
                if request.path == f"/{ROADS[name]}"
                for alert in json.loads(request.body)["alerts"]
            )

        def silent(name: str) -> bool:
            firing = f'ALERTS{{alertname="{name}",alertstate="firing"}}'
            return not prometheus.query(firing)

        @contextlib.contextmanager
        def fault(name: str) -> Iterator[None]:
            if until(partial(silent, name), PATIENCE):
                self.silent.add(name)
            heard = len(receiver.requests)
            yield
            if until(partial(told, name, heard), PATIENCE):
                self.told.add(name)

        ours = prometheus.url.removeprefix("http://")
        until(lambda: len(prometheus.query("up == 1")) >= 2, PATIENCE)
        until(lambda: any(one.path == "/page" for one in receiver.requests), PATIENCE)
        # Told by `other` while `page` takes nothing, of which the next alert is the first to fail.
        with fault("FacetallyNotificationsFailing"), fault("FacetallyRulesFailing"):
            self.refusing.add("/page")
            scrape(self.targets("also"), ours, ours.replace("127.0.0.1", "localhost"))
        scrape(self.targets("also"))
        self.refusing.clear()
        dropping = "increase(prometheus_notifications_dropped_total[25s]) > 0"
        was = 'max_over_time(ALERTS{alertname="FacetallyAlertsDropped",alertstate="firing"}[5m])'
        alertmanager.kill()
        until(lambda: bool(prometheus.query(dropping)), PATIENCE)
        alertmanager.start()
        until(lambda: not prometheus.query(dropping), PATIENCE)
        self.told_restart = bool(prometheus.query(was))
        with fault("FacetallyAlertsDropped"):
            alertmanager.kill()
            until(lambda: not silent("FacetallyAlertsDropped"), PATIENCE)
            alertmanager.start()
        with fault("FacetallyLastMileUnwatched"):
            scrape(self.targets("alertmanager"))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LastMile]:
    require(alertmanagers.available())
    require(prometheuses.available())
    world = LastMile(tmp_path_factory.mktemp("last-mile"))
    rules = world.home / "rules"
    rules.mkdir()
    quick_rules(rules)
    broken = {"groups": [{"name": "facetally-of-a-site", "rules": [BROKEN]}]}
    (rules / "site.yml").write_text(yaml.safe_dump(broken))
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(receiving(world.answer))
        alertmanager = Alertmanager(quick_alertmanager(receiver.url, AGAIN))
        stack.callback(alertmanager.close)
        alertmanager.start()
        where = alertmanager.url.removeprefix("http://")
        jobs = {name: world.targets(name) for name in ("prometheus", "alertmanager", "also")}
        prometheus = Prometheus(prometheus_of(rules, where, jobs))
        scrape(jobs["prometheus"], prometheus.url.removeprefix("http://"))
        scrape(jobs["alertmanager"], where)
        scrape(jobs["also"], prometheus.url.removeprefix("http://"))
        stack.enter_context(prometheus)
        world.run(receiver, alertmanager, prometheus)
        yield world


@pytest.mark.parametrize("name", ROADS)
def test_what_fails_after_the_rules_is_told_by_a_road_that_works(seen: LastMile, name: str) -> None:
    assert name in seen.told


@pytest.mark.parametrize("name", ROADS)
def test_while_alerts_are_delivered_it_is_silent(seen: LastMile, name: str) -> None:
    assert name in seen.silent


def test_a_restart_of_alertmanager_drops_some_and_is_not_told(seen: LastMile) -> None:
    assert not seen.told_restart

"""facetally watched as in production, in seconds in place of minutes.

Real worker and alerts processes, a real Prometheus with the shipped rules and a real Alertmanager
with the shipped configuration; both are derived from the files with shorter times, nothing else.
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tests.acceptance.command import Facetally
from tests.prometheus.shipped import ALERTMANAGER, RULES, loaded, named_in, recorded
from tests.receiver import Receiver
from tests.services.alertmanager import Alertmanager
from tests.services.process import LOOPBACK, Owned, free_port
from tests.services.prometheus import Prometheus

START_SECONDS: Final = 300.0  # a few by itself; a machine that is busy is not at fault
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LENGTH: Final = re.compile(r"(\d+)([smhd])\b")
_WINDOW_IN: Final = re.compile(r"\[(\w+)\]")
_BEFORE: Final = re.compile(r"\boffset (\w+)")
_DAY: Final = 86400
# Some failures are tried again every 5 s, and three of them are to be seen within one window.
_WINDOWS, _WAITS, _WAIT = 12, 120, 15
# 5 minutes and up to 30 of them are one window: what was before has to leave it, too.
_MINUTES, _WINDOW = 1800, 25
# Each attempt at a broker that is away takes ten seconds, and more than three are asked for. Two
# attempts of Alertmanager are a window of 12 minutes, which has to be as much shorter as they are.
# An hour is seen to grow in one minute as well, and half of five would be long to wait for.
_OWN: Final = {
    "FacetallyReadingStalled": 50,
    "FacetallyNotificationsFailing": 60,
    "FacetallyLagGrowing": 60,
}
AGAIN: Final = "25s"  # a group_interval of 5 minutes as a window of that length


def seconds(length: str) -> int:
    found = _LENGTH.fullmatch(length)
    assert found is not None, length
    return int(found[1]) * _UNITS[found[2]]


def quick_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return *rule* with a window of 5 minutes, or a look as far back, as 25 s.

    What it waits for (``for``) is as much of its window as in the shipped rule: where that is
    longer, one event that leaves the window again must not be enough here either. Without a window
    5 minutes are 2 s, and no wait is over 15 s.
    """
    own = _OWN.get(rule.get("alert", ""))
    expr = _WINDOW_IN.sub(lambda found: f"[{_quick_window(found[1], own)}s]", rule["expr"])
    expr = _BEFORE.sub(lambda found: f"offset {_quick_window(found[1], own)}s", expr)
    quick = {**rule, "expr": expr.replace("* 60", "* 1")}
    if "for" in rule:
        quick["for"] = f"{_quick_wait(rule, own)}s"
    return quick


def windows(rule: Mapping[str, Any], known: Mapping[str, str]) -> list[str]:
    """Return the windows that *rule* looks over, those of the *known* recorded metrics too.

    Those of a day are no windows but memories: of who was there.
    """
    read = [rule["expr"], *(known[one] for one in named_in(rule["expr"]) if one in known)]
    found = [one for expr in read for one in _WINDOW_IN.findall(expr)]
    return [one for one in found if seconds(one) < _DAY // _WINDOWS]


def _quick_window(length: str, own: int | None) -> int:
    long = seconds(length)
    quick = max(10, long // _WINDOWS)
    if own is not None:
        return own
    return min(quick, _WINDOW) if long <= _MINUTES else quick


def _quick_wait(rule: Mapping[str, Any], own: int | None) -> int:
    wait = seconds(rule["for"])
    longest = max(windows(rule, recorded()), key=seconds, default=None)
    if longest is None:
        return min(max(1, wait // _WAITS), _WAIT)
    return max(1, round(_quick_window(longest, own) * wait / seconds(longest)))


def quick_rules(home: Path) -> Path:
    """Write the shipped rules with shorter times into *home*, and return the folder."""
    for file in RULES:
        groups = [
            {**group, "rules": [quick_rule(rule) for rule in group["rules"]]}
            for group in loaded(file)["groups"]
        ]
        (home / file.name).write_text(yaml.safe_dump({"groups": groups}, allow_unicode=True))
    return home


def quick_alertmanager(receiver: str, again: str = "1s") -> str:
    """Return the shipped configuration with shorter waits; a road ends at its name there.

    *again* is when a group is told of what is new in it, and tried again: AGAIN where a rule
    counts the attempts.
    """
    text = ALERTMANAGER.read_text().replace("group_interval: 5m", f"group_interval: {again}")
    text = re.sub(r"(group_wait): \w+", r"\1: 1s", text)
    text = text.replace("group_interval: 1m", "group_interval: 1s")
    found = yaml.safe_load(text.replace("repeat_interval: 1m", "repeat_interval: 2s"))
    for road in found["receivers"]:
        for hook in road.get("webhook_configs", ()):
            hook["url"] = f"{receiver}/{road['name']}"
    return str(yaml.safe_dump(found))


def prometheus_of(rules: Path, alertmanager: str, jobs: Mapping[str, Path]) -> str:
    found = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{rules}/*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {"job_name": job, "file_sd_configs": [{"files": [str(targets)]}]}
            for job, targets in jobs.items()
        ],
    }
    return str(yaml.safe_dump(found))


class Kept:
    """One process of facetally that keeps its address of metrics over restarts."""

    def __init__(self, facetally: Facetally, command: str) -> None:
        self._facetally, self._command = facetally, command
        self.address = f"{LOOPBACK}:{free_port()}"
        self._process: Owned | None = None

    def start(self, **environ: str) -> None:
        """Start it, with *environ* beside its own, and return when it answers."""
        self._facetally.environ.update(environ, FACETALLY_METRICS_ADDRESS=self.address)
        self._process = self._facetally.start(self._command)
        self._process.until(self._answers, seconds=START_SECONDS)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    @contextlib.contextmanager
    def narrowed(self) -> Iterator[None]:
        """Let it open only a few more files than it has open now, until the block ends."""
        number = self.pid
        before = resource.prlimit(number, resource.RLIMIT_NOFILE)
        taken = len(list(Path(f"/proc/{number}/fd").iterdir()))
        resource.prlimit(number, resource.RLIMIT_NOFILE, (int(taken / 0.85), before[1]))
        try:
            yield
        finally:
            resource.prlimit(number, resource.RLIMIT_NOFILE, before)

    def scraped(self) -> str:
        answer = httpx.get(f"http://{self.address}/metrics", timeout=30, trust_env=False)
        return answer.text

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return bool(self.scraped())
        return False


@dataclass
class Watched:
    """All of it at work. ``told`` is what Alertmanager's receivers have got, by road."""

    worker: Kept
    alerts: Kept
    prometheus: Prometheus
    alertmanager: Alertmanager
    receiver: Receiver
    jobs: Mapping[str, Path]
    families: set[str] = field(default_factory=set)

    def told(self, road: str, name: str, after: int = 0) -> bool:
        """Whether the receiver at the end of *road* was told that alert *name* fires.

        Of all requests to receivers the first *after* do not count.
        """
        return any(
            alert["labels"]["alertname"] == name and alert["status"] == "firing"
            for request in self.receiver.requests[after:]
            if request.path == f"/{road}"
            for alert in json.loads(request.body)["alerts"]
        )

    def fires(self, name: str) -> bool:
        return bool(self.prometheus.query(f'ALERTS{{alertname="{name}",alertstate="firing"}}'))

    def has(self, name: str) -> bool:
        """Whether Alertmanager knows the alert, an inhibited one too."""
        answer = httpx.get(
            f"{self.alertmanager.url}/api/v2/alerts",
            params={"filter": f'alertname="{name}"'},
            timeout=20,
            trust_env=False,
        )
        return bool(answer.json())

    def scrape(self, job: str, *addresses: str) -> None:
        """Let Prometheus read these, and no others, from now on."""
        scrape(self.jobs[job], *addresses)

    def note_families(self) -> None:
        """Remember the names of all metrics that are exported now."""
        for process in (self.worker, self.alerts):
            self.families |= set(re.findall(r"^# TYPE (\S+) ", process.scraped(), re.MULTILINE))


def scrape(targets: Path, *addresses: str) -> None:
    """Write the list of targets that Prometheus watches; it is there whole or not at all."""
    new = targets.with_suffix(".new")
    new.write_text(json.dumps([{"targets": addresses}]))
    new.rename(targets)


@contextmanager
def watched(facetally: Facetally, receiver: Receiver, home: Path) -> Iterator[Watched]:
    """Run all of it until the block ends; *receiver* ends the roads of Alertmanager."""
    worker, alerts = Kept(facetally, "worker"), Kept(facetally, "alerts")
    alertmanager = Alertmanager(quick_alertmanager(receiver.url))
    rules = quick_rules(home)
    jobs = {name: home / f"{name}.json" for name in ("facetally-worker", "facetally-alerts")}
    scrape(jobs["facetally-worker"], worker.address)
    scrape(jobs["facetally-alerts"], alerts.address)
    config = prometheus_of(rules, alertmanager.url.removeprefix("http://"), jobs)
    with contextlib.ExitStack() as stack:
        stack.callback(alertmanager.close)
        alertmanager.start()
        stack.callback(worker.stop)
        stack.callback(alerts.stop)
        worker.start()
        alerts.start()
        prometheus = stack.enter_context(Prometheus(config))
        yield Watched(worker, alerts, prometheus, alertmanager, receiver, jobs)

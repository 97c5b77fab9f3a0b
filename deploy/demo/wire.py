"""The simulated estate's happenings as CloudEvents, and the records that are none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from deploy.demo.happenings import Happening, Kind, Micros

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - only to be printed, with Z
_FIELDS = ("system", "gallery", "face", "individual")


class Sent(NamedTuple):
    """A record as it is written to Kafka."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def rfc3339(at: Micros) -> str:
    """Return *at* with a Z."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat() + "Z"


def structured(processor: str, it: Happening, *, keyed: bool) -> Sent:
    """Return *it* as one JSON object."""
    event = {"specversion": "1.0", **_attributes(processor, it), "data": _content(processor, it)}
    return Sent(_json(event), key=it.subject.encode() if keyed and it.subject else None)


def binary(processor: str, it: Happening, *, keyed: bool) -> Sent:
    """Return *it* with its attributes in headers."""
    attributes = {"specversion": "1.0", **_attributes(processor, it)}
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    headers.append(("content-type", b"application/json"))
    key = it.subject.encode() if keyed and it.subject else None
    return Sent(_json(_content(processor, it)), key, tuple(headers))


def strange(processor: str, at: Micros, number: int) -> Sent:
    """Return a record that stores nobody: every system sends some of these.

    A comparison (an unknown type: probes are not storage), one that does not say whose it is, one
    with an image in it, one that is cut off, one from the year 1970, and a tombstone.
    """
    probe = Happening(at, Kind.ENROLLED, system="somewhere", subject=f"probe-{number}")
    event = json.loads(structured(processor, probe, keyed=False).value or b"")
    match number % 6:
        case 0:
            event["type"] = "facetally.face.compared"
        case 1:
            del event["data"]["processor"]
        case 2:
            event["data"]["image"] = "bm90IGEgZmFjZQ=="
        case 3:
            return Sent(_json(event)[:-20])
        case 4:
            event["time"] = "1970-01-01T00:00:00Z"
        case _:
            return Sent(None, key=b"compacted")
    return Sent(_json(event))


def _attributes(processor: str, it: Happening) -> dict[str, str]:
    found = {
        "id": str(it.at),
        "source": f"/{processor}/{it.system}",
        "type": it.kind.value,
        "time": rfc3339(it.at),
    }
    return {**found, "subject": it.subject} if it.subject else found


def _content(processor: str, it: Happening) -> dict[str, str]:
    told = {name: value for name in _FIELDS if (value := getattr(it, name))}
    return {"processor": processor, **told}


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()

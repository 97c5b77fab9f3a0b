"""Reads a CloudEvents 1.0 envelope from a Kafka record, in structured or binary mode.

A typed parse is tried first; whatever that refuses is parsed again slowly, which finds the
precise reason. Both fill the same values, so it never matters which one it was. Faces inside are
refused here: by the typed parse because it knows no such field, and by the slow one by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from monitor.intake import Reason
from streams.adapters import checks
from streams.adapters.contract import KINDS, Kind
from streams.records import Undecodable

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]


class Data(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What we read of ``data``. A field that is not here sends the event to the slow path."""

    processor: str | None = None
    system: str | None = None
    gallery: str | None = None
    face: str | None = None
    individual: str | None = None
    rule: str | None = None
    duty: str | None = None
    reference: str | None = None
    # Only an empty list passes the typed parse: what is in it is for the slow path to look at.
    changed: Annotated[list[object], msgspec.Meta(max_length=0)] | None = None


class Event(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The attributes that we read, and those that are too common to be slow about."""

    specversion: str
    type: str
    data: Data
    time: str | None = None
    subject: str | None = None
    sequence: int | str | None = None
    id: str | None = None
    source: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    sequencetype: str | None = None
    partitionkey: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


_STRUCTURED: Final = re.compile(rb"\s*application/cloudevents(\+json)?\s*(;.*)?", re.IGNORECASE)
_JSON: Final = re.compile(rb"\s*[\w.+-]+/([\w.+-]+\+)?json\s*(;.*)?", re.IGNORECASE)
_PICTURE: Final = re.compile(rb"\s*(image|video)/", re.IGNORECASE)
_ATTRIBUTES: Final = frozenset(Event.__struct_fields__) - {"data"}
_TEXTS: Final = frozenset(Data.__struct_fields__) - {"changed"}
_BUILT: Final = frozenset(name for name, kind in KINDS.items() if kind.built)
_EVENTS: Final = msgspec.json.Decoder(Event)
_BODIES: Final = msgspec.json.Decoder(Data)


def read(value: bytes, headers: Headers) -> Event:
    """Return the event of a known type in *value* and *headers*, or raise Undecodable.

    Structured mode is told by the content type, or by there being neither one nor attributes in
    the headers. What is in the texts of an event, and whether all are there, is not looked at.
    """
    if len(value) > checks.MAX_VALUE_BYTES:
        raise Undecodable(Reason.TOO_LARGE)
    content, binary = _mode(headers)
    if content and _is_structured(content):
        event = _structured(value)
    elif binary:
        event = _binary(value, headers, content)
    elif content:
        raise Undecodable(Reason.NOT_CLOUDEVENTS)
    else:
        event = _structured(value)
    if event.specversion != "1.0":
        raise Undecodable(Reason.NOT_CLOUDEVENTS)
    if event.type not in _BUILT:
        _known(event.type)
    return event


@lru_cache(maxsize=64)
def _is_structured(content: bytes) -> bool:
    return _STRUCTURED.fullmatch(content) is not None


def _structured(value: bytes) -> Event:
    try:
        return _EVENTS.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass  # not the place to go on: the error would be the context of every reject
    return _slowly(checks.load_json(value))


def _binary(value: bytes, headers: Headers, content: bytes | None) -> Event:
    if content and not _JSON.fullmatch(content):
        picture = _PICTURE.match(content)
        raise Undecodable(Reason.HAS_BIOMETRIC_CONTENT if picture else Reason.NOT_JSON)
    attributes = _attributes(headers)
    if attributes.keys() <= _ATTRIBUTES and {"specversion", "type"} <= attributes.keys():
        try:
            return Event(data=_BODIES.decode(value), **attributes)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
    return _slowly({**attributes, "data": checks.load_json(value)})


def _mode(headers: Headers) -> tuple[bytes | None, bool]:
    """Return the content type, and whether there are attributes in the headers."""
    content, binary = None, False
    for key, held in headers:
        if key == "content-type" or key.lower() == "content-type":
            content = held
        elif key.startswith("ce_"):
            binary = True
    return content, binary


def _attributes(headers: Headers) -> dict[str, str]:
    try:
        return {key[3:]: held.decode() for key, held in headers if held and key.startswith("ce_")}
    except UnicodeDecodeError:
        pass
    raise Undecodable(Reason.BAD_TEXT)


def _slowly(raw: object) -> Event:
    """Return the event in *raw*, parsed JSON, or raise Undecodable with the precise reason."""
    if not isinstance(raw, dict):
        raise Undecodable(Reason.NOT_AN_OBJECT)
    if raw.get("specversion") != "1.0":
        raise Undecodable(Reason.NOT_CLOUDEVENTS)
    data = raw.pop("data", None)
    checks.refuse_biometric_content(data, _TEXTS)
    binary = raw.pop("data_base64", None)
    checks.refuse_biometric_content(raw, _ATTRIBUTES)
    found = _known(_optional_text(raw.get("type")))
    if data in (None, "", {}) and not binary:
        raise Undecodable(Reason.MISSING_FIELD)
    if binary or not isinstance(data, dict):
        raise Undecodable(Reason.NOT_AN_OBJECT)
    return _filled(raw, data, found)


def _known(name: str | None) -> Kind:
    """Return the row of the contract for the type *name*, if it can be handled."""
    if not name:
        raise Undecodable(Reason.MISSING_FIELD)
    found = KINDS.get(name)
    if found is None:
        raise Undecodable(Reason.UNKNOWN_TYPE)
    if not found.built:
        raise Undecodable(Reason.NOT_YET_SUPPORTED)
    return found


def _filled(raw: dict[str, Any], data: dict[str, Any], kind: Kind) -> Event:
    texts = {field: _optional_text(data.get(field)) for field in kind.fields & _TEXTS}
    changed = data.get("changed") if "changed" in kind.fields else None
    if changed is not None and not isinstance(changed, list):
        raise Undecodable(Reason.BAD_TEXT)
    sequence = raw.get("sequence")
    return Event(
        specversion="1.0",
        type=raw["type"],
        data=Data(**texts, changed=changed),
        time=_optional_text(raw.get("time"), Reason.BAD_TIME),
        subject=_optional_text(raw.get("subject")) if "subject" in kind.fields else None,
        sequence=None if sequence in (None, "") else checks.sequence(sequence),
    )


def _optional_text(value: object, reason: Reason = Reason.BAD_TEXT) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise Undecodable(reason)

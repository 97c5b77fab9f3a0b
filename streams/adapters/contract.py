"""The wire contract of ``facetally.*`` events as data: one row per type, and JSON Schema from it.

The CloudEvents adapter decides by this table, so what is published is what is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streams.adapters.checks import BIOMETRIC_KEYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What an event of one type must and may carry; ``subject`` is CloudEvents' own attribute.

    Of *either* at least one must be there; *only_with* maps a field to one it cannot be without.
    A kind that is not *built* is known, and set aside until it is.
    """

    meaning: str
    required: tuple[str, ...] = ("processor",)
    optional: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    only_with: Mapping[str, str] = field(default_factory=dict)
    built: bool = True

    @property
    def fields(self) -> frozenset[str]:
        """Return all fields that an event of this kind is read for."""
        return frozenset((*self.required, *self.optional, *self.either))


PREFIX: Final = "facetally."


def _filing(meaning: str) -> Kind:
    return Kind(meaning=meaning, optional=("rule", "duty", "reference"))


_CENSUS: Final = Kind(
    meaning="a full listing of what a system holds",
    required=("processor", "system", "census"),
    optional=("gallery", "subject", "face", "count"),
    built=False,
)

KINDS: Final[Mapping[str, Kind]] = {
    "facetally.face.enrolled": Kind(
        meaning="a face of the subject is stored",
        required=("subject", "processor", "system"),
        optional=("gallery", "face"),
    ),
    "facetally.face.removed": Kind(
        meaning="that face is no longer stored; without face: the subject's unnamed one",
        required=("processor", "system"),
        optional=("gallery",),
        either=("subject", "face"),
    ),
    "facetally.subject.removed": Kind(
        meaning="all faces of the subject are gone: in the gallery, the system or everywhere",
        required=("subject", "processor"),
        optional=("system", "gallery"),
        only_with={"gallery": "system"},
    ),
    "facetally.gallery.purged": Kind(
        meaning="everything older in the gallery is gone",
        required=("processor", "system"),
        optional=("gallery",),
    ),
    "facetally.system.purged": Kind(
        meaning="everything older in the system is gone", required=("processor", "system")
    ),
    "facetally.subject.linked": Kind(
        meaning="the subject is the individual with that id in the default namespace",
        required=("subject", "processor", "individual"),
        optional=("system",),
    ),
    "facetally.subject.unlinked": Kind(
        meaning="the subject is only itself again",
        required=("subject", "processor"),
        optional=("system",),
    ),
    "facetally.processor.terminated": Kind(
        meaning="use of face recognition has ended", optional=("reason",)
    ),
    "facetally.registration.changed": Kind(
        meaning="filed facts changed materially",
        required=("processor", "changed"),
        optional=("description",),
    ),
    "facetally.filing.submitted": _filing(
        "a filing was submitted to the authority; without rule and duty the one owed longest"
    ),
    "facetally.filing.returned": _filing("a submitted filing was returned for improvement"),
    "facetally.filing.completed": _filing("a submitted filing is completed"),
    "facetally.filing.failed": _filing("the review of a submitted filing failed"),
    "facetally.filing.terminated": _filing(
        "the procedure was terminated, as what was returned was not supplemented in time, say"
    ),
    "facetally.census.began": _CENSUS,
    "facetally.census.listed": _CENSUS,
    "facetally.census.ended": _CENSUS,
}

# No control characters; the adapter refuses lone surrogates too, which a pattern cannot say.
_EXACT: Final = r"^[^\u0000-\u001f\u007f-\u009f]*$"
_NAME: Final = {"description": "printable", "type": "string", "maxLength": 200, "pattern": _EXACT}
_ID: Final = {"type": "string", "maxLength": 512, "pattern": _EXACT}
_WORDS: Final = {"type": "string"}
_FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "processor": _NAME,
    "system": _NAME,
    "gallery": _NAME,
    "subject": _ID,
    "face": _ID,
    "individual": _ID,
    "reason": _WORDS,
    "description": _WORDS,
    "changed": {"type": "array", "items": {"type": "string"}},
    "rule": {**_NAME, "description": "the id of the rule that the filing is owed under"},
    "duty": {**_NAME, "description": "the key of the duty, as 'facetally duties --json' has it"},
    "reference": {**_NAME, "description": "of the receipt; an answer repeats that of its filing"},
}
_ENVELOPE: Final[Mapping[str, Mapping[str, Any]]] = {
    "specversion": {"const": "1.0"},
    "id": {"type": "string", "minLength": 1},
    "source": {"type": "string", "minLength": 1},
    "time": {
        "type": "string",
        "format": "date-time",
        "description": "when it happened, RFC 3339 with a time zone; digits below 1 us are cut",
    },
    "data": {
        "description": "never an image, template or embedding, at any depth, under any name",
        "propertyNames": {"not": {"enum": sorted(BIOMETRIC_KEYS)}},
    },
    "sequence": {
        "description": "monotonic per producer, 64 unsigned bits; orders events of equal time",
        "anyOf": [
            {"type": "string", "pattern": "^[0-9]{0,40}$"},
            {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
            {"type": "null"},
        ],
    },
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a structured event, for those who send.

    It is a little stricter than the adapter, which does without ``id`` and ``source`` because it
    never needs them. Types that are not built yet are absent.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "facetally events (CloudEvents 1.0, JSON)",
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "data"],
        "properties": {name: dict(schema) for name, schema in _ENVELOPE.items()},
        "not": {"required": ["data_base64"]},
        "oneOf": [_event(name, kind) for name, kind in KINDS.items() if kind.built],
    }


def _event(name: str, kind: Kind) -> dict[str, Any]:
    needed = [field for field in kind.required if field != "subject"]
    data: dict[str, Any] = {
        "type": "object",
        "required": needed,
        "properties": {f: _field(f, kind) for f in sorted(kind.fields - {"subject"})},
    }
    if kind.only_with:
        data["dependentSchemas"] = {
            field: {"anyOf": [_absent(field), {"required": [other], **_present(other)}]}
            for field, other in kind.only_with.items()
        }
    event: dict[str, Any] = {
        "title": name,
        "description": kind.meaning,
        "properties": {"type": {"const": name}, "data": data},
    }
    if "subject" in kind.fields:
        event["properties"]["subject"] = _field("subject", kind)
    if "subject" in kind.required:
        event["required"] = ["subject"]
    if kind.either:
        event["anyOf"] = [_carries(field) for field in kind.either]
    return event


def _field(name: str, kind: Kind) -> dict[str, Any]:
    schema = dict(_FIELDS[name])
    if name in kind.required:
        least = "minItems" if schema["type"] == "array" else "minLength"
        return {**schema, least: 1}
    return {**schema, "type": [schema["type"], "null"]}  # null and empty both mean absent


def _carries(name: str) -> dict[str, Any]:
    there = {"required": [name], **_present(name)}
    return there if name == "subject" else {"properties": {"data": there}}


def _present(name: str) -> dict[str, Any]:
    return {"properties": {name: {"type": "string", "minLength": 1}}}


def _absent(name: str) -> dict[str, Any]:
    return {"properties": {name: {"enum": ["", None]}}}

import json
import traceback
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.facts import (
    UNNAMED,
    Changed,
    Enrolled,
    Fact,
    Filed,
    Linked,
    Order,
    Place,
    Purged,
    Removed,
    Store,
    SubjectRemoved,
    Terminated,
    Version,
)
from monitor.identity import Identity
from monitor.intake import Decoded, Ignored, Reason, SnapshotSign
from streams.adapters.cloudevents import CloudEvents, json_schema
from streams.adapters.contract import KINDS
from streams.records import Record, Undecodable

CANARY = "zhang-san-42"
AT = 1_748_779_200_000_001  # TIME
TIME = "2025-06-01T12:00:00.000001Z"
READ_AT = AT + 60_000_000
IDENTITY = Identity("ab" * 32, {("acme", "lab"): "lab", ("acme", "till"): "shared/group"})
V = Version(AT, 0, 0)

STAFF = Place("acme", "gate", "staff")
STAFF_STORE = Store('["acme", "gate", "staff"]', Order.TIME)
BARE = Place("acme", "gate", "")
BARE_STORE = Store('["acme", "gate", ""]', Order.TIME)
P1 = IDENTITY.subject("acme", "gate", "p1")
IN_DEFAULT = IDENTITY.subject("acme", None, "p1")

STRUCTURED = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


def event(kind: str = "face.enrolled", /, **fields: Any) -> dict[str, Any]:
    """Return an event of acme's gate about p1; *fields* of data, or attributes if known so."""
    top: dict[str, Any] = {"subject": "p1", "time": TIME}
    data: dict[str, Any] = {"processor": "acme", "system": "gate"}
    for name, value in fields.items():
        (top if name in {"subject", "time", "sequence", "specversion"} else data)[name] = value
    return {
        "specversion": "1.0",
        "id": "1",
        "source": "/acme",
        "type": f"facetally.{kind}",
        **{name: value for name, value in top.items() if value is not ...},
        "data": {name: value for name, value in data.items() if value is not ...},
    }


def structured(wire: Mapping[str, Any], offset: int = 0) -> Record:
    return Record("faces", 0, offset, READ_AT // 1000, None, json.dumps(wire).encode(), STRUCTURED)


def binary(wire: Mapping[str, Any]) -> Record:
    headers = [(f"ce_{k}", str(v).encode()) for k, v in wire.items() if k != "data"]
    headers.append(("content-type", b"application/json"))
    value = json.dumps(wire["data"]).encode()
    return Record("faces", 0, 0, READ_AT // 1000, None, value, headers)


def raw(value: bytes | None, *headers: tuple[str, bytes | None]) -> Record:
    return Record("faces", 0, 0, READ_AT // 1000, None, value, headers)


def decode(record: Record, **settings: Any) -> Decoded:
    return CloudEvents(IDENTITY, **settings).decode(record, READ_AT)


def reason(record: Record) -> Reason:
    with pytest.raises(Undecodable) as caught:
        decode(record)
    return caught.value.reason


FACTS: list[tuple[str, dict[str, Any], Fact]] = [
    (
        "a named face in a gallery",
        event("face.enrolled", gallery="staff", face="f1"),
        Enrolled(STAFF_STORE, IDENTITY.face(STAFF_STORE.name, "f1"), STAFF, P1, V, AT, AT),
    ),
    (
        "without face it is the unnamed slot, without gallery the unnamed gallery",
        event("face.enrolled"),
        Enrolled(BARE_STORE, UNNAMED, BARE, P1, V, AT, AT),
    ),
    (
        "empty means absent",
        event("face.enrolled", gallery="", face="", sequence=""),
        Enrolled(BARE_STORE, UNNAMED, BARE, P1, V, AT, AT),
    ),
    (
        "null means absent",
        event("face.enrolled", gallery=None, face=None),
        Enrolled(BARE_STORE, UNNAMED, BARE, P1, V, AT, AT),
    ),
    (
        "fields that nobody knows are ignored",
        event("face.enrolled", operator="x", score=0.98, tags=["a", {"b": 1}]),
        Enrolled(BARE_STORE, UNNAMED, BARE, P1, V, AT, AT),
    ),
    (
        "a system with a namespace of its own",
        event("face.enrolled", system="lab"),
        Enrolled(
            Store('["acme", "lab", ""]'),
            UNNAMED,
            Place("acme", "lab", ""),
            IDENTITY.subject_in("acme", "lab", "p1"),
            V,
            AT,
            AT,
        ),
    ),
    (
        "a sequence breaks ties",
        event("face.enrolled", sequence="007"),
        Enrolled(BARE_STORE, UNNAMED, BARE, P1, Version(AT, 7, 0), AT, AT),
    ),
    (
        "the largest sequence",
        event("face.enrolled", sequence=2**64 - 1),
        Enrolled(BARE_STORE, UNNAMED, BARE, P1, Version(AT, 2**64 - 1, 0), AT, AT),
    ),
    (
        "a removed face is nobody's, whoever is named",
        event("face.removed", gallery="staff", face="f1"),
        Removed(STAFF_STORE, IDENTITY.face(STAFF_STORE.name, "f1"), None, None, V, AT, AT),
    ),
    (
        "a face is removed without its subject",
        event("face.removed", subject=..., gallery="staff", face="f1"),
        Removed(STAFF_STORE, IDENTITY.face(STAFF_STORE.name, "f1"), None, None, V, AT, AT),
    ),
    (
        "the unnamed face is removed by its subject",
        event("face.removed"),
        Removed(BARE_STORE, UNNAMED, BARE, P1, V, AT, AT),
    ),
    (
        "a subject in a gallery",
        event("subject.removed", gallery="staff"),
        SubjectRemoved("acme", "gate", "staff", P1, V, AT),
    ),
    (
        "a subject in all galleries of a system",
        event("subject.removed"),
        SubjectRemoved("acme", "gate", None, P1, V, AT),
    ),
    (
        "a subject everywhere, by the default namespace",
        event("subject.removed", system=...),
        SubjectRemoved("acme", None, None, IN_DEFAULT, V, AT),
    ),
    (
        "a gallery",
        event("gallery.purged", subject=..., gallery="staff"),
        Purged("acme", "gate", "staff", V, AT),
    ),
    (
        "the unnamed gallery only, not the system",
        event("gallery.purged", subject=...),
        Purged("acme", "gate", "", V, AT),
    ),
    ("a system", event("system.purged", gallery="staff"), Purged("acme", "gate", None, V, AT)),
    (
        "a link is to an individual of the default namespace",
        event("subject.linked", system="lab", individual="p1"),
        Linked("acme", IDENTITY.subject("acme", "lab", "p1"), IN_DEFAULT, V, AT),
    ),
    (
        "a link from a shared namespace",
        event("subject.linked", system="till", individual="p1"),
        Linked("acme", IDENTITY.subject_in("beta", "shared/group", "p1"), IN_DEFAULT, V, AT),
    ),
    (
        "a link within the default namespace",
        event("subject.linked", system=..., individual="p2"),
        Linked("acme", IN_DEFAULT, IDENTITY.subject("acme", None, "p2"), V, AT),
    ),
    (
        "a link taken back, and the individual not asked",
        event("subject.unlinked", individual="p2"),
        Linked("acme", P1, None, V, AT),
    ),
    (
        "an end",
        event("processor.terminated", system=..., subject=..., reason=f"{CANARY} left"),
        Terminated("acme", V, AT),
    ),
    (
        "an end carries no system, even if one is sent",
        event("processor.terminated", system=7),
        Terminated("acme", V, AT),
    ),
    (
        "a change, each field once and in order",
        event("registration.changed", system=..., changed=["purpose", "measures", "purpose"]),
        Changed("acme", ("purpose", "measures"), V, AT),
    ),
    (
        "of a change nothing is kept that could be a sentence",
        event(
            "registration.changed",
            changed=["purpose", f"agent is now {CANARY}", "张三", 7, "x" * 65],
            description=CANARY,
        ),
        Changed("acme", ("purpose", "other"), V, AT),
    ),
    (
        "a filing, with all that can be told of it",
        event(
            "filing.submitted",
            system=...,
            subject=...,
            rule="frt.file",
            duty="2",
            reference="2026-0042",
            reason=CANARY,
        ),
        Filed("acme", "submitted", "frt.file", "2", "2026-0042", V, AT),
    ),
    (
        "a return, with nothing but whose it is",
        event("filing.returned", system=..., subject=...),
        Filed("acme", "returned", None, None, None, V, AT),
    ),
    (
        "a completion, empty means absent",
        event("filing.completed", rule="", duty=None, sequence=3),
        Filed("acme", "completed", None, None, None, Version(AT, 3, 0), AT),
    ),
    (
        "a failure",
        event("filing.failed", rule="frt.change"),
        Filed("acme", "failed", "frt.change", None, None, V, AT),
    ),
    (
        "a procedure that the authority ended",
        event("filing.terminated", rule="frt.file", reference="7"),
        Filed("acme", "terminated", "frt.file", None, "7", V, AT),
    ),
    (
        "a time with another zone, finer than we keep",
        event("face.enrolled", time="2025-06-01T20:00:00.0000019+08:00"),
        Enrolled(BARE_STORE, UNNAMED, BARE, P1, V, AT, AT),
    ),
]
CASES = pytest.mark.parametrize(
    ("wire", "fact"), [row[1:] for row in FACTS], ids=[row[0] for row in FACTS]
)


@CASES
def test_an_event_is_one_fact(wire: dict[str, Any], fact: Fact) -> None:
    assert decode(structured(wire)) == Decoded((fact,), None, AT)


@CASES
def test_binary_mode_says_the_same(wire: dict[str, Any], fact: Fact) -> None:
    assert decode(binary(wire)) == Decoded((fact,), None, AT)


@CASES
def test_the_slow_way_says_the_same(wire: dict[str, Any], fact: Fact) -> None:
    unknown = {**wire, "comexample": {"a": 1}, "data": {**wire["data"], "unknown": None}}

    assert decode(structured(unknown)) == Decoded((fact,), None, AT)


def test_every_type_of_the_contract_that_is_built_is_among_the_examples() -> None:
    assert {wire["type"] for _, wire, _ in FACTS} == {k for k, kind in KINDS.items() if kind.built}


BAD: list[tuple[str, dict[str, Any], Reason]] = [
    ("no processor", event(processor=...), Reason.MISSING_FIELD),
    ("empty processor", event(processor=""), Reason.MISSING_FIELD),
    ("processor is a number", event(processor=5), Reason.BAD_TEXT),
    ("processor is a list", event(processor=["acme"]), Reason.BAD_TEXT),
    ("processor is too long", event(processor="a" * 201), Reason.TOO_LONG),
    ("NUL in the processor", event(processor="a\0"), Reason.BAD_TEXT),
    ("lone surrogate in the system", event(system="\ud800"), Reason.BAD_TEXT),
    ("lone surrogate in the subject", event(subject="\ud800"), Reason.BAD_TEXT),
    ("lone surrogate in the face", event(face="\udfff"), Reason.BAD_TEXT),
    ("NUL in the gallery", event(gallery="\0"), Reason.BAD_TEXT),
    ("NUL in the subject", event(subject="p\x001"), Reason.BAD_TEXT),
    ("no system", event(system=...), Reason.MISSING_FIELD),
    ("no subject", event(subject=...), Reason.MISSING_FIELD),
    ("empty subject", event(subject=""), Reason.MISSING_FIELD),
    ("subject is a number", event(subject=123), Reason.BAD_TEXT),
    ("subject of 10 kB", event(subject="x" * 10_240), Reason.TOO_LONG),
    ("face of 10 kB", event(face="x" * 10_240), Reason.TOO_LONG),
    ("face is a number", event(face=1), Reason.BAD_TEXT),
    ("gallery is false", event(gallery=False), Reason.BAD_TEXT),
    ("neither subject nor face", event("face.removed", subject=...), Reason.MISSING_FIELD),
    (
        "gallery without system",
        event("subject.removed", system=..., gallery="staff"),
        Reason.MISSING_FIELD,
    ),
    ("gallery without system to purge", event("gallery.purged", system=...), Reason.MISSING_FIELD),
    ("no individual", event("subject.linked"), Reason.MISSING_FIELD),
    ("individual with NUL", event("subject.linked", individual="\0"), Reason.BAD_TEXT),
    ("nothing has changed", event("registration.changed", changed=[]), Reason.MISSING_FIELD),
    ("what changed is a text", event("registration.changed", changed="a"), Reason.BAD_TEXT),
    ("no time", event(time=...), Reason.MISSING_FIELD),
    ("time in milliseconds", event(time=1_748_736_000_123), Reason.BAD_TIME),
    ("time without zone", event(time="2025-06-01T12:00:00"), Reason.BAD_TIME),
    ("year 1", event(time="0001-01-01T00:00:00Z"), Reason.TOO_EARLY),
    ("year 0", event(time="0000-01-01T00:00:00Z"), Reason.BAD_TIME),
    ("a day in the future", event(time="2025-06-02T12:00:00Z"), Reason.IN_THE_FUTURE),
    ("sequence is a word", event(sequence="seven"), Reason.BAD_SEQUENCE),
    ("sequence is negative", event(sequence=-1), Reason.BAD_SEQUENCE),
    ("sequence is true", event(sequence=True), Reason.BAD_SEQUENCE),
    ("sequence is fractional", event(sequence=1.5), Reason.BAD_SEQUENCE),
    ("sequence is beyond 64 bits", event(sequence=2**64), Reason.BAD_SEQUENCE),
    ("unknown type", event("face.seen"), Reason.UNKNOWN_TYPE),
    ("another's type", {**event(), "type": "com.example.x"}, Reason.UNKNOWN_TYPE),
    ("no type", {**event(), "type": ""}, Reason.MISSING_FIELD),
    ("type is a list", {**event(), "type": []}, Reason.BAD_TEXT),
    ("a filing of a number", event("filing.submitted", rule=5), Reason.BAD_TEXT),
    ("a filing of nobody", event("filing.returned", processor=""), Reason.MISSING_FIELD),
    ("a reference of 201 signs", event("filing.failed", reference="x" * 201), Reason.TOO_LONG),
    ("a census", event("census.began", census="c1"), Reason.NOT_YET_SUPPORTED),
    ("an embedding inside", event(embedding=[0.1] * 128), Reason.HAS_BIOMETRIC_CONTENT),
    ("an image deep inside", event(x=[{"Face-Image": "x"}]), Reason.HAS_BIOMETRIC_CONTENT),
    ("an image beside data", {**event(), "photo": "x"}, Reason.HAS_BIOMETRIC_CONTENT),
    (
        "an image in an unknown type",
        event("face.seen", image="x"),
        Reason.HAS_BIOMETRIC_CONTENT,
    ),
    (
        "an image as a description",
        event("registration.changed", changed=["a"], description="/9j/" + "A" * 400),
        Reason.HAS_BIOMETRIC_CONTENT,
    ),
    ("another version", {**event(), "specversion": "0.3"}, Reason.NOT_CLOUDEVENTS),
    ("version as a number", {**event(), "specversion": 1.0}, Reason.NOT_CLOUDEVENTS),
    ("no data", {**event(), "data": None}, Reason.MISSING_FIELD),
    ("data is a text", {**event(), "data": "{}"}, Reason.NOT_AN_OBJECT),
    ("data is a list", {**event(), "data": [1]}, Reason.NOT_AN_OBJECT),
    ("data in base64", {**event(), "data": None, "data_base64": "e30="}, Reason.NOT_AN_OBJECT),
]


@pytest.mark.parametrize(
    ("wire", "expected"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_a_bad_event_is_refused_with_its_reason(wire: dict[str, Any], expected: Reason) -> None:
    assert reason(structured(wire)) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", Reason.NOT_JSON),
        (b"hello", Reason.NOT_JSON),
        (b"\xff\xfe", Reason.NOT_JSON),
        (json.dumps(event(face=float("inf"))).encode(), Reason.NOT_JSON),
        (json.dumps(event(score=float("nan"))).encode(), Reason.NOT_JSON),
        (json.dumps(event()).encode() + b"x", Reason.NOT_JSON),
        (b'{"specversion":"1.0","data":' + b"[" * 100_000, Reason.NOT_JSON),
        (b"[]", Reason.NOT_AN_OBJECT),
        (b"null", Reason.NOT_AN_OBJECT),
        (b"5", Reason.NOT_AN_OBJECT),
        (b"{}", Reason.NOT_CLOUDEVENTS),
        (json.dumps(event(note="x" * 5_000_000)).encode(), Reason.TOO_LARGE),
        (b"\0" * 5_000_000, Reason.TOO_LARGE),
    ],
    ids=lambda case: f"{case[:30]!r}-{len(case)}" if isinstance(case, bytes) else str(case),
)
def test_bytes_that_are_no_event_are_refused(value: bytes, expected: Reason) -> None:
    assert reason(raw(value, *STRUCTURED)) is expected
    assert reason(raw(value)) is expected


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", b"00-1-2-3")],
        [("content-type", None)],
        [("content-type", b"application/cloudevents")],
        [("Content-Type", b"Application/CloudEvents+JSON;charset=utf-8")],
        # Structured wins over attributes, as the binding says.
        [("ce_type", b"x"), ("content-type", b"application/cloudevents+json")],
    ],
    ids=str,
)
def test_structured_mode_is_known_by_its_content_type_or_by_there_being_none(
    headers: list[tuple[str, bytes | None]],
) -> None:
    record = raw(json.dumps(event()).encode(), *headers)

    assert decode(record) == decode(structured(event()))


@pytest.mark.parametrize(
    "content", [b"application/json", b"text/plain", b"application/cloudevents-batch+json"]
)
def test_another_content_type_without_attributes_is_no_cloud_event(content: bytes) -> None:
    record = raw(json.dumps(event()).encode(), ("content-type", content))

    assert reason(record) is Reason.NOT_CLOUDEVENTS


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"content-type": b"image/jpeg"}, Reason.HAS_BIOMETRIC_CONTENT),
        ({"content-type": b"text/plain"}, Reason.NOT_JSON),
        ({"ce_subject": b"\xff"}, Reason.BAD_TEXT),
        ({"ce_subject": b"\0"}, Reason.BAD_TEXT),
        ({"ce_specversion": None}, Reason.NOT_CLOUDEVENTS),
        ({"ce_type": None}, Reason.MISSING_FIELD),
        ({"ce_time": None}, Reason.MISSING_FIELD),
        ({"ce_photo": b"x"}, Reason.HAS_BIOMETRIC_CONTENT),
    ],
    ids=str,
)
def test_bad_headers_are_refused(change: dict[str, bytes | None], expected: Reason) -> None:
    good = binary(event())
    headers = {**dict(good.headers), **change}

    assert reason(good._replace(headers=list(headers.items()))) is expected


@pytest.mark.parametrize("content", [b"application/json; charset=utf-8", b"application/x+json"])
def test_binary_mode_takes_any_json(content: bytes) -> None:
    good = binary(event())
    headers = [*good.headers[:-1], ("content-type", content), ("ce_extension", b"x")]

    assert decode(good._replace(headers=headers)) == decode(good)


@pytest.mark.parametrize("record", [structured(event()), binary(event()), raw(b"")])
def test_a_null_value_is_a_tombstone(record: Record) -> None:
    assert decode(record._replace(value=None)) == Decoded(ignored=Ignored.TOMBSTONE)


def test_ids_that_look_alike_stay_apart() -> None:
    ids = ["00123", "123", "0123", " 123", "e\u0301", "\u00e9"]
    subjects = {decode(structured(event(subject=i))).facts[0].subject for i in ids}  # type: ignore[union-attr]  # all are Enrolled

    assert len(subjects) == len(ids)


def test_no_two_places_share_a_store() -> None:
    places = [("a", "b", "c"), ("a", 'b", "c', ""), ('a", "b', "c", ""), ("a", "b", "")]
    stores = {
        decode(structured(event(processor=p, system=s, gallery=g))).facts[0].store.name  # type: ignore[union-attr]  # all are Enrolled
        for p, s, g in places
    }

    assert len(stores) == len(places)


def test_places_and_stores_are_made_once() -> None:
    adapter = CloudEvents(IDENTITY)
    first, second = (
        adapter.decode(structured(event(subject=s)), READ_AT).facts[0] for s in ("p1", "p2")
    )

    assert isinstance(first, Enrolled)
    assert isinstance(second, Enrolled)
    assert (first.place is second.place, first.store is second.store) == (True, True)


@pytest.mark.parametrize(
    ("sequence", "middle"),
    [
        (..., 41),  # none given: the offset
        ("", 41),
        (7, 7),
        (0, 0),  # given, so the offset is not asked
    ],
)
def test_an_offset_may_stand_for_a_missing_sequence(sequence: Any, middle: int) -> None:
    record = structured(event(sequence=sequence), offset=41)
    decoded = decode(record, offset_is_sequence=True)

    assert decoded.facts[0].version == Version(AT, middle, 0)


def test_the_tolerance_is_a_setting() -> None:
    record = structured(event())._replace(timestamp=AT // 1000 - 10_000)

    assert decode(record).instant == AT
    with pytest.raises(Undecodable, match="in_the_future"):
        decode(record, tolerance_us=9_000_000)


def test_a_source_that_began_late_says_so_with_every_record() -> None:
    decoded = decode(structured(event()), complete=False)

    assert decoded.sign == SnapshotSign("faces", AT, row=True)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
TOP = ("specversion", "type", "time", "subject", "sequence", "data", "id", "data_base64")
DATA = ("processor", "system", "gallery", "face", "individual", "changed", "reason", "extra")


@given(st.sampled_from([row[1] for row in FACTS]), st.sampled_from(TOP + DATA), ANYTHING)
@example(event(), "time", "0001-01-01T00:00:00+23:59")
@example(event(), "subject", "\ud800")
@example(event(), "face", float("inf"))
@example(event(), "type", {})
@example(event(), "processor", [])
def test_one_field_replaced_is_a_fact_or_undecodable_and_nothing_else(
    wire: dict[str, Any], field: str, value: object
) -> None:
    changed = (
        {**wire, field: value} if field in TOP else {**wire, "data": {**wire["data"], field: value}}
    )
    try:
        decoded = decode(structured(changed))
    except Undecodable as exc:
        assert exc.args == (exc.reason.value,)  # noqa: PT017 - either outcome is right
        return

    assert isinstance(decoded.facts[0], Fact)


@given(st.binary(max_size=200), st.lists(st.tuples(st.text(), st.none() | st.binary())))
@example(b"{}", [("ce_", b""), ("content-type", b"\xff")])
def test_any_bytes_under_any_headers_are_a_fact_or_undecodable(
    value: bytes, headers: list[tuple[str, bytes | None]]
) -> None:
    with pytest.raises(Undecodable):
        decode(raw(value, *headers))


@pytest.mark.parametrize(
    "wire",
    [
        event(subject=CANARY + "\0"),
        event(subject=CANARY, face=CANARY * 60),
        event(subject=CANARY, time=CANARY),
        event(subject=CANARY, sequence=CANARY),
        event(subject=CANARY, **{CANARY: "\ud800", "processor": ""}),
        event(subject=CANARY, image=CANARY),
        {**event(subject=CANARY), "type": CANARY},
        {**event(subject=CANARY), "data": CANARY},
        {**event(subject=CANARY), CANARY: float("nan")},
        event(subject=CANARY, processor=[CANARY]),
    ],
    ids=range(10),
)
def test_an_error_never_quotes_the_record(wire: dict[str, Any]) -> None:
    record = structured(wire)
    with pytest.raises(Undecodable) as caught:
        decode(record)

    shown = "".join(traceback.format_exception(caught.value, chain=True, limit=0))
    assert CANARY in str(record.value)
    assert CANARY not in str(caught.value) + repr(caught.value) + repr(vars(caught.value)) + shown
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_fact_never_holds_a_raw_id() -> None:
    wires = [
        event(subject=CANARY, face=CANARY),
        event("face.removed", face=CANARY),
        event("subject.removed", subject=CANARY),
        event("subject.linked", subject=CANARY, individual=CANARY),
        event("processor.terminated", reason=CANARY),
        event("registration.changed", changed=["a", f"for {CANARY}"], description=CANARY),
    ]

    assert CANARY not in repr([decode(structured(wire)) for wire in wires])


def test_the_published_schema_names_every_type_that_is_built_with_what_it_must_carry() -> None:
    published = {
        branch["properties"]["type"]["const"]: {
            *branch.get("required", []),
            *branch["properties"]["data"]["required"],
        }
        for branch in json_schema()["oneOf"]
    }

    assert published == {name: {*kind.required} for name, kind in KINDS.items() if kind.built}


def test_the_published_schema_is_json() -> None:
    assert json.loads(json.dumps(json_schema())) == json_schema()

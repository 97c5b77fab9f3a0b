"""The mapping of tables: what the settings may say, and what a wrong one is told."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from streams.adapters.mapping import BadMapping, Column, OneOf, Present, SourceMapping, read_mapping
from tests.conftest import REPOSITORY

EXAMPLES = sorted((REPOSITORY / "deploy" / "examples").glob("*.toml"))
TABLE: dict[str, object] = {
    "table": "public.faces",
    "face": "id",
    "subject": "person",
    "processor": "acme",
    "system": "gate",
}


def mapping(**changed: object) -> SourceMapping:
    """Map one table that differs from TABLE as told; None leaves a key out."""
    table = {key: value for key, value in {**TABLE, **changed}.items() if value is not None}
    return read_mapping("src", {"tables": [table]})


def test_what_is_left_out_means_one_row_is_one_face_of_the_unnamed_gallery() -> None:
    (table,) = mapping().tables

    assert (table.schema, table.table) == ("public", "faces")
    assert table.face == ("id",)
    assert table.gallery == ""
    assert table.stored is None
    assert table.dated_by is None


def test_owner_fields_are_texts_or_columns() -> None:
    (table,) = mapping(processor={"column": "tenant"}, gallery={"column": "site"}).tables

    assert table.processor == Column("tenant")
    assert table.system == "gate"
    assert table.gallery == Column("site")


def test_a_primary_key_may_have_several_columns() -> None:
    (table,) = mapping(face=["tenant", "id"]).tables

    assert table.face == ("tenant", "id")


@pytest.mark.parametrize(
    ("setting", "stored"),
    [
        ("row", None),
        (
            {"column": "status", "in": ["active", "new"]},
            OneOf("status", frozenset({"active", "new"})),
        ),
        ({"column": "on", "in": [True, 1]}, OneOf("on", frozenset({"true", "1"}))),
        ({"column": "template", "present": True}, Present("template")),
        ({"column": "deleted_at", "present": False}, Present("deleted_at", present=False)),
    ],
)
def test_the_rule_says_when_a_row_holds_a_face(setting: object, stored: object) -> None:
    (table,) = mapping(stored=setting).tables

    assert table.stored == stored


def test_a_store_is_named_after_source_and_table_unless_told_otherwise() -> None:
    default, named = mapping(), mapping(store="faces of acme")

    assert default.store_of(default.tables[0], "public") == "src/public.faces"
    assert named.store_of(named.tables[0], "public") == "faces of acme"


def test_a_table_without_schema_is_mapped_in_each_schema_with_a_store_of_its_own() -> None:
    anywhere = mapping(table="faces")
    table = anywhere.find("lab", "faces")

    assert table is not None
    assert anywhere.store_of(table, "lab") == "src/lab.faces"
    assert anywhere.store_of(table, "public") == "src/public.faces"
    assert anywhere.store_of(table, None) == "src/faces"


def test_the_mapping_with_the_schema_goes_before_the_one_without() -> None:
    tables = [{**TABLE, "table": "faces"}, {**TABLE, "table": "lab.faces", "system": "lab"}]
    both = read_mapping("src", {"tables": tables})

    found = both.find("lab", "faces"), both.find("public", "faces"), both.find("lab", "other")
    assert [table and table.system for table in found] == ["lab", "gate", None]


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"table": None}, "table"),
        ({"table": "public."}, "table"),
        ({"table": 7}, "table"),
        ({"face": None}, "face"),
        ({"face": []}, "face"),
        ({"face": ["id", "id"]}, "face"),
        ({"face": ["id", ""]}, "face"),
        ({"subject": None}, "subject"),
        ({"subject": {"column": "person"}}, "subject"),
        ({"processor": None}, "processor"),
        ({"processor": ""}, "processor"),
        ({"processor": {"columns": "tenant"}}, "processor"),
        ({"processor": {"column": ""}}, "processor.column"),
        ({"system": None}, "system"),
        ({"system": "a\nb"}, "system"),
        ({"gallery": 0}, "gallery"),
        ({"stored": "rows"}, "stored"),
        ({"stored": {"column": "status"}}, "stored"),
        ({"stored": {"column": "status", "in": []}}, "stored.in"),
        ({"stored": {"column": "status", "in": "active"}}, "stored.in"),
        ({"stored": {"column": "status", "in": [1.5]}}, "stored.in"),
        ({"stored": {"column": "template", "present": 1}}, "stored.present"),
        ({"dated_by": 1}, "dated_by"),
        ({"store": ""}, "store"),
        ({"table": "faces", "store": "one"}, "store"),
        ({"galery": "main"}, "galery"),
    ],
)
def test_a_wrong_table_is_refused_by_the_name_of_its_key(
    changed: dict[str, object], key: str
) -> None:
    with pytest.raises(BadMapping) as caught:
        mapping(**changed)

    assert str(caught.value).startswith(f"sources.src.tables[0].{key}: ")


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "tables"),
        ({"tables": []}, "tables"),
        ({"tables": TABLE}, "tables"),
        ({"tables": ["public.faces"]}, "tables[0]"),
        ({"tables": [TABLE, TABLE]}, "tables"),
        ({"tables": [TABLE], "epoch": -1}, "epoch"),
        ({"tables": [TABLE], "epoch": True}, "epoch"),
        ({"tables": [TABLE], "epoch": "1"}, "epoch"),
        ({"tables": [TABLE], "adapter": "canal"}, "adapter"),
        ({"tables": [TABLE], "tabels": []}, "tabels"),
    ],
)
def test_a_wrong_source_is_refused_by_the_name_of_its_key(
    settings: dict[str, object], key: str
) -> None:
    with pytest.raises(BadMapping) as caught:
        read_mapping("src", settings)

    assert str(caught.value).startswith(f"sources.src.{key}: ")


@pytest.mark.parametrize("store", ["both", "src/public.faces"])
def test_two_tables_never_share_a_store_because_truncating_one_would_empty_the_other(
    store: str,
) -> None:
    named = {**TABLE, "store": "both"} if store == "both" else TABLE
    other = {**TABLE, "table": "public.others", "store": store}

    with pytest.raises(BadMapping, match="one store"):
        read_mapping("src", {"tables": [named, other]})


def test_a_refusal_never_repeats_what_was_given() -> None:
    with pytest.raises(BadMapping) as caught:
        mapping(subject="secret\x00subject")

    assert "secret" not in str(caught.value)


def test_there_is_an_example_for_each_recording_and_one_for_plain_events() -> None:
    assert [path.stem for path in EXAMPLES] == [
        "cloudevents",
        "compreface-default",
        "compreface-full",
        "compreface-slice-cloudevents",
        "compreface-slice-plain",
        "compreface-slice-schema",
        "own-gallery",
        "threshold",
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_in_each_example_every_topic_has_a_source_and_every_source_is_a_good_mapping(
    example: Path,
) -> None:
    settings = tomllib.loads(example.read_text())
    sources = settings.get("sources", {})
    for name, source in sources.items():
        read_mapping(name, source)

    assert {topic["source"] for topic in settings["topics"]} == (set(sources) or {"cloudevents"})
    mapped = {table["table"] for source in sources.values() for table in source["tables"]}
    topics = {topic["name"].partition(".")[2] for topic in settings["topics"]}
    assert topics == (mapped or {""})

"""Writing a pack: one workbook per language, and one JSON with both. Each file appears whole."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import xlsxwriter
from xlsxwriter.exceptions import XlsxFileError

from alerts.words import Words
from deploy.pack.gathering import Gathered
from deploy.pack.sheet import Cell, Sheet
from deploy.pack.tables import sheets, spoken

LANGUAGES = ("en", "zh")
_WIDEST = 60
_CHART_AT = "E2"
# Bytes: with what stands around it below the 255 that file systems take.
_LONGEST_SLUG = 160


class NotWritten(ValueError):
    """The files of a pack could not be written; the message says why."""


def write_pack(found: Gathered, folder: Path) -> list[Path]:
    """Write the files of the pack into *folder*, which is made; return them. Raises NotWritten."""
    try:
        return _write(found, folder)
    except (OSError, XlsxFileError) as exc:
        cause = exc if isinstance(exc, OSError) else exc.__cause__ or exc.__context__
        why = cause.strerror if isinstance(cause, OSError) else None
        raise NotWritten(f"the pack cannot be written: {why or type(exc).__name__}") from exc


def _write(found: Gathered, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    tables = sheets(found)
    base = f"filing-pack-{_slug(found.processor)}-{spoken(found.as_of)[:10]}"
    files = []
    for language in LANGUAGES:
        file = folder / f"{base}.{language}.xlsx"
        part = file.with_suffix(".part")
        _write_workbook(part, tables, language)
        part.replace(file)
        files.append(file)
    file = folder / f"{base}.json"
    part = file.with_suffix(".part")
    part.write_text(
        json.dumps(as_json(found, tables), indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    part.replace(file)
    return [*files, file]


def as_json(found: Gathered, tables: Sequence[Sheet]) -> Mapping[str, object]:
    """Return the pack as JSON: the same tables, each text with its two languages."""
    return {
        "processor": found.processor,
        "as_of": spoken(found.as_of),
        "made_at": spoken(found.made_at),
        "sheets": [
            {
                "id": sheet.id,
                "title": _plain(sheet.title),
                "columns": [_plain(column) for column in sheet.columns],
                "rows": [[_plain(cell) for cell in row] for row in sheet.rows],
            }
            for sheet in tables
        ],
    }


def _plain(cell: Cell) -> object:
    if isinstance(cell, Words):
        return {"en": cell.en, "zh": cell.zh}
    return cell.isoformat() if isinstance(cell, date) else cell


def _slug(name: str) -> str:
    """Return *name* as a part of a file's name; names of organisations can hold anything.

    What had to be changed or cut ends in a hash of the whole name, behind a sign that no other
    has: two names never share a file.
    """
    slug = re.sub(r"[^\w.-]+", "_", name).strip("._") or "processor"
    if slug == name and len(name.encode()) <= _LONGEST_SLUG:
        return name
    cut = slug.encode()[:_LONGEST_SLUG].decode(errors="ignore")
    return f"{cut}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"


# -- the workbook ------------------------------------------------------------------------------


def _write_workbook(file: Path, tables: Sequence[Sheet], language: str) -> None:
    # A cell is what it says: no text is a formula or a link.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(str(file), options) as book:
        formats = {
            "head": book.add_format({"bold": True, "bg_color": "#DDE6F0", "text_wrap": True}),
            "day": book.add_format({"num_format": "yyyy-mm-dd", "align": "left"}),
            "number": book.add_format({"num_format": "#,##0"}),
            "text": book.add_format({"text_wrap": True, "valign": "top"}),
        }
        for sheet in tables:
            _write_sheet(book, formats, sheet, language)


def _write_sheet(book: Any, formats: Mapping[str, Any], sheet: Sheet, language: str) -> None:  # noqa: ANN401 - the library ships no types
    title = getattr(sheet.title, language)
    page = book.add_worksheet(title)
    page.freeze_panes(1, 0)
    page.fit_to_pages(1, 0)
    widths = [0] * len(sheet.columns)
    for number, column in enumerate(sheet.columns):
        text = getattr(column, language)
        page.write_string(0, number, text, formats["head"])
        widths[number] = _width(text)
    for row, cells in enumerate(sheet.rows, 1):
        for number, cell in enumerate(cells):
            shown = _said(cell, language)
            _write_cell(page, (row, number), shown, formats)
            widths[number] = max(widths[number], _width(str(shown or "")))
    for number, width in enumerate(widths):
        page.set_column(number, number, min(width + 2, _WIDEST))
    if sheet.charted is not None and sheet.rows:
        page.insert_chart(_CHART_AT, _chart(book, sheet, language))


def _write_cell(
    page: Any,  # noqa: ANN401 - the library ships no types
    where: tuple[int, int],
    cell: str | int | date | None,
    formats: Mapping[str, Any],
) -> None:
    if cell is None:
        return
    if isinstance(cell, date):
        page.write_datetime(*where, cell, formats["day"])
    elif isinstance(cell, int):
        page.write_number(*where, cell, formats["number"])
    else:
        page.write_string(*where, cell, formats["text"])


def _chart(book: Any, sheet: Sheet, language: str) -> Any:  # noqa: ANN401 - as above
    """Return a line of the number day by day, and one of the threshold."""
    chart = book.add_chart({"type": "line"})
    title = getattr(sheet.title, language)
    last = len(sheet.rows)
    for column in (1, 2) if sheet.charted else (1,):
        chart.add_series(
            {
                "name": [title, 0, column],
                "categories": [title, 1, 0, last, 0],
                "values": [title, 1, column, last, column],
            }
        )
    chart.set_x_axis({"date_axis": True, "num_format": "yyyy-mm-dd"})
    chart.set_y_axis({"min": 0, "num_format": "#,##0"})
    chart.set_title({"name": title})
    chart.set_legend({"position": "bottom"})
    chart.set_size({"width": 900, "height": 420})
    return chart


def _said(cell: Cell, language: str) -> str | int | date | None:
    return getattr(cell, language) if isinstance(cell, Words) else cell


def _width(text: str) -> int:
    """Return about how wide *text* is: a Chinese character takes two places."""
    return sum(1 + (ord(char) > 0x2E80) for char in text)  # noqa: PLR2004 - where those begin

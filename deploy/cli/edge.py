"""The outermost edge: logging, and errors that nobody expected. Neither shows an error's text.

The text of an error may quote what it is about: a driver its statement, a parser a record. Types
and places are enough to find what is wrong, and hold nobody's name or id.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType
from typing import TypeAlias

_Error: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)

# Their messages repeat many times a second while Kafka is away, and some quote records; what
# matters about Kafka we say ourselves.
_SILENT = ("aiokafka", "kafka", "faust", "mode")
_QUIET = ("alembic", "asyncio", "httpcore", "httpx")


class WithoutTexts(logging.Formatter):
    """Formats errors by type and place."""

    def formatException(self, ei: _Error) -> str:  # noqa: N802 - of logging
        """Return frames and types of the error and its causes."""
        return "" if ei[1] is None else without_text(ei[1])


def without_text(error: BaseException) -> str:
    """Return the traceback of *error* and of its causes with types in place of their texts."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = f"{without_text(cause)}\nled to\n" if cause is not None else ""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{before}{frames}{type(error).__name__}"


def start_logging(*, verbose: bool) -> None:
    """Log to standard error, unless whoever runs us has set up logging already."""
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(WithoutTexts("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)

"""Reading a TOML table key by key, with errors that name the key and what it must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


class BadConfig(ValueError):
    """The settings cannot be used; the message names file and key and says what to do."""


class Table:
    """A table of the settings. Keys are taken one by one; ``finish`` refuses those left over.

    Only the root table has an *environ*: there ``PREFIX + KEY`` overrides the scalar ``key``, also
    where the file does not have it. An empty variable is none, as compose files leave them.
    """

    def __init__(
        self,
        found: Mapping[str, object],
        at: str,
        environ: Mapping[str, str] | None = None,
        prefix: str = "",
    ) -> None:
        self._found = dict(found)
        self._taken: set[str] = set()
        self._environ = environ or {}
        self._prefix = prefix
        self.at = at

    def raw(self) -> Mapping[str, object]:
        """Return all of it, to be checked by somebody else."""
        return self._found

    def peek(self, key: str) -> object:
        """Return a value without taking it."""
        return self._found.get(key)

    def text(self, key: str, default: str) -> str:
        """Take a text."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, str) or not value.isprintable():
            raise BadConfig(f"{self._name(key)}: must be a text, one line in quotes")
        return value

    def required(self, key: str) -> str:
        """Take a text that must be there."""
        value = self.text(key, "")
        if not value:
            raise BadConfig(f"{self._name(key)}: is missing; give a text")
        return value

    def optional(self, key: str) -> str | None:
        """Take a text, or None."""
        return self.text(key, "") or None

    def secret(self, key: str, here: Path) -> str | None:
        """Take a secret, given as ``key`` or in the file that ``key_file`` names."""
        value = self.optional(key)
        file = self.optional(f"{key}_file")
        if value is not None and file is not None:
            raise BadConfig(f"{self._name(key)}: give it or {key}_file, not both")
        if file is None:
            return value
        try:
            return (here / file).read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError):
            raise BadConfig(f"{self._name(key)}_file: cannot be read as a text") from None

    def file(self, key: str, here: Path) -> Path | None:
        """Take the path of a file that must be there, or None."""
        text = self.optional(key)
        if text is None:
            return None
        if not (here / text).is_file():
            raise BadConfig(f"{self._name(key)}: there is no file {here / text}")
        return here / text

    def texts(self, key: str) -> list[str] | None:
        """Take a list of texts, or None."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise BadConfig(f"{self._name(key)}: must be a list of texts")
        return value

    def whole(self, key: str, default: int, least: int) -> int:
        """Take a whole number of at least *least*."""
        value = self.optional_whole(key, least)
        return default if value is None else value

    def optional_whole(self, key: str, least: int) -> int | None:
        """Take a whole number, or None."""
        value = self._take(key)
        if value is None:
            return None
        if self._overridden(key) and str(value).isdecimal():
            value = int(str(value))
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise BadConfig(f"{self._name(key)}: must be a whole number of at least {least}")
        return value

    def whole_numbers(self, key: str, default: Sequence[int]) -> Sequence[int]:
        """Take a list of whole numbers."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, list) or not all(type(one) is int for one in value):
            raise BadConfig(f"{self._name(key)}: must be a list of whole numbers")
        return value

    def number(self, key: str, default: float, least: float) -> float:
        """Take a number of at least *least*."""
        value = self._take(key)
        if value is None:
            return default
        try:
            readable = isinstance(value, (int, float)) or self._overridden(key)
            number = float(str(value)) if readable else float("nan")
        except ValueError:
            number = float("nan")
        if not least <= number < float("inf"):
            raise BadConfig(f"{self._name(key)}: must be a number of at least {least}")
        return number

    def flag(self, key: str, *, default: bool) -> bool:
        """Take true or false."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise BadConfig(f"{self._name(key)}: must be true or false")
        return value

    def table(self, key: str) -> Table | None:
        """Take a table, or None."""
        value = self._take_tables(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise BadConfig(f"{self._name(key)}: must be a table, [{self._name(key)}]")
        return Table(value, self._name(key))

    def tables(self, key: str) -> list[Table]:
        """Take an array of tables."""
        value = self._take_tables(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise BadConfig(f"{self._name(key)}: must be tables, [[{self._name(key)}]]")
        return [Table(one, f"{self._name(key)}[{i}]") for i, one in enumerate(value)]

    def named_tables(self, key: str) -> Iterator[tuple[str, Table]]:
        """Take a table of tables, by name."""
        whole = self.table(key)
        for name, value in whole.raw().items() if whole is not None else ():
            if not isinstance(value, dict):
                raise BadConfig(f"{self._name(key)}.{name}: must be a table")
            yield name, Table(value, f"{self._name(key)}.{name}")

    def finish(self) -> None:
        """Raise BadConfig for a key that nobody took."""
        for key in self._found:
            if key not in self._taken:
                known = ", ".join(sorted(self._taken))
                raise BadConfig(f"{self._name(key)}: no such setting; known here are {known}")

    def _take(self, key: str) -> object:
        self._taken.add(key)
        return self._overridden(key) or self._found.get(key)

    def _take_tables(self, key: str) -> object:
        """Take what no variable can hold; one that tries is refused and not passed over."""
        self._taken.add(key)
        if self._overridden(key):
            raise BadConfig(f"{self._prefix}{key.upper()}: only the settings file can hold {key}")
        return self._found.get(key)

    def _overridden(self, key: str) -> str | None:
        return self._environ.get(self._prefix + key.upper()) if self._prefix else None

    def _name(self, key: str) -> str:
        return f"{self.at}.{key}" if self.at else key

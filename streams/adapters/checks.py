"""Strict checks that every adapter applies to what it was given, before anything is hashed.

Each returns a value that can be kept, or raises ``Undecodable`` with a reason of the closed list;
no message ever quotes the input. They are strict because the shell stalls on what the database
refuses: NUL, a lone surrogate or year 1 must be set aside here, not hold up a partition later.
"""

from __future__ import annotations

import json
import math
import re
from datetime import date
from functools import lru_cache
from typing import Final, NoReturn

import msgspec

from monitor.facts import Instant
from monitor.intake import Reason
from streams.records import Undecodable

MAX_VALUE_BYTES: Final = 1024 * 1024
"""Longest record value that is parsed at all."""

TOLERANCE_US: Final = 5 * 60 * 1_000_000
"""How far ahead of its record a fact may be, by default: 5 minutes."""

EARLIEST: Final[Instant] = 946_684_800_000_000
"""2000-01-01T00:00:00Z: an earlier fact comes from a wrong clock."""

MAX_UNSIGNED: Final = 2**64 - 1

_SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60 * _SECOND_US
_LONGEST_TIME: Final = 64
_LONGEST_SEQUENCE: Final = 40
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
# Control characters and lone surrogates. Other invisible characters stay: ids are exact.
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HEAD: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([01][0-9]|2[0-3]):([0-5][0-9]):")
_OFFSET: Final = re.compile(r"(.{17})([0-9.]{2,})([+-])([01][0-9]|2[0-3]):([0-5][0-9])")


def name(value: object, limit: int = 200) -> str:
    """Return *value*, a name of a processor, system or gallery: printable, 1 to *limit* long.

    Not stripped, folded or normalised. None and the empty text are MISSING_FIELD.
    """
    text = _text(value, limit)
    if not text.isprintable():
        raise Undecodable(Reason.BAD_TEXT)
    return text


def ident(value: object, limit: int = 512) -> str:
    """Return *value*, an id of a subject or face, exactly as it came: 00123 is not 123.

    Any Unicode text of 1 to *limit* characters without control characters and lone surrogates.
    None and the empty text are MISSING_FIELD.
    """
    if type(value) is str and 0 < len(value) <= limit and value.isprintable():
        return value  # the common case, and one that the slower rules below would let pass
    text = _text(value, limit)
    if _FORBIDDEN.search(text):
        raise Undecodable(Reason.BAD_TEXT)
    return text


def _text(value: object, limit: int) -> str:
    if value is None or value == "":
        raise Undecodable(Reason.MISSING_FIELD)
    if not isinstance(value, str):
        raise Undecodable(Reason.BAD_TEXT)
    if len(value) > limit:
        raise Undecodable(Reason.TOO_LONG)
    return value


def rfc3339(text: object) -> Instant:
    """Return the instant that *text* names (RFC 3339), in microseconds UTC, finer digits cut.

    A time zone is required. Anything else is BAD_TIME, a leap second (``:60``) too: no source
    of ours can mean one. Whether the instant is plausible is for ``bounded`` to say.
    """
    if isinstance(text, str) and 0 < len(text) <= _LONGEST_TIME and text.isascii():
        try:
            if text[-1] in "Zz":
                return _minute(text[:17]) + _seconds(text[17:-1])
            return _with_offset(text)
        except ValueError:
            pass
    raise Undecodable(Reason.BAD_TIME)  # here, so that it carries no context that quotes the text


def _with_offset(text: str) -> Instant:
    match = _OFFSET.fullmatch(text)
    if match is None:
        raise ValueError
    minute, second, sign, hours, minutes = match.groups()
    ahead = (int(hours) * 60 + int(minutes)) * _MINUTE_US
    return _minute(minute) + _seconds(second) - (ahead if sign == "+" else -ahead)


@lru_cache(maxsize=65_536)
def _minute(text: str) -> Instant:
    """Return the instant of ``2025-06-01T00:00:``, taken as UTC.

    The minutes of a stream repeat: remembering them halves the cost of a time.
    """
    match = _HEAD.fullmatch(text)
    if match is None:
        raise ValueError
    day = date.fromisoformat(match[1]).toordinal() - _EPOCH_DAY
    return ((day * 24 + int(match[2])) * 60 + int(match[3])) * _MINUTE_US


def _seconds(text: str) -> int:
    """Return the microseconds of ``00``, ``00.0`` and the like."""
    second, fraction = text[:2], text[3:9]
    if not (len(second) == 2 and second <= "59" and second.isdigit()):  # noqa: PLR2004 - two digits
        raise ValueError
    if second == text:
        return int(second) * _SECOND_US
    if text[2] != "." or not text[3:].isdigit():
        raise ValueError
    return int(second + fraction.ljust(6, "0"))


def bounded(
    at: Instant, record_timestamp_ms: int, read_at: Instant, tolerance_us: int = TOLERANCE_US
) -> Instant:
    """Return *at* if it is from 2000 on and not further ahead of its record than allowed.

    The record's time is the smaller of its Kafka timestamp (milliseconds; 0 or less means that
    there is none) and *read_at*, our clock when it was first read. Else TOO_EARLY or
    IN_THE_FUTURE, so that a wrong clock cannot win a register for years.
    """
    if at < EARLIEST:
        raise Undecodable(Reason.TOO_EARLY)
    latest = read_at
    if 0 < record_timestamp_ms * 1000 < read_at:
        latest = record_timestamp_ms * 1000
    if at > latest + tolerance_us:
        raise Undecodable(Reason.IN_THE_FUTURE)
    return at


def sequence(value: object) -> int:
    """Return *value*, a producer's monotonic number of 64 unsigned bits: an int, or decimal text.

    Anything else is BAD_SEQUENCE, a float with a whole value too.
    """
    number = value
    if isinstance(value, str) and len(value) <= _LONGEST_SEQUENCE:
        number = int(value) if value.isascii() and value.isdigit() else None
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_UNSIGNED:
        raise Undecodable(Reason.BAD_SEQUENCE)
    return number


def load_json(data: bytes, limit: int = MAX_VALUE_BYTES) -> object:
    """Return the JSON value in *data*; of a repeated key the last one wins.

    More than *limit* bytes are TOO_LARGE before anything is parsed. NaN, Infinity, numbers
    beyond a double, text that is not UTF-8 and absurdly deep nesting are NOT_JSON. An escaped
    lone surrogate is JSON and passes: ``name`` and ``ident`` refuse it where it matters.
    """
    if len(data) > limit:
        raise Undecodable(Reason.TOO_LARGE)
    try:
        value: object = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    else:
        return value
    return _load_slowly(data)


def _load_slowly(data: bytes) -> object:
    # msgspec refuses escaped lone surrogates with the rest; the standard library tells them apart.
    try:
        value: object = json.loads(
            data.decode("utf-8"), parse_constant=_refuse, parse_float=_finite
        )
    except (ValueError, RecursionError):
        pass
    else:
        return value
    raise Undecodable(Reason.NOT_JSON)  # not in the handler: its error holds the whole document


def _refuse(_constant: str) -> NoReturn:
    raise ValueError


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


BIOMETRIC_KEYS: Final = frozenset(
    """
    image images imagedata imagebase64 imagebytes rawimage img imgs imgdata imgbase64 pic pics
    picture pictures picturedata photo photos photodata photobase64 biophoto portrait portraits
    selfie selfies thumbnail thumbnails avatar mugshot base64
    faceimage faceimages faceimg facephoto facepic facepicture facedata facebase64 facecrop
    template templates templatedata facetemplate facetemplates biometrictemplate biodata
    embedding embeddings faceembedding faceembeddings feature features facefeature facefeatures
    featurevector featuredata vector vectors facevector facevectors
    faceencoding faceencodings descriptor descriptors facedescriptor facedescriptors faceprint
    landmark landmarks facelandmarks keypoints biometric biometrics biometricdata eigenface
    """.split()  # noqa: SIM905 - a word list is easier to read and to extend
)
"""Names of fields that hold a face: compared without case, ``_``, ``-``, blanks and dots."""

LONGEST_OPAQUE_TEXT: Final = 256
"""Longer text of nothing but base64, hexadecimal or number characters is taken for a face."""

LONGEST_NUMBERS: Final = 32
"""More numbers than this side by side, in a list or an object, are taken for a vector."""

_SEPARATORS: Final = re.compile(r"[\s._-]+")
_OPAQUE: Final = re.compile(r"[A-Za-z0-9+/=_\s-]+|[0-9eE+\-.,;:\s\[\](){}]+")
_INLINE_IMAGE: Final = re.compile(
    r"\s*data:(?:image|video|application/octet-stream)", re.IGNORECASE
)


def refuse_biometric_content(value: object, checked: frozenset[str] = frozenset()) -> None:
    """Raise HAS_BIOMETRIC_CONTENT if there is a face anywhere in *value*, a parsed JSON value.

    Refused at any depth: a key of ``BIOMETRIC_KEYS`` whose value is not null or empty, text
    that looks like base64, hexadecimal or a printed vector, a ``data:`` URL of an image, and
    long runs of numbers. Texts under the keys *checked* of the outermost object are not looked
    at: for ids the caller has bounds of its own, with a better reason.
    """
    todo: list[object] = [value]
    if isinstance(value, dict):
        todo = [{k: v for k, v in value.items() if k not in checked or not isinstance(v, str)}]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            _refuse_text(item)
        elif isinstance(item, dict):
            _refuse_keys(item)
            _refuse_numbers(list(item.values()))
            todo += item.values()
        elif isinstance(item, list):
            _refuse_numbers(item)
            todo += item


@lru_cache(maxsize=4096)
def is_biometric_key(key: str) -> bool:
    """Tell whether a field called *key* would hold a face."""
    return _SEPARATORS.sub("", key).lower() in BIOMETRIC_KEYS


def _refuse_keys(item: dict[str, object]) -> None:
    for key, held in item.items():
        if held not in (None, "", [], {}) and is_biometric_key(key):
            raise Undecodable(Reason.HAS_BIOMETRIC_CONTENT)


def _refuse_text(text: str) -> None:
    if _INLINE_IMAGE.match(text) or (len(text) > LONGEST_OPAQUE_TEXT and _OPAQUE.fullmatch(text)):
        raise Undecodable(Reason.HAS_BIOMETRIC_CONTENT)


def _refuse_numbers(items: list[object]) -> None:
    if len(items) <= LONGEST_NUMBERS:
        return
    numbers = sum(isinstance(item, int | float) for item in items)
    if numbers > LONGEST_NUMBERS:
        raise Undecodable(Reason.HAS_BIOMETRIC_CONTENT)

"""JSON text to values, strictly (RFC 8259, with everything that parsers disagree on refused).

Refused: duplicate keys, NaN and infinities, numbers that overflow, invalid UTF-8, lone
surrogates, nesting over 64, anything after the value, a byte order mark, and documents
over the caller's limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from ..errors import ParseError

MAX_DEPTH = 64
MAX_BYTES = 16 * 1024 * 1024


def loads(data: bytes | str, source: str = "<json>", max_bytes: int = MAX_BYTES) -> object:
    """The value of one JSON text.  ParseError (`source:line:column`) on anything else."""
    text = _text(data, source, max_bytes)
    try:
        value = _decode(text)
    except _Refused as error:
        raise ParseError(str(error), where=source, hint=error.hint) from None
    except json.JSONDecodeError as error:
        where = f"{source}:{error.lineno}:{error.colno}"
        raise ParseError(f"expected JSON: {error.msg}", where=where, hint="correct the text here") from None
    except RecursionError:
        raise _too_deep(source) from None
    except ValueError:  # CPython refuses to convert integers of more than 4300 digits
        raise ParseError("expected a number of ordinary size, got one of over 4300 digits", where=source) from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise _too_deep(source)
    if "\\u" in text or (type(data) is str and not _is_unicode(text)):
        _check_surrogates(value, source)
    return value


def loads_object(data: bytes | str, source: str = "<json>", max_bytes: int = MAX_BYTES) -> dict[str, object]:
    """Like `loads`, for a text whose value must be an object."""
    value = loads(data, source, max_bytes)
    if isinstance(value, dict):
        return value
    raise ParseError(f"expected a JSON object, got {type_name(value)}", where=source, hint="write { … }")


def encoder(like: json.JSONEncoder) -> Callable[[object], str]:
    """`like.encode`, without making the C encoder anew for each value, and without its check for cycles."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return like.encode
    text = json.encoder.encode_basestring_ascii if like.ensure_ascii else json.encoder.encode_basestring
    separators = like.key_separator, like.item_separator
    encode = make(None, like.default, text, None, *separators, like.sort_keys, like.skipkeys, like.allow_nan)
    return lambda value: "".join(encode(value, 0))


dumps = encoder(json.JSONEncoder())  # what json.dumps gives, for documents of Gait's own


def type_name(value: object) -> str:
    """The JSON word for a value's type, for messages."""
    if value is None:
        return "null"
    return _TYPE_NAMES.get(type(value), type(value).__name__)


_TYPE_NAMES = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


class _Refused(Exception):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def _text(data: bytes | str, source: str, max_bytes: int) -> str:
    if len(data) > max_bytes:
        raise ParseError(f"expected at most {max_bytes} bytes, got {len(data)}", where=source, hint="send less")
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"expected UTF-8, got byte 0x{data[error.start]:02x} at offset {error.start}"
        raise ParseError(message, where=source, hint="save the text as UTF-8") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Refused(f"expected each key once, got {twice[:80]!r} twice in one object", "remove one of the two")
    return value


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _Refused(f"expected a number within a double's range, got {text[:40]}", "write it as text")
    return value


def _constant(text: str) -> object:
    raise _Refused(f"expected JSON, got {text}, which is not a JSON number", "write null or a number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
_scan = _DECODER.scan_once  # type: ignore[attr-defined]


def _decode(text: str) -> object:
    """_DECODER.decode, which looks for white space around the value with regular expressions before it is needed."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        return _DECODER.decode(text)
    return value if end == len(text) else _DECODER.decode(text)


def _too_deep(source: str) -> ParseError:
    return ParseError(f"expected nesting of at most {MAX_DEPTH}, got more", where=source, hint="flatten the value")


def _is_deeper(value: object, depth: int) -> bool:
    if isinstance(value, dict):
        return depth == 0 or any(_is_deeper(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth == 0 or any(_is_deeper(item, depth - 1) for item in value)
    return False


def _check_surrogates(value: object, source: str) -> None:
    """Only an escape, or a caller's text, can bring in a lone surrogate: bytes were valid UTF-8 (RFC 8259 section 8.2)."""
    if isinstance(value, str):
        if not _is_unicode(value):
            raise ParseError("expected Unicode text, got a lone surrogate escape", where=source, hint="pair or remove it")
    elif isinstance(value, list):
        for item in value:
            _check_surrogates(item, source)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_surrogates(key, source)
            _check_surrogates(item, source)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

"""Canonical JSON (RFC 8785, JCS) and the digests made of it.

Equal values give equal bytes on every machine, so a digest names a value.  Integers
outside +-(2**53 - 1) are refused: as ECMAScript doubles, two of them could share one text.
"""

from __future__ import annotations

import hashlib
import json

from ..errors import InvalidInput
from .strict_json import encoder

MAX_INTEGER = 2**53 - 1

_encode_text = json.encoder.encode_basestring
# sort_keys sorts by code point; below U+D800 that is the UTF-16 order of RFC 8785 section 3.2.3.
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False)
_encode_fast = encoder(_ENCODER)


def dumps(value: object) -> bytes:
    """The canonical UTF-8 bytes of a JSON value (dict with text keys, list, tuple, str, int, float, bool, None).

    InvalidInput: another type, NaN or infinity, an integer outside +-(2**53 - 1), a lone surrogate,
    or nesting deeper than the interpreter's stack.
    """
    try:
        text = _encode_fast(value) if _fast_path_is_canonical(value) else _encode(value)
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"expected Unicode text, got a lone surrogate at index {error.start}") from error
    except RecursionError as error:
        raise InvalidInput("expected a value of bounded nesting, got one deeper than the stack") from error


def dumps_texts(value: object) -> bytes:
    """`dumps`, for a value in which its maker put only texts, booleans, lists and objects whose names are ASCII.  InvalidInput: a
    lone surrogate."""
    try:
        return _encode_fast(value).encode("utf-8")
    except UnicodeEncodeError:
        return dumps(value)


def dumps_readable(value: object) -> bytes | None:
    """`dumps`, where all its numbers are those that strict readers take back; None where that takes a closer look.

    A double such as 1e17 is written as an integer outside +-(2**53 - 1).
    """
    try:
        return _encode_fast(value).encode("utf-8") if _fast_path_is_canonical(value) else None
    except (UnicodeEncodeError, RecursionError):
        return None


def digest(value: object) -> str:
    """Lowercase hex SHA-256 of the canonical bytes."""
    return hashlib.sha256(dumps(value)).hexdigest()


def _fast_path_is_canonical(value: object) -> bool:
    """True when the C encoder's text is RFC 8785: numbers print alike, and keys sort alike in both orders."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        _integer(value)  # type: ignore[arg-type]
        return True
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or not (key.isascii() or max(key) < "\ud800"):
                return False
            if type(item) is not str and not _fast_path_is_canonical(item):
                return False
        return True
    if kind is list or kind is tuple:
        for item in value:  # type: ignore[attr-defined]
            if type(item) is not str and not _fast_path_is_canonical(item):
                return False
        return True
    # Python and ECMAScript print these doubles alike; elsewhere their exponents or a final `.0` differ.
    return kind is float and 1e-4 <= abs(value) < 1e16 and value % 1 != 0  # type: ignore[arg-type, operator]


def _integer(value: int) -> None:
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise InvalidInput(
            f"expected an integer within +-(2**53 - 1), got one of {value.bit_length()} bits",
            hint="write large integers as text",
            code="integer_out_of_range",
        )


def _encode(value: object) -> str:
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return _encode_text(value)
    if isinstance(value, int):
        _integer(value)
        return str(int(value))
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        return "{" + ",".join(_encode_text(key) + ":" + _encode(value[key]) for key in _sorted_keys(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_encode, value)) + "]"
    raise InvalidInput(f"expected a JSON value, got {type(value).__name__}")


def _sorted_keys(value: dict[object, object]) -> list[str]:
    """RFC 8785 section 3.2.3: keys sort by their UTF-16 code units."""
    keys = []
    for key in value:
        if not isinstance(key, str):
            raise InvalidInput(f"expected text as an object key, got {type(key).__name__}")
        keys.append(key)
    return sorted(keys, key=lambda key: key.encode("utf-16-be", "surrogatepass"))


def number(value: float) -> str:
    """A double as ECMAScript prints it (RFC 8785 section 3.2.2.3; ECMA-262 Number::toString, whose k and n these are)."""
    if value != value or value in (float("inf"), float("-inf")):
        raise InvalidInput(f"expected a finite number, got {value!r}")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    digits, n = _shortest_digits(abs(value))
    k = len(digits)
    if k <= n <= 21:
        return sign + digits + "0" * (n - k)
    if 0 < n <= 21:
        return f"{sign}{digits[:n]}.{digits[n:]}"
    if -6 < n <= 0:
        return f"{sign}0.{'0' * -n}{digits}"
    fraction = "." + digits[1:] if k > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{n - 1:+d}"


def _shortest_digits(value: float) -> tuple[str, int]:
    """The shortest decimal digits of a positive double, and n where value = 0.digits * 10**n."""
    mantissa, _, exponent = float.__repr__(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    n = len(digits) - len(fraction) + int(exponent or 0)
    return digits.rstrip("0"), n

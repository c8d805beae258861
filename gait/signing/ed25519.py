"""Ed25519 verification (RFC 8032, section 5.1.7), for documents of the published Gait.  Nothing here signs.

Everything is public, so that nothing needs constant time.  Of what verifiers disagree about, the strictest: S < L, canonical
encodings, a key of prime order, and the equation without the cofactor, which every verifier accepts that accepts anything.
"""

from __future__ import annotations

import hashlib

from ..errors import InvalidInput
from ..formats.documents import NamedTuple
from .keys import base64_loads

ALGORITHM = "ed25519"
KEY_BYTES = 32
SIGNATURE_BYTES = 64

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493  # the order of the base point
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)  # of -1
# SubjectPublicKeyInfo of an Ed25519 key (RFC 8410), up to the key itself.
_SPKI = bytes.fromhex("302a300506032b6570032100")
_PEM = (b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----")

# X, Y, Z and T of extended coordinates: x = X/Z, y = Y/Z, x*y = T/Z.
_Point = tuple[int, int, int, int]
_ZERO: _Point = (0, 1, 1, 0)


class PublicKey(NamedTuple):
    """A key that verifies and cannot sign.  `key_id` is the SHA-256 of its 32 bytes, in hex."""

    key_id: str
    raw: bytes


def make(raw: bytes) -> PublicKey:
    """The key of 32 bytes.  InvalidInput: not the one encoding of a point of prime order."""
    if len(raw) != KEY_BYTES:
        hint = "this may be a private key: keep it away from here" if len(raw) == 2 * KEY_BYTES else _MAKE
        raise InvalidInput(f"expected an Ed25519 public key of {KEY_BYTES} bytes, got {len(raw)}", hint=hint, code="public_key_malformed")
    point = _decode(raw)
    if point is None:
        raise InvalidInput("expected the canonical encoding of a point, got another", hint=_MAKE, code="public_key_malformed")
    if _is_zero(point) or not _is_zero(_multiply(_L, point)):
        raise InvalidInput("expected a point of prime order, got one with which signatures can be forged", hint=_MAKE, code="weak_key")
    return PublicKey(hashlib.sha256(raw).hexdigest(), raw)


_MAKE = "give the public half of an Ed25519 key: 32 bytes in base64, or PEM"


def read(data: bytes) -> PublicKey:
    """The key in a file: one line of base64, or PEM (`openssl pkey -pubout`).  InvalidInput quotes nothing of it."""
    lines = data.split()
    text = b"".join(lines)
    begin, end = (b"".join(line.split()) for line in _PEM)
    is_pem = text.startswith(begin) and text.endswith(end)
    try:
        raw = base64_loads((text[len(begin) : -len(end)] if is_pem else text).decode("ascii"))
    except ValueError:
        raise InvalidInput("expected an Ed25519 public key, got something else", hint=_MAKE, code="public_key_malformed") from None
    if is_pem and not raw.startswith(_SPKI):
        raise InvalidInput("expected an Ed25519 public key, got one of another kind", hint=_MAKE, code="public_key_malformed")
    return make(raw[len(_SPKI) :] if is_pem else raw)


def is_signed(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """True when the 64 bytes are the key's signature of the message: [S]B = R + [k]A, with R compared as it is encoded."""
    scalar = int.from_bytes(signature[KEY_BYTES:], "little")
    point = _decode(key.raw)
    if len(signature) != SIGNATURE_BYTES or scalar >= _L or point is None:  # a larger S would be a second signature
        return False
    challenge = hashlib.sha512(signature[:KEY_BYTES] + key.raw + message).digest()
    k = int.from_bytes(challenge, "little") % _L
    minus = (-point[0], point[1], 1, -point[3])
    return _encode(_sum_of_products(scalar, _BASE, k, minus)) == signature[:KEY_BYTES]


def _decode(raw: bytes) -> _Point | None:
    """The point of 32 bytes (RFC 8032, section 5.1.3); None where they are not its one encoding."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (not x and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _encode(point: _Point) -> bytes:
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(KEY_BYTES, "little")


def _is_zero(point: _Point) -> bool:
    return point[0] % _P == 0 and (point[1] - point[2]) % _P == 0


def _add(one: _Point, other: _Point) -> _Point:
    """RFC 8032, section 5.1.4; the formula holds for every two points, equal ones too."""
    a, b = (one[1] - one[0]) * (other[1] - other[0]) % _P, (one[1] + one[0]) * (other[1] + other[0]) % _P
    c, d = 2 * one[3] * other[3] * _D % _P, 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(point: _Point) -> _Point:
    a, b = point[0] * point[0] % _P, point[1] * point[1] % _P
    h = a + b
    e = h - (point[0] + point[1]) * (point[0] + point[1]) % _P
    g = a - b
    f = 2 * point[2] * point[2] % _P + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    return _sum_of_products(scalar, point, 0, _ZERO)


def _sum_of_products(s: int, one: _Point, k: int, other: _Point) -> _Point:
    """[s]one + [k]other, both in one pass over the bits."""
    addends = (_ZERO, one, other, _add(one, other))
    result = _ZERO
    for place in range(max(s.bit_length(), k.bit_length()) - 1, -1, -1):
        result = _double(result)
        which = s >> place & 1 | (k >> place & 1) << 1
        if which:
            result = _add(result, addends[which])
    return result


_BASE: _Point = _decode((4 * pow(5, _P - 2, _P) % _P).to_bytes(KEY_BYTES, "little")) or _ZERO

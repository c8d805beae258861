"""Make fixtures/signing/ed25519_cases.json and fixtures/runpacks/ed25519 anew, or with --check compare them.

The cases are signatures that must and must not verify; the runpack is one of the published implementation's, signed as it signs.

Each case has the answers of OpenSSL (PyPI cryptography) and libsodium (PyPI pynacl) beside the one expected of Gait.  With
both importable they are asked again; else the recorded answers are kept, so that making the file needs no package.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gait.formats import jcs  # noqa: E402
from gait.signing import ed25519 as curve  # noqa: E402
from scripts import runpack_fixtures  # noqa: E402

FILE = ROOT / "fixtures" / "signing" / "ed25519_cases.json"
RUNPACKS = ROOT / "fixtures" / "runpacks"
SEED = bytes(range(32))  # known to everybody: it signs nothing but fixtures
P, L, B = curve._P, curve._L, curve._BASE
MESSAGE = b"the same message"
Case = Tuple[str, bytes, bytes, bytes, bool]


def scalar_of(seed: bytes) -> Tuple[int, bytes]:
    digest = hashlib.sha512(seed).digest()
    return (int.from_bytes(digest[:32], "little") & (1 << 254) - 8) | 1 << 254, digest[32:]


def public(a: int, offset: curve._Point = curve._ZERO) -> bytes:
    return curve._encode(curve._add(curve._multiply(a, B), offset))


def sign(seed: bytes, message: bytes, key: bytes = b"", nonce_offset: curve._Point = curve._ZERO) -> bytes:
    """A signature by RFC 8032, under another encoded key or with a point of small order added to R."""
    a, prefix = scalar_of(seed)
    key = key or public(a)
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % L
    big_r = curve._encode(curve._add(curve._multiply(r, B), nonce_offset))
    k = int.from_bytes(hashlib.sha512(big_r + key + message).digest(), "little") % L
    return big_r + ((r + k * a) % L).to_bytes(32, "little")


def torsion() -> List[curve._Point]:
    """The eight points whose order divides 8, the zero first."""
    y = 0
    while True:
        y += 1
        point = curve._decode(y.to_bytes(32, "little"))
        if point is None:
            continue
        small = curve._multiply(L, point)
        if not curve._is_zero(curve._multiply(4, small)):
            return [curve._multiply(times, small) for times in range(8)]


def le(number: int) -> bytes:
    return number.to_bytes(32, "little")


def cases() -> Iterator[Case]:
    """Name, key, message, signature, and whether it must verify."""
    seed = SEED
    a, _ = scalar_of(seed)
    key, good = public(a), sign(seed, MESSAGE)
    yield "good", key, MESSAGE, good, True
    yield "good, empty message", key, b"", sign(seed, b""), True
    for number in range(24):
        other = hashlib.sha256(b"seed %d" % number).digest()
        message = hashlib.sha512(b"message %d" % number).digest() * (number % 4) + b"!" * number
        yield f"good {number}", public(scalar_of(other)[0]), message, sign(other, message), True
    yield from malleable(key, good)
    yield from damaged(key, good)
    yield from small_order(key, good)
    yield from mixed_order(seed)
    yield from not_canonical(key, good)


def malleable(key: bytes, good: bytes) -> Iterator[Case]:
    big_r, s = good[:32], int.from_bytes(good[32:], "little")
    for times in range(1, (2**256 - s) // L + 1):
        yield f"S + {times} L", key, MESSAGE, big_r + le(s + times * L), False
    yield "L - S", key, MESSAGE, big_r + le(L - s), False
    yield "S is L", key, MESSAGE, big_r + le(L), False
    yield "S is zero", key, MESSAGE, big_r + bytes(32), False
    yield "S is all ones", key, MESSAGE, big_r + b"\xff" * 32, False
    for bit in (253, 254, 255):
        yield f"bit {bit} of S set", key, MESSAGE, big_r + le(s | 1 << bit), False
    negative = bytearray(good)
    negative[31] ^= 0x80
    yield "R negated", key, MESSAGE, bytes(negative), False
    yield "R negated, L - S", key, MESSAGE, bytes(negative[:32]) + le(L - s), False
    negated = bytearray(key)
    negated[31] ^= 0x80
    yield "key negated", bytes(negated), MESSAGE, good, False


def damaged(key: bytes, good: bytes) -> Iterator[Case]:
    for place in range(64):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        yield f"bit {place % 8} of byte {place}", key, MESSAGE, bytes(bad), False
    yield "other message", key, MESSAGE + b"\0", good, False
    yield "message cut", key, MESSAGE[:-1], good, False
    yield "key of another", public(scalar_of(b"x" * 32)[0]), MESSAGE, good, False
    for length in (0, 32, 63):
        yield f"{length} bytes", key, MESSAGE, good[:length], False
    for more in (b"\0", b"\1\2", good):
        yield f"{64 + len(more)} bytes", key, MESSAGE, good + more, False
    yield "parts exchanged", key, MESSAGE, good[32:] + good[:32], False
    yield "zeroes", key, MESSAGE, bytes(64), False
    yield "parts reversed", key, MESSAGE, good[:32][::-1] + good[32:][::-1], False


def small_order(key: bytes, good: bytes) -> Iterator[Case]:
    """Keys under which one signature is good for many messages, and R of small order."""
    points = [curve._encode(point) for point in torsion()]
    for number, small in enumerate(points):
        for message in (MESSAGE, b"another message"):
            for r_number, big_r in enumerate(points):
                if holds(small, message, big_r + bytes(32)):
                    yield f"key {number} and R {r_number} of small order, S zero, {message.decode()}", small, message, big_r + bytes(32), False
    for number, small in enumerate(points):
        yield f"R {number} of small order", key, MESSAGE, small + good[32:], False
        yield f"R {number} of small order, S zero", key, MESSAGE, small + bytes(32), False


def holds(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the equation holds without the cofactor, whatever the key."""
    return curve.is_signed(curve.PublicKey("", key), message, signature)


def mixed_order(seed: bytes) -> Iterator[Case]:
    """A key or an R with a part of small order: those that check the equation with the cofactor accept them."""
    a, _ = scalar_of(seed)
    for number, point in enumerate(torsion()[1:], 1):
        key = public(a, point)
        for count in range(16):  # without the cofactor it holds for each 8th, 4th or 2nd message
            message = b"message %d" % count
            signature = sign(seed, message, key)
            if count == 0 or holds(key, message, signature):
                holding = "holds" if holds(key, message, signature) else "does not hold"
                yield f"key of mixed order {number}, message {count}, {holding}", key, message, signature, False
        yield f"R of mixed order {number}", public(a), MESSAGE, sign(seed, MESSAGE, b"", point), False


def not_canonical(key: bytes, good: bytes) -> Iterator[Case]:
    """Second encodings of a point (y + p, or the sign of x = 0), and what encodes none."""
    zero_r = curve._encode(curve._ZERO)
    for y in range(19):
        for sign_bit in (0, 1 << 255):
            encoded = le(y + P | sign_bit)
            yield f"key y = p + {y}, sign {sign_bit >> 255}", encoded, MESSAGE, zero_r + bytes(32), False
            yield f"R y = p + {y}, sign {sign_bit >> 255}", key, MESSAGE, encoded + good[32:], False
    for y in (1, P - 1):
        yield f"key x = 0 with a sign, y = {'1' if y == 1 else 'p - 1'}", le(y | 1 << 255), MESSAGE, zero_r + bytes(32), False
        yield f"R x = 0 with a sign, y = {'1' if y == 1 else 'p - 1'}", key, MESSAGE, le(y | 1 << 255) + good[32:], False
    for y in (2, 7):
        yield f"key not on the curve, y = {y}", le(y), MESSAGE, good, False
        yield f"R not on the curve, y = {y}", key, MESSAGE, le(y) + good[32:], False


def openssl(key: bytes, message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def libsodium(key: bytes, message: bytes, signature: bytes) -> bool:
    from nacl import exceptions
    from nacl.signing import VerifyKey

    try:
        VerifyKey(key).verify(message, signature)
    except (exceptions.CryptoError, ValueError):
        return False
    return True


def document() -> List[Dict[str, object]]:
    recorded = {item["name"]: item for item in json.loads(FILE.read_text("ascii"))} if FILE.exists() else {}
    try:
        import cryptography  # noqa: F401
        import nacl  # noqa: F401

        asks = True
    except ImportError:
        asks = False
    found = []
    for name, key, message, signature, valid in cases():
        item: Dict[str, object] = {"name": name, "public_key": key.hex(), "message": message.hex(), "signature": signature.hex(), "valid": valid}
        if asks:
            item.update(openssl=openssl(key, message, signature), libsodium=libsodium(key, message, signature))
        else:
            old = recorded[name]
            item.update(openssl=old["openssl"], libsodium=old["libsodium"])
        found.append(item)
    return found


def signed_pack() -> bytes:
    """The published demo pack with a signature over its manifest, as Gait v1.x makes it."""
    entries = runpack_fixtures.entries((RUNPACKS / "published" / "runpack_unsigned.zip").read_bytes())
    manifest = json.loads(entries["manifest.json"])
    digest, key = jcs.digest(manifest), public(scalar_of(SEED)[0])
    sig = base64.b64encode(sign(SEED, bytes.fromhex(digest))).decode("ascii")
    signature = {"alg": "ed25519", "key_id": hashlib.sha256(key).hexdigest(), "sig": sig, "signed_digest": digest}
    entries["manifest.json"] = jcs.dumps({**manifest, "signatures": [signature]})
    return runpack_fixtures.zipped(runpack_fixtures.parts(entries))


def made() -> Dict[Path, bytes]:
    """Each file's bytes."""
    cases_text = "[\n" + ",\n".join(json.dumps(item) for item in document()) + "\n]\n"
    key = base64.b64encode(public(scalar_of(SEED)[0])) + b"\n"
    return {FILE: cases_text.encode("ascii"), RUNPACKS / "ed25519" / "signed.zip": signed_pack(), RUNPACKS / "ed25519" / "public.key": key}


def main() -> int:
    stale = 0
    for path, data in made().items():
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        elif not path.exists() or path.read_bytes() != data:
            stale = 1
            print(f"{path.relative_to(ROOT)}: not what scripts/ed25519_fixtures.py makes; run make fixtures", file=sys.stderr)
    return stale


if __name__ == "__main__":
    sys.exit(main())

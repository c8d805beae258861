"""One pass over a line gives what envelope.sign and envelope.verify give, and nothing that looks like a signature fools it."""

from __future__ import annotations

import json
import os
import random

import pytest

from gait.errors import InvalidInput, VerificationFailed
from gait.formats import jcs
from gait.gate import trace
from gait.signing import envelope, keys
from gait.signing.keys import Keyring
from gait.store.journal import records, seals
from gait.store.journal.records import Tail
from gait.store.journal.seals import Opener, Signer, seal

from tests.store.journal import sample

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", 400))
MEMBER = '"signature":{"alg":"hmac-sha256","key_id":"%s","sig":"%s","signed_digest":"%s"}'
LOOKALIKE = MEMBER % (sample.RING.active.key_id, "A" * 43 + "=", "a" * 64)


def text(rng: random.Random) -> str:
    words = ["", "a", '"', "\\", "signature", ',"signature":{', "," + LOOKALIKE, LOOKALIKE + ",", "é", "\u2028", "\U0001f600", "\uffff", "{", "}", "[", "\x00"]
    return "".join(rng.choice(words) for _ in range(rng.randrange(4)))


def value(rng: random.Random, depth: int = 3) -> object:
    kind = rng.randrange(8 if depth else 6)
    if kind == 6:
        return [value(rng, depth - 1) for _ in range(rng.randrange(3))]
    if kind == 7:
        found = {text(rng): value(rng, depth - 1) for _ in range(rng.randrange(3))}
        if rng.random() < 0.5:
            found["a"] = 1
            found["signature"] = rng.choice([json.loads("{" + LOOKALIKE + "}")["signature"], {}, "x"])
        return found
    return [text(rng), rng.randrange(-9, 9), rng.random() * 10.0 ** rng.randrange(-9, 25), True, None, "signature"][kind]


def unsigned(rng: random.Random) -> dict[str, object]:
    found = sample.record(rng.randrange(100)) if rng.random() < 0.7 else records.event("outcome", "2026-02-05T00:00:00Z", {})
    for _ in range(rng.randrange(4)):
        found[rng.choice(["a", "details", "context", "tool_name", "signatura", "signaturf", "z", "\uffff", "\U0001f600"])] = value(rng)
    return found


def judged(open_line, line: bytes) -> object:
    try:
        return open_line(line)
    except VerificationFailed as error:
        return error.error_code


def mangled(rng: random.Random, line: bytes) -> bytes:
    """The line, or something near it: a byte, a piece moved, the signature elsewhere, another spelling."""
    how = rng.randrange(7)
    if how == 0:
        at = rng.randrange(len(line))
        return line[:at] + bytes([rng.randrange(256)]) + line[at + 1 :]
    if how == 1:
        first, second = sorted(rng.randrange(len(line) + 1) for _ in range(2))
        return line[:first] + line[second:]
    start = line.rfind(b',"signature":{"alg"')
    end = line.find(b"}", start) + 1
    rest, member = line[:start] + line[end:], line[start:end]
    if how == 2:  # anywhere
        at = rng.randrange(len(rest) + 1)
        return rest[:at] + member + rest[at:]
    if how == 3:  # after some comma or brace, where it may well be JSON
        places = [i for i, byte in enumerate(rest) if byte in b",{}"]
        at = rng.choice(places)
        return rest[:at] + member + rest[at:]
    if how == 4:
        return json.dumps(json.loads(line), sort_keys=rng.random() < 0.5).encode()
    return line + rng.choice([b"", b" ", b"\r", b"}", b"{}"]) if how == 5 else line


@pytest.mark.fuzz
def test_the_short_way_is_the_long_way():
    seed = os.environ.get("GAIT_FUZZ_SEED") or str(random.randrange(1 << 32))
    print("seed", seed)
    rng = random.Random(seed)
    opener, signer = Opener(sample.RING), Signer(sample.RING.active)
    accepted = 0
    for _ in range(ROUNDS):
        record = unsigned(rng)
        tail = Tail(1, 0, rng.randrange(1000), "e" * 64)
        try:
            sealed = seal(record, "worker-1", tail, signer)
        except InvalidInput as error:
            assert error.error_code == "integer_out_of_range"  # a double that is written like an integer
            continue
        linked = {**record, "chain": "worker-1", "sequence": tail.sequence + 1, "prev_digest": tail.digest}
        expected = envelope.sign(linked, sample.RING.active, records.PURPOSE_OF[record["schema_id"]])
        assert sealed.record == expected and sealed.line == jcs.dumps(expected)
        assert opener.open(sealed.line) == expected
        assert opener._open_fast(sealed.line) is not None or sealed.line.count(signer.start) > 1
        for _ in range(5):
            line = mangled(rng, sealed.line)
            slow = judged(lambda text: seals.open_slowly(text, sample.RING), line)
            assert judged(opener.open, line) == slow
            accepted += isinstance(slow, dict)
            if opener._open_fast(line) is not None:
                assert line == sealed.line
    assert accepted


@pytest.mark.parametrize("length", [32, 64, 65, 200])
def test_keys_of_every_length(length):
    key = keys.make(os.urandom(length))
    sealed = seal(sample.record(), "c", Tail(), Signer(key))
    assert envelope.verify(sealed.record, Keyring("trace", key), envelope.TRACE)
    assert Opener(Keyring("trace", key)).open(sealed.line) == sealed.record


def test_retired_keys_verify_and_the_last_one_used_comes_first():
    ring = Keyring("trace", sample.OTHER.active, (sample.RING.active,))
    opener = Opener(ring)
    lines = [seal(sample.record(), "c", Tail(), Signer(key)).line for key in (sample.RING.active, sample.OTHER.active) * 2]
    for line in lines:
        assert opener._open_fast(line) and opener.open(line) == json.loads(line)


def test_a_ring_of_approvals_opens_no_journal():
    with pytest.raises(InvalidInput) as caught:
        Opener(sample.RING._replace(purpose="approval"))
    assert caught.value.error_code == "key_purpose_mismatch"


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({**sample.record(), "signature": {}}, "already_signed"),
        ({**sample.record(), "sequence": 1}, "already_signed"),
        ({**sample.record(), "schema_id": "gait.gate.other"}, "invalid_input"),
        ({**sample.record(), "schema_id": ["x"]}, "invalid_input"),
        ({}, "invalid_input"),
        ({**sample.record(), "tool_name": "x" * records.MAX_LINE_BYTES}, "record_too_large"),
        ({**sample.record(), "more": json.loads("[" * 64 + "]" * 64)}, "parse_error"),
        ({**sample.record(), "more": float("nan")}, "invalid_input"),
        ({**sample.record(), "more": [1e17]}, "integer_out_of_range"),
    ],
)  # fmt: skip
def test_what_no_journal_takes(record, code):
    with pytest.raises(InvalidInput) as caught:
        seal(record, "c", Tail(), Signer(sample.RING.active))
    assert caught.value.error_code == code


def test_long_digits_in_texts_are_no_number():
    sealed = seal(sample.record(tool_name=",1" + "0" * 30, more=1234567890123456.5), "c", Tail(), Signer(sample.RING.active))
    assert Opener(sample.RING).open(sealed.line) == sealed.record


def test_many_brackets_in_texts_are_no_nesting():
    sealed = seal(sample.record(tool_name="{[" * 100), "c", Tail(), Signer(sample.RING.active))
    assert Opener(sample.RING).open(sealed.line) == sealed.record


def test_numbers_that_jcs_refuses_are_not_canonical():
    line = jcs.dumps(envelope.sign(sample.record(), sample.RING.active, envelope.TRACE)).replace(b'"chain"', b'"n"')
    line = line.replace(b'{"args', b'{"a":99999999999999999999,"args', 1)
    assert judged(Opener(sample.RING).open, line) == "line_not_canonical"


def test_the_purposes_are_those_of_the_documents():
    assert records.PURPOSE_OF == {trace.SCHEMA_ID: envelope.TRACE, records.EVENT: envelope.JOURNAL}
    assert {envelope.FAMILY_OF[purpose] for purpose in (envelope.JOURNAL, envelope.JOURNAL_HEAD)} == {"trace"}

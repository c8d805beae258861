"""Frames mutated at random, against an oracle of lenient readers.

If any of them finds a tools/call in what is forwarded, `decide` must have been asked for exactly that call and have said yes.
`GAIT_FUZZ_ROUNDS=500000` for a long run.
"""

from __future__ import annotations

import json
import os
import random
import re
from unicodedata import normalize

from gait.mcp.catalog import Catalog
from gait.mcp.effects import Outcome, Refused, Ruling, Terms, ToClient, ToUpstream
from gait.mcp.interceptor import Interceptor
from gait.mcp.lines import Lines, dumps
from gait.mcp.unwrap import Unwrap

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "4000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "0")) or random.randrange(1 << 30)

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"good","arguments":{"path":"/a","n":[1,2.5,{"k":null}]}}}'
BAD = b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"bad","arguments":{}}}'
SEEDS = (
    CALL,
    BAD,
    CALL.replace(b'"name":"good",', b"").replace(b"}}}", b'}},"name":"good"}'),
    CALL.replace(b"tools/call", b"tools\\/call"),
    b'{"jsonrpc":"2.0","id":3,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":3,"method":"ping","params":' + BAD + b"}",
    b'{"jsonrpc":"2.0","id":"x","method":"prompts/get","params":{"name":"bad","arguments":{}}}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}',
    b'{"jsonrpc":"2.0","id":4,"result":{"method":"tools/call","params":{"name":"bad"}}}',
    b"[" + CALL + b"," + BAD.replace(b"bad", b"fine") + b"]",
    b"[" + CALL + b',{"jsonrpc":"2.0","id":3,"method":"ping"}]',
    b"[" + BAD + b"]",
)
WORDS = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\r", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", b"null", b"1", b"1.0", b"true"),
    *(b'"method":"tools/call",', b'"method":"ping",', b'"Method":"tools/call",', b'"id":7,', b'"ID":7,', b'"id":null,', b'"params":{"name":"bad"},', b'"Params":{"name":"bad"},'),
    *(b'"name":"bad",', b'"Name":"bad",', b'"arguments":{},', b'"Arguments":{"x":1},', b'"result":{},', b'"error":{},', b"tools/call", b"Tools/Call", b"ping", b"good", b"bad"),
    *(b"\\u0000", b"\\u0020", b"\\ud800", b"\\u017f", "\uff4d".encode(), "\u0131".encode(), "\u212a".encode(), b"NaN", b"1e999", BAD, b"," + BAD, b"\r" + BAD + b"\r", b'"jsonrpc":"2.0",'),
)


# --- the oracle --------------------------------------------------------------------------------


def first(pairs: list) -> dict:
    return dict(reversed(pairs))


def fold(key: str) -> str:
    return normalize("NFKC", key).upper().casefold().strip(" \0\t\r\n")


def folded_last(pairs: list) -> dict:
    return {fold(key): value for key, value in pairs}


def folded_first(pairs: list) -> dict:
    return folded_last(list(reversed(pairs)))


PARSERS = [json.JSONDecoder(strict=False, object_pairs_hook=hook) for hook in (dict, first, folded_last, folded_first)]


def values(text: str, parser: json.JSONDecoder):
    """Every value in a text, one after the other, as far as it can be read; whatever stands between them is skipped."""
    place = 0
    while True:
        found = re.compile(r"[\[{]").search(text, place)
        if not found:
            return
        try:
            value, place = parser.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            return
        yield value


def readings(data: bytes):
    """(name, arguments) of every tools/call that some lenient reader finds in a frame that was written as a line, or as a body."""
    line = dumps(data).decode("utf-8", "replace")
    texts = {data.decode("utf-8", "replace"), *line.splitlines(), *re.split("[\r\n\u2028\u2029\x85]", line)}
    for text in texts:
        for parser in PARSERS:
            for value in values(text.lstrip("\ufeff"), parser):
                for item in value if isinstance(value, list) else [value]:
                    yield from calls(item)


def calls(item: object):
    method = item.get("method") if isinstance(item, dict) else None
    if isinstance(method, str) and re.sub("[^a-z]", "", fold(method)) == "toolscall":
        params = item.get("params")
        params = params if isinstance(params, dict) else {}
        yield key(params.get("name"), params.get("arguments"))


def key(name: object, arguments: object) -> str:
    return json.dumps([name, lowered(arguments or {})], sort_keys=True)


def lowered(value: object) -> object:
    """Keys folded, so that the readings of the folding parsers compare with the others."""
    if isinstance(value, dict):
        return {fold(name): lowered(item) for name, item in value.items()}
    return [lowered(item) for item in value] if isinstance(value, list) else value


# --- what is tested ----------------------------------------------------------------------------


class Judge:
    """Allows every tool whose name has no b in it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []

    def decide(self, call) -> Ruling:
        params = call.value["params"]
        is_allowed = "b" not in params["name"]
        self.asked.append((key(params["name"], params["arguments"]), is_allowed))
        return Ruling("allow" if is_allowed else "block", (), (), "", "t", "i", "p", "c", 1, 0, params["name"], 0.0)


def mutated(rng: random.Random, seeds: tuple[bytes, ...] = SEEDS) -> bytes:
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 6))):
        place = rng.randrange(len(data) + 1)
        length = rng.choice((0, 0, 0, 1, 1, 2, 10))
        other = rng.choice(seeds)
        start = rng.randrange(len(other))
        data[place : place + length] = rng.choice((rng.choice(WORDS), rng.choice(WORDS), other[start : start + 20], bytes([rng.randrange(256)]), b""))
        if rng.random() < 0.05:
            at = data.find(b'"', place)
            data[at + 1 : at + 1] = b"\\u%04x" % rng.randrange(0x10000)
    return bytes(data)


def test_what_any_reader_takes_for_a_call_was_allowed():
    print(f"GAIT_FUZZ_SEED={SEED} rounds={ROUNDS}")
    rng = random.Random(SEED)
    sent = judged = 0
    for _ in range(ROUNDS):
        data = mutated(rng)
        judge = Judge()
        interceptor = Interceptor(Terms(), judge.decide, Catalog(None))
        effects = interceptor.from_client(data, rng.choice((None, {}, {"mcp-protocol-version": "2025-03-26"})))
        if not any(isinstance(effect, ToUpstream) for effect in effects):
            assert not data.strip(b" \t\r\n") or any(isinstance(effect, (Refused, ToClient)) for effect in effects), data
            assert interceptor.pending == []
            continue
        (forwarded,) = [effect for effect in effects if isinstance(effect, ToUpstream)]
        assert forwarded.data == data
        allowed = {call for call, is_allowed in judge.asked if is_allowed}
        found = set(readings(data))
        assert found <= allowed and all(is_allowed for _, is_allowed in judge.asked), (data, found, judge.asked)
        assert len(interceptor.pending) == len(judge.asked)
        sent += 1
        judged += bool(found)
    assert sent > ROUNDS // 20 and judged > ROUNDS // 40


def test_the_oracle_sees_what_it_must():
    """It could otherwise agree with anything."""
    bad = key("bad", {})
    for data in (
        BAD,
        b"x" + BAD,
        BAD.replace(b'"method"', b'"METHOD"'),
        BAD.replace(b"tools/call", b" Tools/CALL\\u0000"),
        b'{"method":"ping",' + BAD[1:],
        BAD[:-1] + b',"method":"ping"}',
        b"\xef\xbb\xbf" + BAD,
        b'{"jsonrpc":"2.0"}' + BAD,
        b'{"jsonrpc":"2.0"}\r' + BAD,
        b"[[]," + BAD + b"]",
    ):
        assert bad in set(readings(data)), data
    assert not set(readings(SEEDS[4])) and not set(readings(SEEDS[5]))


def lists(*names: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 5, "result": {"tools": [{"name": name} for name in names]}}).encode()


UPSTREAM = (
    *SEEDS,
    *[b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"x"}]}}'] * 4,
    b'{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}}',
    b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}',
    lists("good"),
    lists("good", "hidden"),
    b"[" + lists("hidden") + b"," + CALL + b"]",
)


def hidden_tools(data: bytes):
    """Hidden tools that a client could see.  Clients are JSON readers that take the last of two keys, and those that ignore case too."""
    for hook in (dict, folded_last):
        try:
            value = json.loads(data, object_pairs_hook=hook)
        except (ValueError, RecursionError):
            continue
        for item in value if isinstance(value, list) else [value]:
            result = item.get("result") if isinstance(item, dict) and item.get("id") == 5 else None
            tools = result.get("tools") if isinstance(result, dict) else None
            for tool in tools if isinstance(tools, list) else []:
                if isinstance(tool, dict) and tool.get("name") == "hidden":
                    yield tool


def test_any_bytes_from_the_upstream():
    rng = random.Random(SEED + 1)
    changed = outcomes = 0
    for _ in range(ROUNDS):
        data = mutated(rng, UPSTREAM)
        is_filtering = rng.random() < 0.5
        catalog = Catalog(None, (lambda name: name == "hidden") if is_filtering else None)
        interceptor = Interceptor(Terms(), Judge().decide, catalog)
        interceptor.from_client(CALL)
        interceptor.from_client(b'{"jsonrpc":"2.0","id":5,"method":"tools/list"}')
        effects = interceptor.from_upstream(data)
        passed = [effect.data for effect in effects if isinstance(effect, ToClient)]
        if not is_filtering:
            assert passed == [data]
        else:
            assert not [tool for sent in passed for tool in hidden_tools(sent)], (data, passed)
            assert passed == [data] or b"tools" in data or any(isinstance(effect, Refused) for effect in effects)
            changed += passed != [data]
        found = sum(isinstance(effect, Outcome) for effect in effects)
        outcomes += found
        assert found + len(interceptor.finish("never_answered")) == 1
    assert changed > ROUNDS // 40 and outcomes > ROUNDS // 100


def test_split_anywhere_gives_the_same_effects():
    rng = random.Random(SEED + 2)
    rounds = ROUNDS // 10
    for _ in range(rounds):
        stream = b"".join(mutated(rng, SEEDS + UPSTREAM).replace(b"\n", b"") + b"\n" for _ in range(6))
        places = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(8)))
        pieces = [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)])]
        assert effects_of(pieces) == effects_of([stream]) == effects_of([bytes([byte]) for byte in stream])


def effects_of(pieces: list[bytes]) -> list:
    judge = Judge()
    interceptor = Interceptor(Terms(max_frame_bytes=300, server="s", unwraps=(Unwrap("good", ("path",), ("n",)),)), judge.decide, Catalog(None))
    lines, effects = Lines(300), []
    for piece in pieces:
        for line in lines.feed(piece):
            effects += interceptor.from_client(line)
            effects += interceptor.from_upstream(line)
    return [(type(effect).__name__, str(effect)) for effect in effects] + judge.asked

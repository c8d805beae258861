"""Make fixtures/runpacks anew, or with --check compare it and change nothing: good packs, and tampered ones.

Key and times are fixed and archives are built here byte by byte, so that every Python gives the same bytes.
`make` is for scripts/fixtures.py; each tampered pack has the finding that it must get in tampered/expected.json.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gait.formats import jcs  # noqa: E402
from gait.formats.archive.reader import Archive  # noqa: E402
from gait.gate import intent as intents  # noqa: E402
from gait.gate import trace  # noqa: E402
from gait.gate.evaluate import evaluate  # noqa: E402
from gait.gate.matching import compile_policy  # noqa: E402
from gait.gate.policy import loads as read_policy  # noqa: E402
from gait.runpack import pack, record  # noqa: E402
from gait.signing import keys  # noqa: E402

FOLDER = ROOT / "fixtures" / "runpacks"
KEY = keys.make(bytes(range(32)))  # known to everybody: it signs nothing but fixtures
OTHER_KEY = keys.make(bytes(range(100, 132)))
TIME = "2026-02-05T00:00:%02dZ"
Entries = Dict[str, bytes]

POLICY = b"""\
default_verdict: block
rules:
  - name: reads
    priority: 1
    effect: allow
    match: {endpoint_classes: [fs.read]}
  - name: writes
    priority: 2
    effect: require_approval
    match: {endpoint_classes: [fs.write]}
"""


# The document that docs/runpack.md records.
RUN = b"""\
{"schema_id": "gait.runpack.record", "schema_version": "1.0.0", "run_id": "run_docs", "created_at": "2026-02-05T00:00:00Z",
 "steps": [
  {"adapter": "mcp", "call": {"name": "read_file", "arguments": {"path": "/srv/a.txt", "token": "s3cret"}},
   "context": {"identity": "alice", "workspace": "/srv", "risk_class": "low"},
   "result": {"status": "ok", "result": {"lines": 3}}},
  {"intent": {"tool_name": "tool.delete", "args": {"path": "/srv"},
   "targets": [{"kind": "path", "value": "/srv", "operation": "delete"}],
   "context": {"identity": "alice", "workspace": "/srv", "risk_class": "low"}}}]}
"""


# --- good packs


def steps(name: str) -> list[pack.Recorded]:
    """Three calls: one read, one that needs approval, one that is blocked."""
    calls = [("tool.read", "read", f"/srv/{name}.txt"), ("tool.write", "write", f"/srv/{name}.txt"), ("tool.delete", "delete", "/srv")]
    return [step(number, *call) for number, call in enumerate(calls)]


def step(number: int, tool: str, operation: str, path: str) -> pack.Recorded:
    """One decided call, with a result when it was allowed."""
    context = {"identity": "alice", "workspace": "/srv", "risk_class": "low", "session_id": "s1"}
    target = {"kind": "path", "value": path, "operation": operation}
    intent = intents.read({"tool_name": tool, "args": {"path": path, "token": f"secret-{number}"}, "targets": [target], "context": context})
    decision = evaluate(compile_policy(read_policy(POLICY, "policy")), intent)
    result: dict[str, object] = {"lines": number, "text": "hello"}
    allowed = decision.verdict == "allow"
    given = {"status": "ok", "result": result, "result_digest": jcs.digest(result)} if allowed else {"status": "not_executed"}
    return pack.Recorded(
        intent.tool_name, intent.args_digest, TIME % (number % 60), args=intent.args, intent=record.intent_value(intent), intent_digest=intent.intent_digest,
        decision=record.decision_value(decision, trace.trace_id(decision)), **given,
    )  # fmt: skip


RECEIPT = {
    **{"ref_id": "ref_1", "source_type": "search", "source_locator": "tool.search", "redaction_mode": "reference"},
    **{"query_digest": "a" * 64, "content_digest": "b" * 64, "retrieved_at": TIME % 0},
}


def good(run_id: str, name: str, raw: bool = False, key: keys.Key | None = None) -> bytes:
    """A whole pack."""
    out = io.BytesIO()
    head = pack.Head(run_id, TIME % 0, {"os": "linux", "arch": "amd64", "runtime": "test"}, (), (RECEIPT,))
    recorder = pack.Recorder(head, io.BytesIO, raw)
    for item in steps(name):
        recorder.add(item)
    recorder.finish(out, key)
    return out.getvalue()


# --- archives, byte by byte


class Part(NamedTuple):
    """One entry with everything that can be said of it, right or wrong."""

    name: bytes
    data: bytes
    size: int = -1
    method: int = 0
    flags: int = 0
    mode: int = 0o100644
    time: int = 0
    extra: bytes = b""
    comment: bytes = b""
    crc: int = -1
    local_name: bytes = b""
    local_size: int = -1
    before: bytes = b""
    after: bytes = b""
    offset: int = -1


def zipped(parts: list[Part], junk_before: bytes = b"", end: bytes = b"", disk: int = 0, comment: bytes = b"", count: int = -1) -> bytes:
    """An archive of these entries."""
    body, directory = junk_before, b""
    for part in parts:
        body += part.before
        size = len(part.data) if part.size < 0 else part.size
        crc = zlib.crc32(part.data) if part.crc < 0 else part.crc
        offset = len(body) - len(junk_before) if part.offset < 0 else part.offset
        common = (20, part.flags, part.method, part.time, 0x21)
        local_size = size if part.local_size < 0 else part.local_size
        sizes = (0, 0, 0) if part.flags & 8 else (crc, len(part.data), local_size)
        name = part.local_name or part.name
        body += struct.pack("<4sHHHHHIIIHH", b"PK\3\4", *common, *sizes, len(name), len(part.extra)) + name + part.extra + part.data + part.after
        lengths = (len(part.name), len(part.extra), len(part.comment))
        directory += struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 3 << 8 | 20, *common, crc, len(part.data), size, *lengths, 0, 0, part.mode << 16, offset)
        directory += part.name + part.extra + part.comment
    count = len(parts) if count < 0 else count
    start = len(body) - len(junk_before)
    return body + directory + end + struct.pack("<4sHHHHIIH", b"PK\5\6", disk, disk, count, count, len(directory), start, len(comment)) + comment


def entries(data: bytes) -> Entries:
    """What is in a good pack."""
    archive = Archive(io.BytesIO(data))
    return {name: b"".join(archive.chunks(entry)) for name, entry in archive.entries.items() if entry}


def parts(found: Entries, **changed: dict[str, object]) -> list[Part]:
    """Its entries, some of them changed: run_json={'mode': 0o120777}."""
    made = [Part(name.encode(), data) for name, data in sorted(found.items())]
    return [part._replace(**changed.get(part.name.decode().replace(".", "_"), {})) for part in made]


def rehashed(found: Entries, **fields: object) -> Entries:
    """The entries with a manifest that fits them: what somebody without a key can make."""
    manifest = json.loads(found["manifest.json"])
    manifest.pop("signatures", None)
    manifest.update(fields)
    manifest["files"] = [{"path": name, "sha256": __import__("hashlib").sha256(data).hexdigest()} for name, data in sorted(found.items()) if name != "manifest.json"]
    manifest["manifest_digest"] = jcs.digest({**manifest, "manifest_digest": ""})
    return {**found, "manifest.json": jcs.dumps(manifest)}


def lines(data: bytes) -> list[dict[str, object]]:
    """The documents of a JSONL entry."""
    return [json.loads(line) for line in data.splitlines()]


def joined(documents: list[dict[str, object]]) -> bytes:
    """A JSONL entry of documents."""
    return b"".join(jcs.dumps(document) + b"\n" for document in documents)


def deflated(data: bytes) -> bytes:
    """Stored blocks inside a deflate stream: every zlib writes them alike."""
    out = b""
    for start in range(0, len(data), 65535):
        block = data[start : start + 65535]
        last = start + 65535 >= len(data)
        out += struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block
    return out


def bomb(blocks: int) -> bytes:
    """A deflate stream of fixed Huffman codes that repeats one byte 258 times with each 13 bits; it ends soon and gives much."""
    bits = "1" + "10" + "00110000"  # last block, fixed codes (least significant bit first), a literal 0
    bits += ("11000101" + "00000") * blocks + "0000000"  # length 258, distance 1; end of block
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[index : index + 8][::-1], 2) for index in range(0, len(bits), 8))


# --- the table


def flip(data: bytes) -> bytes:
    """Another byte in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def cases() -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Name -> the finding that must be there, and how the pack is made."""
    signed = good("run_good", "good", key=KEY)
    found = entries(signed)
    raw = entries(good("run_good", "good", raw=True))
    other = entries(good("run_other", "other", key=KEY))
    twin = entries(good("run_good", "twin"))
    whole = parts(found)
    return {
        **_flipped(found),
        **_listed(found, other),
        **_named(found, whole),
        **_kinds(found, whole),
        **_archives(signed, found, whole),
        **_manifests(found, other),
        **_mixed(found, raw, other, twin),
    }


Case = Dict[str, "tuple[str, Callable[[], bytes]]"]


def _flipped(found: Entries) -> Case:
    made: Case = {}
    for name, data in found.items():
        stem = name.partition(".")[0]
        crc = zlib.crc32(data)
        made[f"flip_{stem}"] = ("entry_crc_mismatch", lambda n=name, d=data, c=crc: zipped(parts({**found, n: flip(d)}, **{n.replace(".", "_"): {"crc": c}})))
        code = "manifest_digest_mismatch" if stem == "manifest" else "entry_digest_mismatch"
        made[f"flip_{stem}_crc_fixed"] = (code, lambda n=name, d=data: zipped(parts({**found, n: _other_letter(d)})))
        code = "manifest_missing" if stem == "manifest" else "entry_missing"
        made[f"missing_{stem}"] = (code, lambda n=name: zipped(parts({key: value for key, value in found.items() if key != n})))
    return made


def _other_letter(data: bytes) -> bytes:
    """Another time, so that every entry stays well-formed JSON."""
    return data.replace(b"2026-02-05", b"2026-02-06", 1)


def _listed(found: Entries, other: Entries) -> Case:
    renamed = {("result.jsonl" if name == "results.jsonl" else name): data for name, data in found.items()}
    return {
        "extra_entry": ("entry_unlisted", lambda: zipped(parts({**found, "notes.txt": b"hello\n"}))),
        "renamed_entry": ("entry_unlisted", lambda: zipped(parts(renamed))),
        "missing_and_rehashed": ("entry_missing", lambda: zipped(parts(rehashed({name: data for name, data in found.items() if name != "refs.json"})))),
        "no_files_listed": ("entry_missing", lambda: zipped(parts({"manifest.json": rehashed({"manifest.json": found["manifest.json"]})["manifest.json"]}))),
        "listed_but_not_there": ("entry_missing", lambda: zipped(parts({name: data for name, data in rehashed({**found, "more.txt": b"x"}).items() if name != "more.txt"}))),
        "manifest_of_another_run": ("entry_digest_mismatch", lambda: zipped(parts({**found, "manifest.json": other["manifest.json"]}))),
    }


def _named(found: Entries, whole: list[Part]) -> Case:
    def added(name: bytes, **fields: object) -> Callable[[], bytes]:
        return lambda: zipped(sorted([*whole, Part(name, b"x")._replace(**fields)]))

    run = next(part for part in whole if part.name == b"run.json")
    return {
        "duplicated_entry": ("entry_repeated", lambda: zipped([*whole, run])),
        "duplicated_entry_other_content": ("entry_repeated", lambda: zipped([*whole, run._replace(data=b"{}")])),
        "duplicated_entry_other_case": ("entry_repeated", added(b"RUN.json")),
        "path_traversal": ("entry_path_traversal", added(b"../evil.sh")),
        "path_traversal_inside": ("entry_path_traversal", added(b"a/../../evil.sh")),
        "path_absolute": ("entry_path_absolute", added(b"/etc/cron.d/evil")),
        "path_backslash": ("entry_path_backslash", added(b"..\\evil.bat")),
        "path_drive": ("entry_path_drive", added(b"C:evil.bat")),
        "path_nul": ("entry_name_invalid", added(b"run.json\0.txt")),
        "path_empty": ("entry_name_invalid", added(b"", local_name=b"x")),
        "path_dot": ("entry_name_invalid", added(b"./run.json")),
        "path_not_ascii": ("entry_name_invalid", added("rün.json".encode())),
        "path_long": ("entry_name_invalid", added(b"a" * 300)),
    }


def _kinds(found: Entries, whole: list[Part]) -> Case:
    def run(**fields: object) -> Callable[[], bytes]:
        return lambda: zipped(parts(found, run_json=fields))

    data = found["run.json"]
    packed = deflated(data)
    small = {"method": 8, "size": len(data), "crc": zlib.crc32(data)}
    return {
        "directory_entry": ("entry_directory", lambda: zipped(sorted([*whole, Part(b"evil/", b"", mode=0o040755)]))),
        "symlink": ("entry_symlink", run(mode=0o120777)),
        "device": ("entry_not_a_file", run(mode=0o020644)),
        "mode_changed": ("entry_metadata", run(mode=0o100755)),
        "time_changed": ("entry_metadata", run(time=1)),
        "extra_field": ("entry_extra_field", run(extra=b"up\x06\x00\x01abcde")),
        "entry_comment": ("entry_comment", run(comment=b"hello")),
        "encrypted": ("entry_encrypted", run(flags=1)),
        "flags_unknown": ("entry_flags_unknown", run(flags=0x20)),
        "compression_unknown": ("entry_compression_unknown", run(method=12)),
        "declared_too_large": ("entry_too_large", run(method=8, size=600 * 1024 * 1024)),
        "zip_bomb": ("entry_size_mismatch", run(**{**small, "data": bomb(40_000)})),
        "zip_bomb_honest_then_more": ("entry_size_mismatch", run(**{**small, "data": deflated(data + b"x" * 70_000)})),
        "deflate_garbage": ("entry_data_malformed", run(**{**small, "data": b"\xff" * 20})),
        "deflate_junk_after": ("entry_data_malformed", run(**{**small, "data": packed + b"junk"})),
        "deflate_cut": ("entry_data_malformed", run(**{**small, "data": packed[:-10]})),
        "descriptor_mismatch": ("entry_header_mismatch", run(flags=8, after=struct.pack("<4sIII", b"PK\7\x08", zlib.crc32(data), len(data), len(data) + 1))),
        "local_name_differs": ("entry_header_mismatch", run(local_name=b"run.jsom")),
        "local_size_differs": ("entry_header_mismatch", run(local_size=1)),
        "crc_wrong": ("entry_crc_mismatch", run(crc=1)),
        "zip64_sizes": ("zip64", run(size=0xFFFFFFFF)),
        "zip64_extra": ("zip64", run(extra=b"\1\0\x08\0" + b"\0" * 8)),
    }


def _archives(signed: bytes, found: Entries, whole: list[Part]) -> Case:
    return {
        "junk_before": ("leading_junk", lambda: b"#!/bin/sh\n" + signed),
        "junk_before_offsets_fixed": ("hidden_bytes", lambda: zipped([whole[0]._replace(before=b"#!/bin/sh\n"), *whole[1:]])),
        "junk_after": ("trailing_junk", lambda: signed + b"junk"),
        "junk_between": ("hidden_bytes", lambda: zipped(parts(found, run_json={"before": b"junk"}))),
        "junk_before_directory": ("hidden_bytes", lambda: zipped(parts(found, run_json={"after": b"junk"}))),
        "junk_in_directory": ("directory_malformed", lambda: zipped(whole, end=b"junk")),
        "two_archives": ("leading_junk", lambda: signed + signed),
        "archive_comment": ("archive_comment", lambda: zipped(whole, comment=b"hello")),
        "multi_disk": ("multi_disk", lambda: zipped(whole, disk=1)),
        "zip64_locator": ("zip64", lambda: zipped(whole, end=struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1))),
        "count_wrong": ("directory_malformed", lambda: zipped(whole, count=4)),
        "overlapping": ("entries_overlap", lambda: zipped(parts(found, run_json={"offset": 0, "local_name": b""}))),
        "unsorted": ("entries_unsorted", lambda: zipped(whole[::-1])),
        "truncated": ("archive_truncated", lambda: signed[:-1]),
        "truncated_half": ("archive_truncated", lambda: signed[: len(signed) // 2]),
        "empty_file": ("not_an_archive", lambda: b""),
        "not_an_archive": ("not_an_archive", lambda: b"hello\n"),
        "empty_archive": ("manifest_missing", lambda: zipped([])),
    }


def _manifests(found: Entries, other: Entries) -> Case:
    manifest = json.loads(found["manifest.json"])
    signature = manifest["signatures"][0]

    def with_manifest(value: dict[str, object]) -> Callable[[], bytes]:
        return lambda: zipped(parts({**found, "manifest.json": jcs.dumps(value)}))

    def with_signature(**fields: object) -> Callable[[], bytes]:
        return with_manifest({**manifest, "signatures": [{**signature, **fields}]})

    stale = json.loads(other["manifest.json"])["signatures"]
    unsigned = {name: item for name, item in manifest.items() if name != "signatures"}
    return {
        "manifest_edited": ("manifest_digest_mismatch", with_manifest({**manifest, "capture_mode": "raw"})),
        "manifest_added_field": ("manifest_digest_mismatch", with_manifest({**manifest, "note": "x"})),
        "manifest_run_id": ("run_id_mismatch", with_manifest({**manifest, "run_id": "run_other"})),
        "manifest_spaced": ("not_canonical", lambda: zipped(parts({**found, "manifest.json": found["manifest.json"].replace(b":", b": ", 1)}))),
        "manifest_key_twice": ("not_json", lambda: zipped(parts({**found, "manifest.json": found["manifest.json"].replace(b"{", b'{"run_id":"run_other",', 1)}))),
        "manifest_no_json": ("not_json", lambda: zipped(parts({**found, "manifest.json": b"hello"}))),
        "manifest_other_schema": ("document_malformed", with_manifest({**manifest, "schema_id": "gait.runpack.run"})),
        "manifest_run_id_path": ("document_malformed", with_manifest({**manifest, "run_id": "../run"})),
        "manifest_lists_itself": ("document_malformed", with_manifest({**manifest, "files": [{"path": "manifest.json", "sha256": "a" * 64}]})),
        "wrong_key": ("key_unknown", lambda: good("run_good", "good", key=OTHER_KEY)),
        "wrong_key_claimed": ("signature_mismatch", with_signature(sig=json.loads(entries(good("run_good", "good", key=OTHER_KEY))["manifest.json"])["signatures"][0]["sig"])),
        "stale_signature": ("signature_stale", with_manifest({**unsigned, "signatures": stale})),
        "stale_signature_rehashed": ("signature_stale", lambda: zipped(parts({**rehashed({**found, "refs.json": _other_letter(found["refs.json"])}), **_resigned(found)}))),
        "signature_algorithm": ("algorithm_not_supported", with_signature(alg="none")),
        "signature_malformed": ("signature_malformed", with_signature(sig="AAAA")),
    }


def _resigned(found: Entries) -> Entries:
    """A fitting manifest for changed entries, with the signature of the old one."""
    changed = rehashed({**found, "refs.json": _other_letter(found["refs.json"])})
    value = {**json.loads(changed["manifest.json"]), "signatures": json.loads(found["manifest.json"])["signatures"]}
    return {"manifest.json": jcs.dumps(value)}


def _mixed(found: Entries, raw: Entries, other: Entries, twin: Entries) -> Case:
    def made(base: Entries, **changed: bytes) -> Callable[[], bytes]:
        return lambda: zipped(parts(rehashed({**base, **{name.replace("_", "."): data for name, data in changed.items()}})))

    intent_lines, result_lines = lines(raw["intents.jsonl"]), lines(raw["results.jsonl"])
    swapped = [{**line, "intent_id": intent_id} for line, intent_id in zip(result_lines, ("intent_2", "intent_1", "intent_3"))]
    args = [{**intent_lines[0], "args": {"path": "/etc/shadow"}}, *intent_lines[1:]]
    targets = [{**intent_lines[0], "intent": {**intent_lines[0]["intent"], "targets": []}}, *intent_lines[1:]]  # type: ignore[dict-item]
    verdict = [result_lines[0], {**result_lines[1], "decision": {**result_lines[1]["decision"], "verdict": "allow"}}, result_lines[2]]  # type: ignore[dict-item]
    return {
        "mixed_results": ("entry_digest_mismatch", lambda: zipped(parts({**found, "results.jsonl": other["results.jsonl"]}))),
        "mixed_results_rehashed": ("run_id_mismatch", made(found, results_jsonl=other["results.jsonl"])),
        "mixed_results_same_id": ("decision_mismatch", made(found, results_jsonl=twin["results.jsonl"])),
        "mixed_run_rehashed": ("run_id_mismatch", made(found, run_json=other["run.json"])),
        "mixed_refs_rehashed": ("run_id_mismatch", made(found, refs_json=other["refs.json"])),
        "results_swapped": ("decision_mismatch", made(raw, results_jsonl=joined(swapped))),
        "args_changed": ("args_digest_mismatch", made(raw, intents_jsonl=joined(args))),
        "targets_changed": ("intent_digest_mismatch", made(raw, intents_jsonl=joined(targets))),
        "result_changed": ("result_digest_mismatch", made(raw, results_jsonl=joined([{**result_lines[0], "result": {"lines": 1}}, *result_lines[1:]]))),
        "verdict_changed": ("decision_mismatch", made(raw, results_jsonl=joined(verdict))),
        "intent_removed": ("result_without_intent", made(found, intents_jsonl=b"".join(found["intents.jsonl"].splitlines(True)[1:]))),
        "intent_twice": ("intent_repeated", made(found, intents_jsonl=found["intents.jsonl"] + found["intents.jsonl"].splitlines(True)[0])),
        "result_twice": ("result_repeated", made(found, results_jsonl=found["results.jsonl"] + found["results.jsonl"].splitlines(True)[0])),
        "line_unfinished": ("line_unfinished", made(found, results_jsonl=found["results.jsonl"][:-1])),
        "line_empty": ("not_json", made(found, results_jsonl=found["results.jsonl"] + b"\n")),
        "line_spaced": ("not_canonical", made(found, intents_jsonl=found["intents.jsonl"].replace(b":", b": ", 1))),
        "line_no_object": ("not_json", made(found, intents_jsonl=found["intents.jsonl"] + b"[]\n")),
        "line_other_schema": ("document_malformed", made(found, intents_jsonl=found["intents.jsonl"].replace(b"runpack.intent", b"runpack.other_", 1))),
        "run_without_schema": ("document_malformed", made(found, run_json=b"{}")),
        "refs_no_object": ("not_json", made(found, refs_json=b"[]")),
    }


def make() -> Dict[str, bytes]:
    """Every file of fixtures/runpacks, by its path there."""
    table = cases()
    files = {
        "good.zip": good("run_good", "good", key=KEY),
        "raw.zip": good("run_raw", "good", raw=True),
        "other.zip": good("run_other", "other"),
        "policy.yaml": POLICY,
        "run.json": RUN,
        "tampered/expected.json": (json.dumps({name: code for name, (code, _) in table.items()}, indent=2) + "\n").encode(),
    }
    return {**files, **{f"tampered/{name}.zip": build() for name, (_, build) in table.items()}}


def main(arguments: List[str]) -> int:
    """Exit code 0, or 1 with the names of the files that differ."""
    files = make()
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    different = sorted(name for name, data in files.items() if name not in found or (FOLDER / name).read_bytes() != data)
    surplus = sorted(name for name in found - set(files) if name != "README.md" and not name.startswith(("published/", "ed25519/")))
    if "--check" not in arguments:
        for name in different:
            (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
            (FOLDER / name).write_bytes(files[name])
        for name in surplus:
            (FOLDER / name).unlink()
    print("\n".join([*different, *surplus]) or "runpack fixtures are as expected")
    return 1 if (different or surplus) and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

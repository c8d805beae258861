"""The ways in which fixtures/journal/tampering.jsonl damages a journal.  A file is named `chain/name`, lines count from 1."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from gait.formats import jcs
from gait.signing import envelope

from tests.store.journal import sample


def apply(root: Path, steps: list[list[object]]) -> None:
    """Do every step: its first item is the name of a function of this module."""
    for name, *arguments in steps:
        globals()[str(name)](root, *arguments)


def replace(root, file, old, new):
    data = (root / file).read_bytes()
    assert old.encode() in data
    (root / file).write_bytes(data.replace(old.encode(), new.encode(), 1))


def flip(root, file, line, offset, bits):
    lines = read(root, file)
    data = bytearray(lines[line - 1])
    data[offset] ^= bits
    lines[line - 1] = bytes(data)
    write_lines(root, file, lines)


def read(root, file):
    return (root / file).read_bytes().splitlines(keepends=True)


def write_lines(root, file, lines):
    (root / file).write_bytes(b"".join(lines))


def edit(root, file, line, old, new):
    lines = read(root, file)
    assert old.encode() in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old.encode(), new.encode(), 1)
    write_lines(root, file, lines)


def drop(root, file, *numbers):
    lines = read(root, file)
    write_lines(root, file, [line for number, line in enumerate(lines, 1) if number not in numbers])


def swap(root, file, first, second):
    lines = read(root, file)
    lines[first - 1], lines[second - 1] = lines[second - 1], lines[first - 1]
    write_lines(root, file, lines)


def insert(root, file, after, text):
    lines = read(root, file)
    write_lines(root, file, [*lines[:after], text.encode("utf-8", "surrogateescape"), *lines[after:]])


def splice(root, source, number, file, after):
    """Copy a line of one file into another one."""
    lines = read(root, file)
    write_lines(root, file, [*lines[:after], read(root, source)[number - 1], *lines[after:]])


def put(root, source, number, file, line):
    """Copy a line of one file in place of a line of another one."""
    lines = read(root, file)
    lines[line - 1] = read(root, source)[number - 1]
    write_lines(root, file, lines)


def cut(root, file, count):
    """Cut bytes off the end."""
    data = (root / file).read_bytes()
    (root / file).write_bytes(data[:-count])


def append(root, file, text, times=1):
    with open(root / file, "ab") as stream:
        stream.write(text.encode("utf-8", "surrogateescape") * times)


def overwrite(root, file, text):
    (root / file).write_text(text)


def remove(root, *names):
    for name in names:
        shutil.rmtree(root / name) if (root / name).is_dir() else os.unlink(root / name)


def rename(root, old, new):
    os.rename(root / old, root / new)


def copy(root, old, new):
    shutil.copyfile(root / old, root / new)


def folder(root, name):
    (root / name).unlink()
    (root / name).mkdir()


def pipe(root, name):
    (root / name).unlink()
    os.mkfifo(root / name)


def link(root, name):
    target = str(root / name) + ".elsewhere"
    os.rename(root / name, target)
    os.symlink(target, root / name)


def forge(root, file, line, changes, key="own", purpose=""):
    """Sign a changed record again; a change to null takes the field away."""
    lines = read(root, file)
    record = json.loads(lines[line - 1])
    record.pop("signature", None)
    record.update(changes)
    record = {name: value for name, value in record.items() if value is not None}
    ring = sample.RING if key == "own" else sample.OTHER
    purpose = purpose or (envelope.JOURNAL if "event" in record else envelope.TRACE)
    lines[line - 1] = jcs.dumps(envelope.sign(record, ring.active, purpose)) + b"\n"
    write_lines(root, file, lines)


def forge_head(root, file, changes, key="own"):
    record = json.loads((root / file).read_text())
    record.pop("signature")
    record.update(changes)
    ring = sample.RING if key == "own" else sample.OTHER
    (root / file).write_bytes(jcs.dumps(envelope.sign(record, ring.active, envelope.JOURNAL_HEAD)) + b"\n")


def respell(root, file, line, how):
    """Other JSON for the same value."""
    lines = read(root, file)
    value = json.loads(lines[line - 1])
    if how == "spaced":
        text = json.dumps(value, sort_keys=True)
    elif how == "signature first":
        text = json.dumps({"signature": value.pop("signature"), **value}, separators=(",", ":"))
    elif how == "signature last":
        signature = value.pop("signature")
        text = json.dumps({**value, "signature": signature}, separators=(",", ":"))
    elif how == "signature twice":
        text = lines[line - 1].decode()[:-2] + ',"signature":' + json.dumps(value["signature"], separators=(",", ":")) + "}"
    elif how == "signature in context":
        signature = value.pop("signature")
        value["context"] = {**value["context"], "signature": signature}
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    else:
        text = lines[line - 1].decode()[:-1].replace("tool.write", "tool\\u002ewrite")
    lines[line - 1] = text.encode() + b"\n"
    write_lines(root, file, lines)

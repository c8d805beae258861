"""Messages: what a frame says, and what keys and methods are held to be alike.  The table of refusals is in test_interceptor.py."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from gait.mcp import messages
from gait.mcp.messages import FrameRefused


def test_a_request():
    value = {"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {"name": "t", "_meta": {messages.VERSION_KEY: "2026-07-28"}}}
    frame = messages.read(value)
    assert (frame.method, frame.id, frame.is_request, frame.is_call, frame.version) == ("tools/call", "a", True, True, "2026-07-28")
    assert (frame.name, frame.arguments) == ("t", {})


@pytest.mark.parametrize("meta", [None, [], {}, {messages.VERSION_KEY: 7}, {"protocolVersion": "2026-07-28"}])
def test_no_version(meta: object):
    assert messages.read({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"_meta": meta}}).version == ""


def test_a_notification_and_a_response():
    notification = messages.read({"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (notification.is_request, notification.id, notification.params) == (False, None, {})
    response = messages.read({"jsonrpc": "2.0", "id": 3, "error": {}})
    assert (response.method, response.id, response.is_request) == ("", 3, False)


WORDS = ("method", "id", "params", "result", "error", "jsonrpc", "name", "arguments", "tools", "inputSchema")


def test_every_character_that_some_reader_takes_for_a_letter_of_a_key():
    """Simple case mappings, both ways, and compatibility forms: what Go, Java, .NET and Python count as the same letter."""
    letters = set("".join(WORDS).lower())
    count = 0
    for char in map(chr, range(sys.maxunicode + 1)):
        alike = {char.lower(), char.upper(), char.upper().lower(), char.casefold(), unicodedata.normalize("NFKC", char).lower()}
        for letter in (letters & {form.lower() for form in alike}) - {char}:
            assert messages.fold(char) == letter.lower(), (char, letter)
            count += 1
    assert count > 200


def test_lookalikes_are_refused_and_other_keys_are_not():
    for word in WORDS:
        known = messages.known_keys(word)
        for key in (word.upper(), word.capitalize(), f" {word}", f"{word}\0", f"{word}\u00a0", "".join(chr(ord(char) + 0xFEE0) for char in word)):
            with pytest.raises(FrameRefused):
                messages.refuse_lookalikes({word: 1, key: 1}, known)
        messages.refuse_lookalikes({word: 1, "_" + word: 2, word + "s": 3, "x": 4, "\u0435": 5}, known)


def test_written_values_are_one_line_and_exact():
    value = {"id": 2**70, "text": "é\n\r\u2028\"\\"}
    assert json.loads(messages.dumps(value)) == value and b"\n" not in messages.dumps(value)
    assert json.loads(messages.dumps({"lone": "\ud800"})) == {"lone": "\ud800"}

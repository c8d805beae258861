"""A model on loopback that always asks for one chosen tool call, and then repeats what the tool said.

It speaks as much of Anthropic's Messages and OpenAI's Responses as Claude Code and Codex need offline.  A prompt that ends with
`CALL name {json}` makes it call that tool; the first tool result ends the turn with the text `FINAL: result`.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Iterator

_ASKED = re.compile(r"CALL (\w+) (\{.*\})\s*$", re.MULTILINE)


@contextmanager
def serving() -> Iterator[str]:
    """The base URL of a running stand-in."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._json({"data": [], "models": []})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size) or b"{}")
        path = self.path.partition("?")[0]
        if path.endswith("/messages"):
            self._stream(_messages(body)) if body.get("stream") else self._json(_message("end_turn", [{"type": "text", "text": "ok"}]))
        elif path.endswith("/responses"):
            self._stream(_responses(body))
        else:
            self._json({"input_tokens": 1})

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _json(self, value: object) -> None:
        self._send("application/json", json.dumps(value).encode())

    def _stream(self, events: list[dict[str, Any]]) -> None:
        parts = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
        self._send("text/event-stream", "".join(parts).encode())

    def _send(self, kind: str, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    blocks = [block for message in body.get("messages", []) for block in _blocks(message)]
    texts = [block.get("text", "") for block in blocks if block.get("type") == "text"]
    results = [block for block in blocks if block.get("type") == "tool_result"]
    asked = _asked(texts)
    if asked and not results and body.get("tools"):
        block = {"type": "tool_use", "id": "toolu_stand_in", "name": asked[1], "input": {}}
        delta, reason = {"type": "input_json_delta", "partial_json": asked[2]}, "tool_use"
    else:
        block = {"type": "text", "text": ""}
        delta, reason = {"type": "text_delta", "text": _final([result.get("content") for result in results])}, "end_turn"
    return [
        {"type": "message_start", "message": _message(None, [])},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content") if message.get("role") == "user" else []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _message(reason: str | None, content: list[dict[str, Any]]) -> dict[str, Any]:
    usage = {"input_tokens": 1, "output_tokens": 1}
    known = {"id": "msg_stand_in", "type": "message", "role": "assistant", "model": "stand-in", "stop_sequence": None}
    return {**known, "stop_reason": reason, "content": content, "usage": usage}


def _responses(body: dict[str, Any]) -> list[dict[str, Any]]:
    items = body.get("input") or []
    said = [part.get("text", "") for item in items if item.get("role") == "user" for part in item.get("content", [])]
    results = [item for item in items if str(item.get("type")).endswith("_call_output")]
    asked = _asked(said)
    if asked and not results:
        item: dict[str, Any] = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": asked[1], "arguments": asked[2]}
    else:
        text = {"type": "output_text", "text": _final([result.get("output") for result in results]), "annotations": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "content": [text]}
    item["status"] = "completed"
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    whole = {"id": "resp_1", "object": "response", "model": "stand-in", "status": "completed", "output": [item], "usage": usage}
    return [
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]


def _asked(texts: list[str]) -> re.Match[str] | None:
    """The last call that the user asked for."""
    found = [match for text in texts for match in _ASKED.finditer(text)]
    return found[-1] if found else None


def _final(results: list[Any]) -> str:
    return "FINAL: " + json.dumps(results)[:2000]

"""A stdio server for tests of backpressure: a call named `flood` is answered after so many bytes of progress, any other at once.

Each call has a thread of its own; one write to the pipe is one message.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

LOCK = threading.Lock()
PAD = "x" * 10_000


def send(value: Any) -> None:
    with LOCK:
        sys.stdout.buffer.write(json.dumps(value).encode() + b"\n")
        sys.stdout.buffer.flush()


def answer(message: Any) -> None:
    params = message.get("params", {})
    result: Any = {"protocolVersion": "2025-11-25"} if message["method"] == "initialize" else {"content": []}
    size = params.get("arguments", {}).get("flood", 0)
    token = params.get("_meta", {}).get("progressToken")
    for number in range(size // len(PAD)):
        send({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": number, "message": PAD}})
    send({"jsonrpc": "2.0", "id": message["id"], "result": result})


for line in sys.stdin.buffer:
    found = json.loads(line)
    if "id" in found and "method" in found:
        threading.Thread(target=answer, args=(found,), daemon=True).start()

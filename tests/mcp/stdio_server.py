"""A small MCP server over stdio, standard library only, for tests of the gate in front of it.

`python3 -I stdio_server.py LOG [WORDS…]`: each frame that it gets is appended to LOG before it is answered.  Its tools say in
their name what they do; what else it does is chosen by words: `deaf` ignores signals and the end of its input, `mute` never
reads, `child` starts a process that outlives it if it can, `exit=N`, `flood=N` writes N bytes of notifications as fast as they are read,
`noise` writes lines that are no frames, `tools=FILE` lists what is in there, `listing=N` waits N seconds before it lists.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

TOOLS = [
    {"name": "read_file", "description": "Reads.", "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}}},
    {"name": "write_file", "description": "Writes.", "inputSchema": {"type": "object"}},
    {"name": "rehearse", "description": "Would act.", "inputSchema": {"type": "object"}},
    {"name": "rm_rf", "description": "Removes.", "inputSchema": {"type": "object"}},
]
PAGE = 3


class Server:
    def __init__(self, log: str, words: list[str]) -> None:
        self.words = dict(word.partition("=")[::2] for word in words)
        self.log = open(log, "ab", buffering=0)

    def run(self) -> int:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if "deaf" in self.words:
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
        if "child" in self.words:
            subprocess.Popen([sys.executable, "-I", "-S", "-c", DEAF], stdin=subprocess.DEVNULL)
        if "noise" in self.words:
            self.write(b"hello, I am not JSON\n\xff\xfe\n\n")
        if "mute" in self.words:
            time.sleep(1000)
        if "flood" in self.words:
            self.flood(int(self.words["flood"]))
        while True:
            line = sys.stdin.buffer.readline()
            if not line:
                break
            self.log.write(line)
            answer = self.answer(json.loads(line))
            if answer is not None:
                self.send(answer)
        while "deaf" in self.words:
            time.sleep(1)
        return int(self.words.get("exit", 0))

    def answer(self, message: Any) -> Any:
        if isinstance(message, list):
            return [answer for answer in map(self.answer, message) if answer is not None]
        method, params = message.get("method"), message.get("params", {})
        if "id" not in message or method is None:
            return None
        result = {"initialize": self.initialize, "tools/list": self.list, "tools/call": self.call}.get(method, lambda _: params)(params)
        return {"jsonrpc": "2.0", "id": message["id"], "result": result}

    def initialize(self, params: Any) -> Any:
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "test", "version": "1"}}

    def list(self, params: Any) -> Any:
        time.sleep(float(self.words.get("listing", 0)))
        tools = TOOLS
        if "tools" in self.words:
            with open(self.words["tools"], "rb") as file:
                tools = json.load(file)
        start = int(params.get("cursor", 0))
        rest = {"nextCursor": str(start + PAGE)} if start + PAGE < len(tools) else {}
        return {"tools": tools[start : start + PAGE], **rest}

    def call(self, params: Any) -> Any:
        arguments = params.get("arguments", {})
        if "stderr" in arguments:
            os.write(2, bytes.fromhex(arguments["stderr"]))
        if "exit" in arguments:
            os._exit(arguments["exit"])
        if "kill" in arguments:
            os.kill(os.getpid(), arguments["kill"])
        if "sleep" in arguments:
            time.sleep(arguments["sleep"])
        if "long_line" in arguments:
            self.write(b"x" * arguments["long_line"] + b"\n")
        text = "x" * arguments["size"] if "size" in arguments else json.dumps(params, sort_keys=True)
        if "env" in arguments:
            text = json.dumps(dict(os.environ))
        return {"content": [{"type": "text", "text": text}], "isError": bool(arguments.get("fail"))}

    def flood(self, size: int) -> None:
        line = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * 10_000}}).encode() + b"\n"
        for _ in range(size // len(line)):
            self.write(line)

    def send(self, value: Any) -> None:
        self.write(json.dumps(value).encode() + b"\n")

    def write(self, data: bytes) -> None:
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            os._exit(1)


DEAF = "import signal, time\nfor number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\ntime.sleep(1000)"


if __name__ == "__main__":
    sys.exit(Server(sys.argv[1], sys.argv[2:]).run())

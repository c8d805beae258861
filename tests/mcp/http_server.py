"""An MCP server over streamable HTTP for tests: what it does depends on the tool's name; its log is one JSON object a line.

`python3 http_server.py LOG` prints its port.  It ends with its parent's pipe.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOOLS = [{"name": name, "description": name, "inputSchema": {"type": "object"}} for name in ("echo", "blocked", "shown")]
RESULT = {"content": [{"type": "text", "text": "hello"}]}
FLOOD_BYTES = 200 * 1024 * 1024


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, log_path: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.log_path = log_path
        self.sessions: set[str] = set()
        self.later: dict[str, object] = {}  # session -> the answer that waits for its GET stream
        self.replies: dict[object, threading.Event] = {}
        self.is_closing = False

    def log(self, **entry: object) -> None:
        with self.lock, open(self.log_path, "a") as file:
            file.write(json.dumps(entry) + "\n")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = json.loads(body)
        self.server.log(method="POST", message=message, headers=dict(self.headers.items()), connection=self.client_address[1])
        session = self.headers.get("Mcp-Session-Id", "")
        if session and session not in self.server.sessions:
            return self.answer(404, {"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": -32001, "message": "Session not found"}})
        if "method" not in message:
            self.server.replies[message["id"]].set()
        if "method" not in message or "id" not in message:
            return self.answer(202, None)
        if message["method"] == "initialize":
            return self.initialize(message)
        if message["method"] == "tools/list":
            return self.list_tools(message)
        if message["method"] != "tools/call":
            error = {"code": -32601, "message": "no such method"}
            return self.answer(400, {"jsonrpc": "2.0", "id": message["id"], "error": error})
        getattr(self, "tool_" + message["params"]["name"])(message, session)

    def do_GET(self) -> None:
        session, last = self.headers.get("Mcp-Session-Id", ""), self.headers.get("Last-Event-ID", "")
        self.server.log(method="GET", session=session, last=last)
        self.begin_events()
        if last:
            self.event(self.server.later.pop(session), "after-" + last)
            return self.end()
        self.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "hi"}}, "g1")
        self.wait_for_close("GET")

    def do_DELETE(self) -> None:
        self.server.sessions.discard(self.headers.get("Mcp-Session-Id", ""))
        self.server.log(method="DELETE")
        self.answer(204, None)

    # --- answers ----------------------------------------------------------------------------------

    def initialize(self, message: dict) -> None:
        session = f"session-{len(self.server.sessions) + 1}-{os.getpid()}"
        self.server.sessions.add(session)
        info = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {}, "serverInfo": {"name": "t", "version": "1"}}
        self.result(message, info, {"Mcp-Session-Id": session})

    def list_tools(self, message: dict) -> None:
        """One tool a page; `shown` changes when a file is there."""
        at = int(message["params"].get("cursor", "0")) if "params" in message else 0
        tools = [{**TOOLS[2], "description": "changed"} if os.path.exists(self.server.log_path + ".changed") and at == 2 else TOOLS[at]]
        more = {"nextCursor": str(at + 1)} if at + 1 < len(TOOLS) else {}
        if self.headers.get("Mcp-Session-Id"):
            self.begin_events()
            self.event({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": tools, **more}})
            return self.end()
        self.result(message, {"tools": tools, **more})

    def result(self, message: dict, result: object, headers: dict[str, str] | None = None) -> None:
        self.answer(200, {"jsonrpc": "2.0", "id": message["id"], "result": result}, headers)

    def answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        # Odd spacing, so that bytes made anew would be seen.
        body = b"" if value is None else json.dumps(value, indent=1, separators=(" ,", "  : ")).encode()
        self.send_response(status)
        for name, text in {"X-Own": "1", "Set-Cookie": "a=b", "Cache-Control": "no-store", **(headers or {})}.items():
            self.send_header(name, text)
        if body:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin_events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache, no-transform")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def event(self, value: object, id_: str = "") -> None:
        self.send((f"id: {id_}\r\n" if id_ else "") + f"event: message\ndata:{json.dumps(value)}\n\n")

    def send(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def wait_for_close(self, what: str) -> None:
        select.select([self.connection], [], [], 60)
        try:
            is_closed = not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            is_closed = True
        self.close_connection = True
        self.server.log(closed=what, is_closed=is_closed)

    # --- tools ------------------------------------------------------------------------------------

    def tool_echo(self, message: dict, session: str) -> None:
        self.result(message, {**RESULT, "echo": message["params"].get("arguments")})

    tool_shown = tool_echo

    def tool_fails(self, message: dict, session: str) -> None:
        self.result(message, {**RESULT, "isError": True})

    def tool_closes(self, message: dict, session: str) -> None:
        """An answer after which the connection is closed without a word of it."""
        self.result(message, RESULT)
        self.wfile.flush()
        self.close_connection = True

    def tool_stream(self, message: dict, session: str) -> None:
        self.begin_events()
        self.send(": hello\n\nid: p0\nretry: 500\ndata:\n\n")
        for number in range(3):
            self.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": number}}, f"p{number + 1}")
            time.sleep(message["params"].get("arguments", {}).get("pause", 0))
        self.event({"jsonrpc": "2.0", "id": message["id"], "result": RESULT}, "last")
        self.end()

    def tool_asks(self, message: dict, session: str) -> None:
        """A request to the client while its POST stream is open."""
        done = self.server.replies["s-1"] = threading.Event()
        self.begin_events()
        self.event({"jsonrpc": "2.0", "id": "s-1", "method": "sampling/createMessage", "params": {}})
        self.event({"jsonrpc": "2.0", "id": message["id"], "result": {**RESULT, "answered": done.wait(20)}})
        self.end()

    def tool_polled(self, message: dict, session: str) -> None:
        """The stream ends early; the answer is on the GET stream that resumes it."""
        self.server.later[session] = {"jsonrpc": "2.0", "id": message["id"], "result": RESULT}
        self.begin_events()
        self.send("id: e-7\nretry: 10\ndata: \n\n")
        self.end()

    def tool_hangs(self, message: dict, session: str) -> None:
        self.wait_for_close("hangs")

    def tool_hangs_streaming(self, message: dict, session: str) -> None:
        self.begin_events()
        self.send("id: h-1\ndata:\n\n")
        self.wait_for_close("hangs_streaming")

    def tool_flood(self, message: dict, session: str) -> None:
        self.begin_events()
        sent = 0
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x" * 60000}}
        try:
            while sent < FLOOD_BYTES:
                self.event(note)
                sent += 60000
        except OSError:
            pass
        self.server.log(flooded=sent)

    def tool_dies(self, message: dict, session: str) -> None:
        self.begin_events()
        self.send('event: message\ndata: {"jsonrpc":"2.0","id":')
        self.wfile.flush()
        os._exit(1)


def main() -> None:
    server = Server(sys.argv[1])
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()

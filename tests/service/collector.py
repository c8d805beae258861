"""A tiny OTLP/HTTP collector on loopback that keeps what it gets."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Collector:
    """`records` are the log records; `status` is what it answers; closed on leaving."""

    def __init__(self, port: int = 0) -> None:
        self.records: list[dict] = []
        self.paths: set[str] = set()
        self.requests = 0
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # a connection for each request: one that is kept would hold this one thread

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests += 1
                outer.paths.add(self.path)
                if outer.status < 300:
                    for resource in body["resourceLogs"]:
                        for scope in resource["scopeLogs"]:
                            outer.records += scope["logRecords"]
                self.send_response(outer.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Collector:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def texts(self, name: str) -> list[str]:
        """One attribute of every record."""
        pairs = [pair for record in self.records for pair in record["attributes"]]
        return [pair["value"]["stringValue"] for pair in pairs if pair["key"] == name]

#!/usr/bin/env python3
"""The MCP server that the conformance suite is run against, directly and through Gait.  It is for tests; it binds loopback only.

    fixture_server.py --http 127.0.0.1:0     prints its URL as the first line of standard output
    fixture_server.py --stdio                one JSON object a line

--log FILE takes one JSON line for each message that reached it; --page-size N lists tools in pages.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mcp_fixture.http import Server
from mcp_fixture.stdio import Connection
from mcp_fixture.world import World


def main() -> int:
    """Serve until the input ends (stdio) or a signal comes (HTTP)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--http", metavar="127.0.0.1:PORT")
    way.add_argument("--stdio", action="store_true")
    parser.add_argument("--log", type=Path, metavar="FILE")
    parser.add_argument("--page-size", type=int, default=0, metavar="N")
    options = parser.parse_args()
    world = World(options.log, options.page_size)
    if options.stdio:
        Connection(world, sys.stdin.buffer, sys.stdout.buffer).run()
        sys.stdout.flush()
        os._exit(0)  # threads of calls that nobody waits for
    host, _, port = options.http.rpartition(":")
    if host not in ("127.0.0.1", "localhost"):
        parser.error("--http binds loopback only: 127.0.0.1:PORT")
    server = Server(("127.0.0.1", int(port)), world)
    print(f"http://127.0.0.1:{server.server_address[1]}/mcp", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())

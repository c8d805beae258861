"""A client made with the Python MCP SDK, told what to do by scripts/integration_mcp.py.  It runs in that script's own environment.

    mcp_client.py '{"url": URL} | {"command": [WORDS], "env": {…}, "cwd": FOLDER[, "mode": "legacy"]}'

Each line of standard input is one step, each line of standard output what came of it.  mcp_client.mjs is the same for JavaScript.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import mcp
from mcp import Client, StdioServerParameters, types

DRAFT = types.CreateMessageResult(role="assistant", content=types.TextContent(type="text", text="from the model"), model="stand-in")
FORM = types.ElicitResult(action="accept", content={"name": "Ada", "integer": 7})


class Driver:
    """One connection; `asked` is what the server has asked of its client since the last step."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def sample(self, context: object, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        self.asked.append(f"sampling {params.max_tokens}")
        return DRAFT

    async def elicit(self, context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
        self.asked.append(f"elicitation {params.message}")
        return FORM

    async def run(self, server: Any, mode: str) -> None:
        client = Client(
            server, mode=mode, sampling_callback=self.sample, elicitation_callback=self.elicit, cache=None, read_timeout_seconds=60
        )
        async with client:
            tell({"version": client.protocol_version, "server": client.server_info.name if client.server_info else ""})
            while line := await asyncio.to_thread(sys.stdin.readline):
                step = json.loads(line)
                try:
                    tell(await getattr(self, step.pop("do"))(client, **step))
                except mcp.MCPError as error:
                    tell({"error": {"code": error.code, "message": str(error)}})

    async def tools(self, client: Client) -> dict[str, Any]:
        return {"tools": value_of(await client.list_tools())["tools"]}

    async def call(self, client: Client, name: str, arguments: dict[str, Any], progress: bool = False) -> dict[str, Any]:
        steps: list[list[float]] = []

        async def on_progress(done: float, total: float | None, message: str | None) -> None:
            steps.append([done, total or 0])

        self.asked = []
        result = await client.call_tool(name, arguments, progress_callback=on_progress if progress else None)
        return {"result": value_of(result), "asked": self.asked, "progress": steps}

    async def read(self, client: Client, uri: str) -> dict[str, Any]:
        return value_of(await client.read_resource(uri))

    async def prompt(self, client: Client, name: str, arguments: dict[str, str]) -> dict[str, Any]:
        return value_of(await client.get_prompt(name, arguments))

    async def repeat(self, client: Client, name: str, arguments: dict[str, Any], times: int) -> dict[str, Any]:
        """Many calls, eight at a time; how many results were another than the first."""
        first = value_of(await client.call_tool(name, arguments))
        left = times - 1
        different = 0

        async def worker() -> None:
            nonlocal left, different
            while left > 0:
                left -= 1
                different += value_of(await client.call_tool(name, arguments)) != first

        await asyncio.gather(*(worker() for _ in range(8)))
        return {"result": first, "different": different}


def value_of(document: Any) -> dict[str, Any]:
    value: dict[str, Any] = document.model_dump(mode="json", by_alias=True, exclude_none=True)
    return value


def tell(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def main() -> None:
    given = json.loads(sys.argv[1])
    server = given["url"] if "url" in given else StdioServerParameters(command=given["command"][0], args=given["command"][1:], env=given["env"], cwd=given["cwd"])
    asyncio.run(Driver().run(server, given.get("mode", "auto")))


if __name__ == "__main__":
    main()

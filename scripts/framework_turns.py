"""Turns of one real framework, with a scripted model and Gait in front of the tool: what integration_frameworks.py runs in each venv.

    framework_turns.py FRAMEWORK FOLDER

Every scenario gets a folder of its own in FOLDER.  The tool appends a line to a file there, and the file is the proof.  One line
of JSON for each scenario: name, problem (empty when it went as it must), seconds.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gait.hosts.guard import Gate  # noqa: E402

TOOL = "write_note"
POLICY = "default_verdict: block\nrules:\n  - {name: notes, effect: %s, match: {tool_names: [write_note]}}\n"
BLOCKS = "default_verdict: block\n"
GAIT = [sys.executable, "-I", str(ROOT / "gait.py")]
SECONDS = 30


class Place:
    """One scenario's folder, with the tool that leaves its mark there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        os.environ["GAIT_HOME"] = str(folder / "gait-home")

    @property
    def marks(self) -> list[str]:
        """What the tool was called with, in order."""
        path = self.folder / "ran"
        return path.read_text("utf-8").splitlines() if path.exists() else []

    def write_note(self, text: str = "nothing") -> str:
        """Write a note."""
        with open(self.folder / "ran", "a", encoding="utf-8") as file:
            file.write(text + "\n")
        return "noted"

    async def write_note_later(self, text: str = "nothing") -> str:
        """Write a note."""
        await asyncio.sleep(0)
        return self.write_note(text)

    def gate(self, policy: str, **options: Any) -> Gate:
        path = self.folder / "policy.yaml"
        path.write_text(policy, "utf-8")
        return Gate(str(path), identity="lab", **options)

    def records(self) -> list[dict[str, Any]]:
        path = self.folder / "gait-home/journal/oneshot/00000001.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


class Call(NamedTuple):
    """One call that the model makes: its arguments as the model writes them, or as the framework has them after reading."""

    text: str
    value: Any = None

    @property
    def arguments(self) -> Any:
        return json.loads(self.text) if self.value is None else self.value


# A turn: the framework's agent, whose model asks for these calls, with the gate (None: without Gait) -> what the model was told.
Turn = Callable[[Place, "Gate | None", list[Call], bool], str]
GOOD = Call('{"text": "one"}')


# --- the frameworks ----------------------------------------------------------------------------------


def openai_agents(place: Place, gate: Gate | None, calls: list[Call], is_async: bool) -> str:
    """A Runner's turn, by run_sync with a plain function or by run with an async one."""
    from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, function_tool
    from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

    from gait.hosts.openai_agents import gate_tools

    text = ResponseOutputText(type="output_text", text="done", annotations=[])
    done = ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=[text])
    asked = [
        ResponseFunctionToolCall(type="function_call", call_id=f"call_{number}", name=TOOL, arguments=call.text)
        for number, call in enumerate(calls)
    ]
    script: list[list[Any]] = [asked, [done]]

    class Scripted(Model):
        async def get_response(self, *_: Any, **__: Any) -> ModelResponse:
            return ModelResponse(output=script.pop(0), usage=Usage(), response_id=None)

        def stream_response(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    tools: list[Any] = [function_tool(place.write_note_later if is_async else place.write_note, name_override=TOOL)]
    agent = Agent(name="lab", model=Scripted(), tools=gate_tools(tools, gate) if gate else tools)
    run = RunConfig(tracing_disabled=True)
    result = asyncio.run(Runner.run(agent, "go", run_config=run)) if is_async else Runner.run_sync(agent, "go", run_config=run)
    return "\n".join(str(item.output) for item in result.new_items if item.type == "tool_call_output_item")


def langchain_model(calls: list[Call]) -> Any:
    """A chat model that asks for the calls and then ends."""
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    class Scripted(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **options: Any) -> Any:
            return self

    asked = [{"name": TOOL, "args": call.arguments, "id": f"call_{number}", "type": "tool_call"} for number, call in enumerate(calls)]
    message = AIMessage("", tool_calls=[{**call, "args": {}} for call in asked])
    message.tool_calls = asked  # past the message's own checks, as another middleware could put them
    return Scripted(messages=iter([message, AIMessage("done")])), message


def langchain_tool(place: Place, is_async: bool) -> Any:
    from langchain_core.tools import StructuredTool

    return StructuredTool.from_function(None if is_async else place.write_note, place.write_note_later if is_async else None, name=TOOL, description="Write.")


def langchain(place: Place, gate: Gate | None, calls: list[Call], is_async: bool) -> str:
    """A turn of create_agent, by invoke or ainvoke."""
    from langchain.agents import create_agent

    from gait.hosts.langchain import GaitMiddleware

    agent = create_agent(langchain_model(calls)[0], [langchain_tool(place, is_async)], middleware=[GaitMiddleware(gate)] if gate else [])
    given = {"messages": [("user", "go")]}
    result = asyncio.run(agent.ainvoke(given)) if is_async else agent.invoke(given)
    return "\n".join(str(message.content) for message in result["messages"] if message.type == "tool")


def langgraph(place: Place, gate: Gate | None, calls: list[Call], is_async: bool) -> str:
    """A graph whose one node is a ToolNode."""
    from langgraph.graph import MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode

    from gait.hosts.langchain import GaitMiddleware

    veto = GaitMiddleware(gate) if gate else None
    wrap = {"wrap_tool_call": veto.wrap_tool_call, "awrap_tool_call": veto.awrap_tool_call} if veto else {}
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([langchain_tool(place, is_async)], **wrap))
    graph.add_edge("__start__", "tools")
    compiled, given = graph.compile(), {"messages": [langchain_model(calls)[1]]}
    result = asyncio.run(compiled.ainvoke(given)) if is_async else compiled.invoke(given)
    return "\n".join(str(message.content) for message in result["messages"] if message.type == "tool")


def autogen(place: Place, gate: Gate | None, calls: list[Call], is_async: bool) -> str:
    """A turn of AssistantAgent; AutoGen is async only, so `sync` means a plain function as the tool."""
    from autogen_agentchat.agents import AssistantAgent
    from autogen_core import FunctionCall
    from autogen_core.models import ChatCompletionClient, CreateResult, RequestUsage
    from autogen_core.tools import FunctionTool, StaticWorkbench

    from gait.hosts.autogen import GatedWorkbench

    asked = [FunctionCall(id=f"call_{number}", name=TOOL, arguments=call.text) for number, call in enumerate(calls)]
    usage = RequestUsage(prompt_tokens=0, completion_tokens=0)
    script = [
        CreateResult(finish_reason="function_calls", content=asked, usage=usage, cached=False),
        CreateResult(finish_reason="stop", content="done", usage=usage, cached=False),
    ]
    info = {"vision": False, "function_calling": True, "json_output": False, "family": "unknown", "structured_output": False}

    class Scripted(ChatCompletionClient):
        model_info = capabilities = info
        actual_usage = total_usage = lambda self: usage  # noqa: E731
        count_tokens = remaining_tokens = lambda self, *_, **__: 1000  # noqa: E731

        async def create(self, *_: Any, **__: Any) -> CreateResult:
            return script.pop(0)

        def create_stream(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

        async def close(self) -> None:
            pass

    tools: list[Any] = [FunctionTool(place.write_note_later if is_async else place.write_note, "Write.", name=TOOL)]
    bench = GatedWorkbench(tools, gate) if gate else StaticWorkbench(tools)
    result = asyncio.run(AssistantAgent("lab", Scripted(), workbench=bench).run(task="go"))
    return "\n".join(str(item.content) for message in result.messages if message.type == "ToolCallExecutionEvent" for item in message.content)


TURNS: dict[str, Turn] = {"openai_agents": openai_agents, "langchain": langchain, "langgraph": langgraph, "autogen": autogen}
PACKAGES = {"openai_agents": "openai-agents", "langchain": "langchain", "langgraph": "langgraph", "autogen": "autogen-agentchat"}


# --- the scenarios: what went wrong, empty when nothing did ------------------------------------------


def control(place: Place, turn: Turn, is_async: bool) -> str:
    """Without Gait the tool runs: what the others prove is Gait's doing."""
    turn(place, None, [GOOD], is_async)
    return "" if place.marks == ["one"] else f"without Gait the tool left {place.marks}"


def allowed(place: Place, turn: Turn, is_async: bool) -> str:
    """Once, with what was asked, and recorded with its outcome in a journal that verifies."""
    told = turn(place, place.gate(POLICY % "allow"), [GOOD], is_async)
    said = [record.get("verdict") or record["details"].get("status") for record in place.records()]
    if (place.marks, told, said) != (["one"], "noted", ["allow", "ok"]):
        return f"the tool left {place.marks}, the model was told {told!r}, the journal says {said}"
    return verified(place)


def several(place: Place, turn: Turn, is_async: bool) -> str:
    """Four calls of one turn, which frameworks run at once: each once."""
    texts = ["one", "two", "three", "four"]
    turn(place, place.gate(POLICY % "allow"), [Call(json.dumps({"text": text})) for text in texts], is_async)
    verdicts = [record["verdict"] for record in place.records() if "verdict" in record]
    return verified(place) if sorted(place.marks) == sorted(texts) and verdicts == ["allow"] * 4 else f"{place.marks}, {verdicts}"


def refused(effect: str, reason: str) -> Callable[[Place, Turn, bool], str]:
    """Not run, the reason told, recorded."""

    def check(place: Place, turn: Turn, is_async: bool) -> str:
        told = turn(place, place.gate(POLICY % effect), [GOOD], is_async)
        verdicts = [record.get("verdict") for record in place.records()]
        if place.marks or reason not in told or verdicts != [effect]:
            return f"the tool left {place.marks}, the model was told {told!r}, the journal says {verdicts}"
        return verified(place)

    return check


def malformed(call: Call, *runs_without: str) -> Callable[[Place, Turn, bool], str]:
    """Arguments that are not one plain JSON object, and a policy that allows all: the tool must not run.  The control: these frameworks run it."""

    def check(place: Place, turn: Turn, is_async: bool) -> str:
        without = Place(place.folder / "without")
        attempt(turn, without, None, call, is_async)
        if bool(without.marks) is not (turn.__name__ in runs_without):
            return f"the control: without Gait the tool left {without.marks}"
        os.environ["GAIT_HOME"] = str(place.folder / "gait-home")
        attempt(turn, place, place.gate("default_verdict: allow\n"), call, is_async)
        verdicts = [record["verdict"] for record in place.records() if "verdict" in record]
        return f"the tool left {place.marks}, the journal says {verdicts}" if place.marks or verdicts else ""

    return check


def attempt(turn: Turn, place: Place, gate: Gate | None, call: Call, is_async: bool) -> None:
    """A turn that the host may give up as a whole."""
    try:
        turn(place, gate, [call], is_async)
    except Exception as error:
        print(f"{turn.__name__}: {error!r}"[:200], file=sys.stderr)


def twice(place: Place, turn: Turn, is_async: bool) -> str:
    """One key twice: refused where Gait sees the text; where the framework has read it before, what was judged is what ran."""
    call = Call('{"text": "one", "text": "two"}')
    turn(place, place.gate("default_verdict: allow\n", risk_class="low"), [call], is_async)
    without = Place(place.folder / "without")
    turn(without, None, [call], is_async)
    if without.marks != ["two"]:
        return f"the control: without Gait the tool left {without.marks}"
    return "" if place.marks == ([] if turn is openai_agents else ["two"]) else f"the tool left {place.marks}"


def corrupt_policy(place: Place, turn: Turn, is_async: bool) -> str:
    """A policy that breaks while the agent runs: from then on nothing does."""
    gate = place.gate(POLICY % "allow")
    turn(place, gate, [GOOD], is_async)
    (place.folder / "policy.yaml").write_text("\x00 not: [a policy", "utf-8")
    told = turn(place, gate, [Call('{"text": "two"}')], is_async)
    return "" if place.marks == ["one"] and "could not be judged" in told else f"the tool left {place.marks}; the model was told {told!r}"


def full_disk(place: Place, turn: Turn, is_async: bool) -> str:
    """A journal on a full disk: no record, no call."""
    segment = place.folder / "gait-home/journal/oneshot/00000001.jsonl"
    segment.parent.mkdir(mode=0o700, parents=True)
    segment.symlink_to("/dev/full")
    told = turn(place, place.gate(POLICY % "allow"), [GOOD], is_async)
    return "" if not place.marks and "could not be judged" in told else f"the tool left {place.marks}; the model was told {told!r}"


def killed_service(place: Place, turn: Turn, is_async: bool) -> str:
    """A service allows; after kill -9 the gate's own policy decides, which blocks, and a missing one refuses."""
    (place.folder / "serve.yaml").write_text(POLICY % "allow", "utf-8")
    socket = place.folder / "s"
    command = [*GAIT, "mcp", "serve", "--policy", place.folder / "serve.yaml", "--listen", f"unix:{socket}", "--trust-context", "identity,workspace"]
    service = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + SECONDS
        while not socket.exists() and time.monotonic() < until:
            time.sleep(0.02)
        gate = place.gate(BLOCKS, server=f"unix:{socket}")
        turn(place, gate, [GOOD], is_async)
    finally:
        service.kill()
        service.wait()
    if place.marks != ["one"]:
        return f"the control: with the service the tool left {place.marks}"
    told = turn(place, gate, [GOOD], is_async)
    (place.folder / "policy.yaml").unlink()
    told += turn(place, gate, [GOOD], is_async)
    if place.marks != ["one"] or "Gait blocked this call" not in told or "could not be judged" not in told:
        return f"the tool left {place.marks}; the model was told {told!r}"
    return ""


def verified(place: Place) -> str:
    """What `gait journal verify` has against the journal."""
    done = subprocess.run([*GAIT, "journal", "verify", str(place.folder / "gait-home/journal")], capture_output=True, text=True, timeout=SECONDS)
    return "" if done.returncode == 0 else f"the journal: {done.stdout}{done.stderr}"


SCENARIOS: dict[str, Callable[[Place, Turn, bool], str]] = {
    "control_without_gait": control,
    "allowed": allowed,
    "several_at_once": several,
    "block": refused("block", "Gait blocked this call"),
    "require_approval": refused("require_approval", "a person must approve this call first"),
    "dry_run": refused("dry_run", "dry run"),
    "arguments_empty": malformed(Call("", ""), "openai_agents"),
    "arguments_broken": malformed(Call('{"text": "one"', '{"text": "one"')),
    "arguments_list": malformed(Call("[]"), "autogen"),
    "arguments_null": malformed(Call("null", ()), "autogen"),
    "arguments_nan": malformed(Call('{"text": "one", "more": NaN}'), *TURNS),
    "arguments_twice": twice,
    "corrupt_policy": corrupt_policy,
    "full_disk": full_disk,
    "killed_service": killed_service,
}


def results(framework: str, folder: Path) -> Iterator[dict[str, object]]:
    """Every scenario, sync and async."""
    turn = TURNS[framework]
    for name, check in SCENARIOS.items():
        for is_async in (False, True):
            full, began = f"{name}_{'async' if is_async else 'sync'}", time.monotonic()
            try:
                problem = check(Place(folder / full), turn, is_async)
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            yield {"name": full, "problem": problem, "seconds": time.monotonic() - began}


def main(framework: str, folder: str) -> int:
    """The version, then the results."""
    print(json.dumps({"version": importlib.metadata.version(PACKAGES[framework])}), flush=True)
    for result in results(framework, Path(folder).resolve()):
        print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""The helpers for frameworks, against stand-ins with the frameworks' shapes; scripts/integration_frameworks.py has the real ones.

AutoGPT is in no registry, so forge's two permission managers are written down here: the one that gives a bool, the later one that
gives an object, each with the lines of Agent.execute that ask it.
"""

from __future__ import annotations

import abc
import asyncio
import copy
import enum
import importlib
import sys
from types import ModuleType, SimpleNamespace

import pytest

from gait.errors import InvalidInput
from gait.hosts.autogpt import GaitPermissionManager
from gait.hosts.guard import Gate
from gait.hosts.openai_agents import gate_tools

ALLOW, BLOCK = ("default_verdict: allow\n", "default_verdict: block\n")
NO_OBJECTS = ["", "{", "[]", "null", '"a"', "1", '{"path": NaN}', '{"path": "/tmp/a", "path": "/etc/shadow"}', '{"path": "a"} {}']


@pytest.fixture
def gate(tmp_path):
    def make(policy: str) -> Gate:
        (tmp_path / "policy.yaml").write_text(policy)
        return Gate(str(tmp_path / "policy.yaml"))

    return make


def module(monkeypatch, name: str, **members: object) -> None:
    """A module of a framework, with its packages."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        path = ".".join(parts[:length])
        if path not in sys.modules or length == len(parts):
            monkeypatch.setitem(sys.modules, path, ModuleType(path))
    sys.modules[name].__dict__.update(members)


def fresh(monkeypatch, name: str):
    """A helper module that has not made its class yet."""
    monkeypatch.delitem(sys.modules, f"gait.hosts.{name}", raising=False)
    return importlib.import_module(f"gait.hosts.{name}")


# --- OpenAI Agents SDK -------------------------------------------------------------------------------


class FunctionTool:
    def __init__(self, name: str) -> None:
        self.name, self.calls = name, []

    async def on_invoke_tool(self, context: object, text: str) -> str:
        self.calls.append((context, text))
        return f"did {text}"


class CustomTool(FunctionTool):
    pass




@pytest.fixture
def agents(monkeypatch):
    class Custom(CustomTool):
        pass

    class Function(FunctionTool):
        pass

    module(monkeypatch, "agents", FunctionTool=Function, CustomTool=Custom)
    return SimpleNamespace(FunctionTool=Function, CustomTool=Custom)


CONTEXT = SimpleNamespace(tool_call_id="call_1")


def test_an_openai_tool_runs_on_allow_only_and_the_model_gets_the_reason(gate, agents):
    tool = agents.FunctionTool("write")
    (gated,) = gate_tools([tool], gate(ALLOW))
    text = '{"path": "/tmp/a"}'
    assert asyncio.run(gated.on_invoke_tool(CONTEXT, text)) == f"did {text}" and tool.calls == [(CONTEXT, text)]
    (gated,) = gate_tools([tool], gate(BLOCK))
    assert "Gait blocked this call" in asyncio.run(copy.copy(gated).on_invoke_tool(CONTEXT, text))
    assert len(tool.calls) == 1 and "on_invoke_tool" not in vars(tool)


@pytest.mark.parametrize("text", NO_OBJECTS)
def test_malformed_arguments_of_an_openai_call_are_refused(gate, agents, text):
    tool = agents.FunctionTool("write")
    (gated,) = gate_tools([tool], gate(ALLOW))
    assert "could not be judged" in asyncio.run(gated.on_invoke_tool(CONTEXT, text)) and tool.calls == []


def test_an_openai_custom_tool_is_judged_by_its_text(gate, agents):
    tool = agents.CustomTool("patch")
    (gated,) = gate_tools([tool], gate(ALLOW))
    assert asyncio.run(gated.on_invoke_tool(CONTEXT, "any text")) == "did any text"
    (gated,) = gate_tools([tool], gate(BLOCK))
    assert "Gait blocked" in asyncio.run(gated.on_invoke_tool(CONTEXT, "any text")) and len(tool.calls) == 1


def test_a_tool_that_gait_would_not_be_asked_about_is_refused_at_once(gate, agents):
    with pytest.raises(InvalidInput, match="expected function or custom tools, got SimpleNamespace"):
        gate_tools([SimpleNamespace(name="web_search")], gate(ALLOW))


# --- LangChain ---------------------------------------------------------------------------------------


class ToolMessage(SimpleNamespace):
    pass


class Request(SimpleNamespace):
    def override(self, **changed: object) -> "Request":
        return Request(**{**vars(self), **changed})


@pytest.fixture
def middleware(monkeypatch):
    class AgentMiddleware:
        def wrap_tool_call(self, request, handler):
            raise NotImplementedError

        awrap_tool_call = wrap_tool_call

    module(monkeypatch, "langchain.agents.middleware", AgentMiddleware=AgentMiddleware)
    module(monkeypatch, "langchain_core.messages", ToolMessage=ToolMessage)
    found = fresh(monkeypatch, "langchain")
    assert issubclass(found.GaitMiddleware, AgentMiddleware) and found.GaitMiddleware is found.GaitMiddleware
    return found.GaitMiddleware


def request(args: object, tool: str = "write", **more: object) -> Request:
    return Request(tool_call={"name": "write", "args": args, "id": "call_1", "type": "tool_call", **more}, tool=SimpleNamespace(name=tool))


def through(made, asked: Request, asynchronous: bool) -> "tuple[list[Request], object]":
    """The requests that reached the tool, and the answer."""
    reached: list[Request] = []

    async def later(request: Request) -> str:
        return handler(request)

    def handler(request: Request) -> str:
        reached.append(request)
        return "did it"

    answer = asyncio.run(made.awrap_tool_call(asked, later)) if asynchronous else made.wrap_tool_call(asked, handler)
    return reached, answer


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_langchain_tool_runs_on_allow_only_with_a_copy(gate, middleware, asynchronous):
    asked = request({"path": ["/tmp/a"]})
    reached, answer = through(middleware(gate(ALLOW)), asked, asynchronous)
    assert answer == "did it" and len(reached) == 1 and reached[0].tool_call == asked.tool_call
    assert reached[0].tool_call["args"]["path"] is not asked.tool_call["args"]["path"]
    reached, answer = through(middleware(gate(BLOCK)), asked, asynchronous)
    assert reached == [] and "Gait blocked this call" in answer.content
    assert (answer.tool_call_id, answer.name, answer.status) == ("call_1", "write", "error")


@pytest.mark.parametrize("args", ["", None, [], "{}", {"path": float("nan")}, {"path": object()}, {1: "a"}])
def test_malformed_arguments_of_a_langchain_call_are_refused(gate, middleware, args):
    reached, answer = through(middleware(gate(ALLOW)), request(args), False)
    assert reached == [] and "could not be judged" in answer.content and answer.status == "error"


def test_a_tool_of_another_name_than_the_call_s_is_refused(gate, middleware):
    reached, answer = through(middleware(gate(ALLOW)), request({}, tool="delete"), False)
    assert reached == [] and answer.status == "error"
    reached, _ = through(middleware(gate(ALLOW)), Request(tool_call=request({}).tool_call, tool=None), False)
    assert len(reached) == 1  # what the host says about an unknown tool is the host's


# --- AutoGen -----------------------------------------------------------------------------------------


class TextResultContent(SimpleNamespace):
    pass


class ToolResult(SimpleNamespace):
    pass


@pytest.fixture
def workbench(monkeypatch):
    class Workbench(abc.ABC):
        @abc.abstractmethod
        async def call_tool(self, name, arguments=None, cancellation_token=None, call_id=None):
            """Call."""

    class StaticWorkbench(Workbench):
        def __init__(self, tools):
            self.tools, self.calls, self.done = tools, [], []

        async def call_tool(self, name, arguments=None, cancellation_token=None, call_id=None):
            self.calls.append((name, arguments, cancellation_token, call_id))
            return ToolResult(name=name, result=[], is_error=False)

        def __getattr__(self, name):
            async def noted(*given):
                self.done.append((name, *given))
                return name

            return noted

    tools = dict(Workbench=Workbench, StaticWorkbench=StaticWorkbench, ToolResult=ToolResult, TextResultContent=TextResultContent)
    module(monkeypatch, "autogen_core.tools", **tools)
    found = fresh(monkeypatch, "autogen")
    assert issubclass(found.GatedWorkbench, Workbench) and not hasattr(found.GatedWorkbench, "call_tool_stream")
    return found.GatedWorkbench


def test_an_autogen_tool_runs_on_allow_only(gate, workbench):
    made = workbench(("tool",), gate(ALLOW))
    inside = made._inside
    assert inside.tools == ["tool"]
    assert asyncio.run(made.call_tool("write", {"path": "/tmp/a"}, "token", "call_1")).is_error is False
    assert inside.calls == [("write", {"path": "/tmp/a"}, "token", "call_1")]
    made = workbench(inside, gate(BLOCK))
    result = asyncio.run(made.call_tool("write", {"path": "/tmp/a"}))
    assert result.is_error and "Gait blocked this call" in result.result[0].content and len(inside.calls) == 1


@pytest.mark.parametrize("arguments", [None, "", [], "{}", {"path": float("nan")}, {"path": object()}])
def test_malformed_arguments_of_an_autogen_call_are_refused(gate, workbench, arguments):
    made = workbench([], gate(ALLOW))
    result = asyncio.run(made.call_tool("write", arguments))
    assert result.is_error and "could not be judged" in result.result[0].content and made._inside.calls == []


def test_everything_else_of_a_workbench_goes_inside(gate, workbench):
    made = workbench([], gate(ALLOW))

    async def all_of_it():
        state = await made.save_state()
        return [await made.list_tools(), await made.start(), await made.stop(), await made.reset(), state, await made.load_state({"a": 1})]

    assert asyncio.run(all_of_it()) == ["list_tools", None, None, None, "save_state", None]
    assert made._inside.done == [("save_state",), ("list_tools",), ("start",), ("stop",), ("reset",), ("load_state", {"a": 1})]


# --- AutoGPT -----------------------------------------------------------------------------------------


class ApprovalScope(str, enum.Enum):
    ONCE, AGENT, WORKSPACE, DENY = "once", "agent", "workspace", "deny"


def executed(manager: object, arguments: object, takes: str) -> "tuple[list[object], str]":
    """What forge's Agent.execute does: earlier versions take `check_command` for a bool, later ones read `allowed` and `feedback`."""
    calls: list[object] = []
    answer = manager.check_command("write", arguments)
    if not (answer if takes == "bool" else answer.allowed):
        return calls, "Permission denied" if takes == "bool" else str(answer.feedback)
    calls.append(dict(arguments))
    return calls, ""


@pytest.mark.parametrize("takes", ["bool", "object"])
@pytest.mark.parametrize("has_forge", [False, True], ids=["alone", "with_forge"])
def test_an_autogpt_command_runs_on_allow_only(gate, monkeypatch, takes, has_forge):
    if has_forge:
        module(monkeypatch, "forge.permissions", ApprovalScope=ApprovalScope)
    nested = ["/tmp/a"]
    assert executed(GaitPermissionManager(gate(ALLOW)), {"path": nested}, takes) == ([{"path": ["/tmp/a"]}], "")
    calls, said = executed(GaitPermissionManager(gate(BLOCK)), {"path": nested}, takes)
    assert calls == [] and ("Gait blocked this call" in said) is (takes == "object")
    answer = GaitPermissionManager(gate(BLOCK)).check_command("write", {})
    assert answer.scope == ApprovalScope.DENY and not answer and not answer.allowed
    assert isinstance(answer.scope, ApprovalScope) is has_forge


def test_the_control_an_object_is_true_to_a_host_that_takes_a_bool():
    """Why Answer has a __bool__: forge's own later answer would run everything in an earlier host."""
    manager = SimpleNamespace(check_command=lambda *_: SimpleNamespace(allowed=False, feedback="no"))
    assert executed(manager, {}, "bool")[0] == [{}] and executed(manager, {}, "object")[0] == []


@pytest.mark.parametrize("arguments", ["", None, [], {"path": float("nan")}, {"path": object()}])
def test_malformed_arguments_of_an_autogpt_command_are_refused(gate, arguments):
    answer = GaitPermissionManager(gate(ALLOW)).check_command("write", arguments)
    assert not answer and "could not be judged" in answer.feedback


def test_an_autogpt_command_runs_with_what_was_judged(gate):
    mine = ["/tmp/a"]
    arguments = {"path": mine}
    assert GaitPermissionManager(gate(ALLOW)).check_command("write", arguments)
    mine[0] = "/etc/shadow"
    assert arguments == {"path": ["/tmp/a"]}


def test_forge_s_own_manager_is_asked_after_an_allow_and_only_then(gate):
    asked: list[object] = []
    inside = SimpleNamespace(check_command=lambda name, arguments: asked.append(name), prompt_fn="prompt")
    assert GaitPermissionManager(gate(ALLOW), inside).check_command("write", {}) is None and asked == ["write"]
    assert not GaitPermissionManager(gate(BLOCK), inside).check_command("write", {}) and asked == ["write"]
    assert GaitPermissionManager(gate(ALLOW), inside).prompt_fn == "prompt"
    with pytest.raises(AttributeError):
        GaitPermissionManager(gate(ALLOW)).prompt_fn


# --- without any framework ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["langchain", "autogen", "openai_agents", "autogpt"])
def test_a_helper_is_importable_without_its_framework(monkeypatch, name):
    assert not hasattr(fresh(monkeypatch, name), "no_such_name")


@pytest.mark.parametrize("name,class_name,missing", [("langchain", "GaitMiddleware", "langchain"), ("autogen", "GatedWorkbench", "autogen_core")])
def test_what_is_missing_is_named(monkeypatch, name, class_name, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=missing):
        getattr(fresh(monkeypatch, name), class_name)

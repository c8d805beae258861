"""What Gait stands in front of: the one table behind `gait integrations`, docs/ecosystem/community_index.json and their tests."""

from __future__ import annotations

from .formats.documents import NamedTuple

PROVEN, TESTED = "proven", "tested"


class Integration(NamedTuple):
    """One program, framework or protocol.

    `status` is proven when the script `proof` drives the real program, and tested when fixtures of its documented shapes are all
    there is.  `adapters` read its calls (gait/adapters); `package` is its folder in skills/, empty for none; `install` is the command.
    """

    name: str
    kind: str
    title: str
    status: str
    install: str
    doc: str
    adapters: tuple[str, ...] = ()
    package: str = ""
    proof: str = ""

    def to_value(self) -> dict[str, object]:
        """The entry as JSON."""
        return {**self._asdict(), "adapters": list(self.adapters)}


_HOOKS, _FRAMEWORKS, _DECISIONS = "docs/hooks.md", "docs/integrations/frameworks.md", "docs/decisions.md"
_HOOK_PROOF, _FRAMEWORK_PROOF = "scripts/integration_hooks.py", "scripts/integration_frameworks.py"


def _hook(name: str, title: str, adapter: str, status: str, package: str = "") -> Integration:
    install = f"gait hook install {name} --policy POLICY"
    return Integration(name, "hook", title, status, install, _HOOKS, (adapter,), package, _HOOK_PROOF if status == PROVEN else "")


def _framework(name: str, title: str, names: str, status: str, package: str = "") -> Integration:
    about = (name, "framework", title, status, f"from gait.hosts.{name} import {names}", _FRAMEWORKS)
    return Integration(*about, (name,) if package else (), package, _FRAMEWORK_PROOF if status == PROVEN else "")


def _one_shot(name: str, title: str) -> Integration:
    return Integration(name, "adapter", title, TESTED, f"gait mcp proxy --adapter {name} --policy POLICY --call CALL", _DECISIONS, (name,))


ALL: tuple[Integration, ...] = (
    Integration(
        *("openclaw", "package", "OpenClaw: plugin and skill", PROVEN, "scripts/install_openclaw_skill.sh", "docs/integrations/openclaw.md"),
        *(("openclaw",), "skills/openclaw", "scripts/integration_openclaw.py"),
    ),
    _hook("claude-code", "Claude Code", "claude_code", PROVEN, "skills/claude_code"),
    _hook("codex", "Codex CLI", "claude_code", PROVEN),
    _hook("gemini", "Gemini CLI", "gemini", TESTED),
    _hook("copilot", "Copilot CLI", "gastown", TESTED),
    _hook("gastown", "Gas Town: every worker of a town", "gastown", PROVEN, "skills/gastown")._replace(doc="docs/integrations/gastown.md"),
    Integration(
        *("mcp", "gateway", "MCP: any client, any server over stdio", PROVEN, "gait mcp wrap --policy POLICY -- SERVER", "docs/mcp.md"),
        *(("mcp",), "", "scripts/integration_mcp.py"),
    ),
    Integration(
        *("mcp-http", "gateway", "MCP: any client, any server over HTTP", PROVEN, "gait mcp serve --policy POLICY --upstream URL", "docs/mcp.md"),
        *(("mcp",), "", "scripts/conformance.py"),
    ),
    Integration("http", "service", "any program, over HTTP", TESTED, "gait mcp serve --policy POLICY", "docs/serve.md"),
    _framework("guard", "any Python function", "Gate", TESTED),
    _framework("openai_agents", "OpenAI Agents SDK", "gate_tools", PROVEN, "skills/openai_agents"),
    _framework("langchain", "LangChain, LangGraph", "GaitMiddleware", PROVEN, "skills/langchain"),
    _framework("autogen", "AutoGen", "GatedWorkbench", PROVEN, "skills/autogen"),
    _framework("autogpt", "AutoGPT (classic)", "GaitPermissionManager", TESTED, "skills/autogpt"),
    _one_shot("openai", "calls in the shape of the OpenAI API"),
    _one_shot("anthropic", "calls in the shape of the Anthropic API"),
    Integration("beads", "bridge", "Beads: refused calls as issues", TESTED, "gait beads TRACE --live", "docs/beads.md"),
    Integration("siem", "export", "Splunk, Elastic, OpenTelemetry: decisions out", TESTED, "gait mcp serve --policy POLICY --export-log-out FILE", "docs/siem_ingestion.md"),
)

"""The table of target inference: what an argument's name and a tool's name mean.

Invariant: every word that decides what is inferred stands in this file and in docs/targets.md.
The walk over the arguments is inference.py; the meaning of one text is values.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..formats.patterns import lazy

if TYPE_CHECKING:
    from typing import TypeVar

    _Answer = TypeVar("_Answer")

MAX_TARGETS = 512
MAX_SCANNED = 256 * 1024
MAX_DEPTH = 64
MAX_SHELL_DEPTH = 8
MAX_BRACES = 64
MAX_PATH = 4096


class Tool(NamedTuple):
    """A known tool.  `names` overrides the meaning of its arguments; `action` is the argument that names the operation."""

    operation: str
    names: Mapping[str, str] = {}
    action: str = ""


def _words(table: Mapping[str, str]) -> dict[str, str]:
    return {word: kind for kind, words in table.items() for word in words.split()}


# Argument name -> how its value is read.  The nine target kinds mean themselves.  Besides:
# command: shell text.  argv: a command's words.  code: program text.  sql, patch: as named.  text: prose and file
# contents, inferred from only when the whole value is one path or URL.  words: each word is looked at.  selector: a place in a page.
NAMES = _words(
    {
        "path": """path paths file files filename filenames filepath filepaths folder folders directory directories dir dirs
            dirname dirpath pathname cwd workdir basedir rootdir workspace root source sources destination destinations src
            dest dst glob globs include attachment attachments working_directory notebook media""",
        "url": """url urls uri uris href hrefs link links endpoint endpoints webhook callback baseurl website webpage
            remote_url""",
        "host": """host hosts hostname hostnames domain domains subdomain ip ips address addresses addr server servers
            nameserver peer proxy hostport allowed_domains fqdn""",
        "command": """command commands cmd cmds script scripts shell bash command_line commandline cmdline shell_command
            run exec powershell program executable argv0""",
        "argv": "args argv arguments flags options extra_args",
        "code": "code source_code python_code javascript js_code python js",
        "sql": "sql sql_query query statement statements queries",
        "patch": "patch diff",
        "repo": "repo repos repository repositories repo_name repository_name full_name",
        "bucket": "bucket buckets bucket_name",
        "queue": "queue queues queue_name",
        "topic": "topic topics topic_name channel channels channel_id channel_name chat_id room room_id",
        "table": "table tables table_name table_names tablename collection collection_name",
        "selector": "selector ref element xpath coordinate coordinates start_ref end_ref start_element end_element",
        "text": """content contents text texts body message messages prompt prompts description title summary comment comments
            subject new_string old_string newtext oldtext new_text old_text new_str old_str file_text insert_text
            new_source markdown html caption answer question reason thought thoughts note notes pattern patterns regex
            regexp q search search_query keyword keywords instruction instructions explanation label labels reply
            observation observations details bio stdin exclude exclude_patterns""",
    }
)

# The last word of a longer name decides (`output_file`, `baseUrl`); else the first of its words that is here.
NAME_TOKENS = _words(
    {
        "path": """path paths file files filename filenames filepath folder folders directory directories dir dirs cwd
            workdir workspace pathname glob globs""",
        "url": "url urls uri uris href link endpoint webhook",
        "host": "host hosts hostname hostnames domain domains ip address server nameserver",
        "command": "command commands cmd cmdline script",
        "sql": "sql",
        "patch": "patch diff",
        "repo": "repo repository",
        "bucket": "bucket",
        "queue": "queue",
        "table": "table",
        "text": """content contents text body message prompt description title summary comment subject string str
            markdown html caption reason note notes pattern patterns regex query keywords instructions""",
    }
)

SOURCES = frozenset("source sources src from old origin".split())
OWNERS = frozenset(("owner", "org", "organization", "namespace", "workspace_slug"))
# Where a framework passes one bare text, the tool's name says what it is.
SINGLE_INPUTS = ("input", "__arg1")
_SINGLE_KINDS = _words(
    {"path": "file files dir directory folder path ls", "url": "url http requests web website webpage fetch page", "sql": "sql db"}
)
ACTIONS = ("action", "operation", "method", "http_method", "verb")

# A word of a tool's name, or of an action argument -> the operation.  Where several are found, the most dangerous counts.
OPERATIONS = _words(
    {
        "exec": """exec execute executes run runs bash shell command cmd terminal powershell pwsh sh zsh eval evaluate
            repl subprocess interpreter popen""",
        "spawn": "spawn",
        "delete": "delete deletes destroy purge erase wipe trash clear uninstall revoke shred kill",
        "remove": "remove",
        "rm": "rm",
        "unlink": "unlink",
        "rmdir": "rmdir",
        "drop": "drop",
        "truncate": "truncate",
        "write": """write writes edit replace insert post send publish upload push reply commit merge apply patch add
            modify store export comment import install format deploy sync invite react""",
        "append": "append",
        "put": "put",
        "create": "create mkdir make new init fork touch clone generate build",
        "update": """update set change checkout reset stage click fill type press submit drag select tap change assign close
            enable disable rebase stash tag approve start stop restart schedule wake notify act keys""",
        "save": "save screenshot download record pdf snapshot_save",
        "copy": "copy cp",
        "move": "move mv",
        "rename": "rename",
        "resolve": "dns nslookup dig whois",
        "read": """read view show search find grep query inspect info tree count status history blame check lookup
            explore preview diff log scan analyze summarize extract snapshot hover wait scroll poll watch parse describe
            explain schema reader compare resolve tail""",
        "get": "get fetch load navigate goto visit browse crawl scrape retrieve curl wget",
        "list": "list ls glob enumerate listdir",
        "open": "open",
        "cat": "cat",
        "head": "head",
        "stat": "stat",
    }
)
UI_CLASSES = _words({"ui.click": "click hover tap drag press", "ui.type": "type fill select"})
_RANK = _words(
    {
        "5": "exec spawn",
        "4": "delete remove rm unlink rmdir drop truncate",
        "3": "write append put create update save copy move rename",
        "2": "resolve",
        "1": "read get list open cat head stat",
    }
)
# `run_query` runs a query and `run_workflow` a workflow; neither names a process of this machine.
_NOT_PROCESSES = frozenset("query queries sql database db table workflow report".split())
# `commit` commits, but `get_commit` reads one: beside a reading verb these words are things.
_NOUNS = frozenset(
    """commit comment patch tag record set change merge pdf format schedule invite deploy clone post type press export
    import build log""".split()
)

_WORDS_OF_PROMPT = {"prompt": "words"}
_PAGE_CODE = {"script": "code", "function": "code", "expression": "code"}
_EDITOR = Tool("", {"command": "text"}, "command")
_REQUEST = {"text": "words"}

# Tools whose names do not say it, or whose arguments mean something of their own.  Keys are the last part of the name.
KNOWN_TOOLS: Mapping[str, Tool] = {
    # Claude Code, and the text editor and memory tools of the Anthropic API
    "read": Tool("read"),
    "write": Tool("write"),
    "edit": Tool("write"),
    "multiedit": Tool("write"),
    "notebookedit": Tool("write"),
    "notebookread": Tool("read"),
    "bash": Tool("exec"),
    "bashoutput": Tool("read", {"filter": "text"}),
    "killshell": Tool("exec"),
    "killbash": Tool("exec"),
    "glob": Tool("list", {"pattern": "path"}),
    "grep": Tool("read", {"pattern": "text"}),
    "ls": Tool("list"),
    "webfetch": Tool("get"),
    "websearch": Tool("read", {"blocked_domains": "text"}),
    "task": Tool(""),
    "todowrite": Tool("write"),
    "slashcommand": Tool("", {"command": "text"}),
    "readmcpresourcetool": Tool("read", {"server": "text"}),
    "str_replace_based_edit_tool": _EDITOR,
    "str_replace_editor": _EDITOR,
    "memory": _EDITOR,
    "computer": Tool("", {}, "action"),
    # OpenClaw
    "process": Tool("exec", {"data": "command", "keys": "command", "text": "command", "literal": "command"}),
    "apply_patch": Tool("write", {"input": "patch", "patch": "patch"}),
    "browser": Tool("get", {"fn": "code"}, "action"),
    "message": Tool("write", {"target": "topic", "to": "topic"}, "action"),
    "cron": Tool("", {"text": "words", "message": "words"}, "action"),
    "tool_call": Tool("", {}, "id"),
    "gateway": Tool("", {"raw": "words"}, "action"),
    "nodes": Tool("", {}, "action"),
    "image": Tool("read", {"image": "path"}),
    # Codex and Gemini command lines
    "write_stdin": Tool("exec", {"chars": "command"}),
    "exec_command": Tool("exec"),
    "local_shell": Tool("exec"),
    "web_fetch": Tool("get", _WORDS_OF_PROMPT),
    "replace": Tool("write"),
    "search_file_content": Tool("read", {"include": "path"}),
    # LangChain, AutoGPT
    "terminal": Tool("exec"),
    "python_repl": Tool("exec", {"query": "code", "input": "code"}),
    "python_repl_ast": Tool("exec", {"query": "code", "input": "code"}),
    "execute_python_code": Tool("exec"),
    "requests_get": Tool("get", _REQUEST),
    "requests_post": Tool("write", _REQUEST),
    "requests_patch": Tool("write", _REQUEST),
    "requests_put": Tool("write", _REQUEST),
    "requests_delete": Tool("delete", _REQUEST),
    # MCP servers: puppeteer, playwright, git, filesystem, fetch
    "puppeteer_evaluate": Tool("exec", _PAGE_CODE),
    "browser_evaluate": Tool("exec", _PAGE_CODE),
    "browser_run_code": Tool("exec", _PAGE_CODE),
    "browser_snapshot": Tool("read"),
    "directory_tree": Tool("list"),
    "search_files": Tool("read"),
    "git_stash": Tool("update"),
    "create_repository": Tool("create", {"name": "repo"}),
}  # fmt: skip

_TOKEN = lazy(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\x00-\x7f]+")
_SEGMENT = lazy(r"__|[/.:]")
# `readfile`, `deletefile`: run-together names.  Short verbs are not here: `listener` lists nothing.
_PREFIXES = "read write delete remove update create search fetch execute append rename truncate unlink".split()


class _Kept(dict):  # type: ignore[type-arg]
    """Answers by name; one that is here costs no call.  A caller's own names cannot fill the memory."""

    __slots__ = ("read",)

    def __init__(self, read: Callable[[str], object]) -> None:
        self.read = read

    def __missing__(self, name: str) -> object:
        answer = self.read(name)
        if len(name) <= 64:
            if len(self) >= 1024:
                self.clear()
            self[name] = answer
        return answer


def _remembered(read: Callable[[str], _Answer]) -> Callable[[str], _Answer]:
    """The same function with a memory."""
    return _Kept(read).__getitem__


def tokens(name: str) -> list[str]:
    """The lower-cased words of a name: `mcp__fs__readFile` gives mcp, fs, read, file."""
    return [word.lower() for word in _TOKEN.findall(name[:512])]


@_remembered
def kind_of_name(name: str) -> str:
    """How the value under this argument name is read; empty when the name says nothing."""
    known = NAMES.get(name)
    if known is not None:
        return known
    words = tokens(name)
    joined = NAMES.get("_".join(words))
    if joined is not None or not words:
        return joined or ""
    last = NAME_TOKENS.get(words[-1])
    return last if last is not None else next((NAME_TOKENS[word] for word in words if word in NAME_TOKENS), "")


@_remembered
def kind_of_single(tool_name: str) -> str:
    """How the one bare text that a tool takes is read; empty when the tool's name says nothing."""
    return next((_SINGLE_KINDS[word] for word in tokens(tool_name) if word in _SINGLE_KINDS), "")


@_remembered
def ui_class(name: str) -> str:
    """The endpoint class of what the words of a name do to a page; empty when nothing."""
    return next((UI_CLASSES[word] for word in tokens(name) if word in UI_CLASSES), "")


@_remembered
def is_source(name: str) -> bool:
    """True when an argument's name says that something is taken from there."""
    return not SOURCES.isdisjoint(tokens(name))


@_remembered
def tool_of(name: str) -> Tool:
    """The known tool of that name, or one whose operation comes from the words of the name."""
    segments = _SEGMENT.split(name[:512])
    last = segments[-1] or name
    known = KNOWN_TOOLS.get(last.lower())
    if known is not None:
        return known
    return Tool(operation_of(tokens(last)) or operation_of(tokens(name)))


def operation_of(words: list[str]) -> str:
    """The most dangerous operation that these words name; empty when none does."""
    operations = {word: _operation(word) for word in words if word not in _NOUNS}
    found = [operation for operation in operations.values() if operation]
    if not any(_rank(operation) == "1" for operation in found):
        found += [OPERATIONS[word] for word in words if word in _NOUNS]
    if not _NOT_PROCESSES.isdisjoint(words):
        found = [operation for operation in found if operation != "exec"]
    return max(found, key=_rank, default="")


def more_dangerous(one: str, other: str) -> str:
    """Of two operations, the one that policies are stricter about."""
    return other if _rank(other) > _rank(one) else one


def _rank(operation: str) -> str:
    return _RANK.get(operation, "0")


def _operation(word: str) -> str:
    known = OPERATIONS.get(word)
    if known is None and len(word) > 4:
        return next((OPERATIONS[prefix] for prefix in _PREFIXES if word.startswith(prefix)), "")
    return known or ""

"""The handlers of tools that ask the client: its user, its model, its roots.

In the session era the client is sent a request; in the stateless era the result asks, and the call comes again.
"""

from __future__ import annotations

import json

from .content import form, given
from .protocol import Call, Message, text


def _sampling_request(words: str, most: int = 100) -> Message:
    messages = [{"role": "user", "content": {"type": "text", "text": words}}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": most}}


def _said(answer: Message) -> str:
    content = answer.get("content")
    blocks = content if isinstance(content, list) else [content]
    return " ".join(str(block.get("text", "")) for block in blocks if isinstance(block, dict))


def sampling(call: Call, arguments: Message) -> Message:
    answer = call.ask({"response": _sampling_request(arguments["prompt"])})["response"]
    return text(f"LLM response: {_said(answer)}")


def _elicited(call: Call, words: str, request: Message) -> Message:
    answer = call.ask({"response": request})["response"]
    return text(f"{words}: action={answer.get('action')}, content={json.dumps(answer.get('content', {}))}")


def elicitation(call: Call, arguments: Message) -> Message:
    username = {"type": "string", "description": "User's response"}
    email = {"type": "string", "description": "User's email address"}
    return _elicited(call, "User response", form(arguments["message"], username=username, email=email))


_DEFAULTS: Message = {
    "name": {"type": "string", "description": "User name", "default": "John Doe"},
    "age": {"type": "integer", "description": "User age", "default": 30},
    "score": {"type": "number", "description": "User score", "default": 95.5},
    "status": {"type": "string", "description": "User status", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "description": "Verification status", "default": True},
}


def _titled(*words: str) -> list[Message]:
    return [{"const": f"value{number}", "title": title} for number, title in enumerate(words, 1)]


_OPTIONS = ["option1", "option2", "option3"]
_ENUMS: Message = {
    "untitledSingle": {"type": "string", "enum": _OPTIONS},
    "titledSingle": {"type": "string", "oneOf": _titled("First Option", "Second Option", "Third Option")},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
    "titledMulti": {"type": "array", "items": {"anyOf": _titled("First Choice", "Second Choice", "Third Choice")}},
}


def elicitation_defaults(call: Call, arguments: Message) -> Message:
    request = form("Please review and update the form fields with defaults", **_DEFAULTS)
    request["params"]["requestedSchema"]["required"] = []
    return _elicited(call, "Elicitation completed", request)


def elicitation_enums(call: Call, arguments: Message) -> Message:
    request = form("Please select options from the enum fields", **_ENUMS)
    request["params"]["requestedSchema"]["required"] = []
    return _elicited(call, "Elicitation completed", request)


# --- asking in rounds (stateless era; a client of the session era is asked directly) --------------------

_NAME = form("What is your name?", name={"type": "string"})
_OK = form("Please confirm", ok={"type": "boolean"})
_ROOTS: Message = {"method": "roots/list", "params": {}}


def ask_name(call: Call, arguments: Message) -> Message:
    return text(f"Hello, {given(call.ask({'user_name': _NAME})['user_name'], 'name')}!")


def ask_model(call: Call, arguments: Message) -> Message:
    answer = call.ask({"capital_question": _sampling_request("What is the capital of France?")})["capital_question"]
    return text(f"The model said: {_said(answer)}")


def ask_roots(call: Call, arguments: Message) -> Message:
    roots = call.ask({"client_roots": _ROOTS})["client_roots"].get("roots", [])
    return text(f"Roots: {', '.join(str(root.get('uri')) for root in roots if isinstance(root, dict))}")


def ask_with_state(call: Call, arguments: Message) -> Message:
    answer = call.ask({"confirm": _OK}, with_state=True)["confirm"]
    return text(f"state-ok: {given(answer, 'ok')}")


def ask_three(call: Call, arguments: Message) -> Message:
    requests = {"user_name": _NAME, "greeting": _sampling_request("Generate a greeting", 50), "client_roots": _ROOTS}
    answers = call.ask(requests, with_state=True)
    roots = answers["client_roots"].get("roots", [])
    return text(f"{_said(answers['greeting'])} {given(answers['user_name'], 'name')}, {len(roots)} roots")


def ask_twice(call: Call, arguments: Message) -> Message:
    first = call.ask({"step1": form("Step 1: What is your name?", name={"type": "string"})}, with_state=True)["step1"]
    second = call.ask({"step2": form("Step 2: What is your favorite color?", color={"type": "string"})}, with_state=True)["step2"]
    return text(f"{given(first, 'name')} likes {given(second, 'color')}")


def ask_what_can_be(call: Call, arguments: Message) -> Message:
    able = {"elicitation": ("user_name", _NAME), "sampling": ("greeting", _sampling_request("Generate a greeting", 50))}
    requests = dict(able[name] for name in able if name in call.capabilities)
    if not requests:
        call.require("sampling")
    return text(f"Answered: {', '.join(call.ask(requests))}")


def needs_sampling(call: Call, arguments: Message) -> Message:
    call.require("sampling")
    return text("The client declared sampling.")


def streaming_elicitation(call: Call, arguments: Message) -> Message:
    call.progress(1, 2)
    return ask_name(call, arguments)

"""What the fixture serves besides tools: resources, prompts, completions."""

from __future__ import annotations

import json
import re

from .protocol import INVALID_PARAMS, RESOURCE_NOT_FOUND, Call, Failure, Message

# One red pixel, and no sample at 8 kHz.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
WATCHED = "test://watched-resource"

_RESOURCES: list[Message] = [
    {"uri": "test://static-text", "name": "static-text", "description": "A text", "mimeType": "text/plain"},
    {"uri": "test://static-binary", "name": "static-binary", "description": "A picture", "mimeType": "image/png"},
    {"uri": WATCHED, "name": "watched-resource", "description": "A text that can be subscribed to", "mimeType": "text/plain"},
]
_TEMPLATE: Message = {
    "uriTemplate": "test://template/{id}/data",
    "name": "template-data",
    "description": "Data made for an id",
    "mimeType": "application/json",
}


def list_resources(call: Call) -> Message:
    """resources/list."""
    return {"resources": _RESOURCES}


def list_templates(call: Call) -> Message:
    """resources/templates/list."""
    return {"resourceTemplates": [_TEMPLATE]}


def read_resource(call: Call) -> Message:
    """resources/read."""
    uri = call.params.get("uri")
    found = re.fullmatch(r"test://template/([^/]+)/data", uri) if isinstance(uri, str) else None
    if uri == "test://static-text":
        content = {"mimeType": "text/plain", "text": "This is the content of the static text resource."}
    elif uri == "test://static-binary":
        content = {"mimeType": "image/png", "blob": PNG}
    elif uri == WATCHED:
        content = {"mimeType": "text/plain", "text": "This is the content of the watched resource."}
    elif found:
        data = {"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"}
        content = {"mimeType": "application/json", "text": json.dumps(data)}
    else:
        raise Failure(INVALID_PARAMS if call.is_stateless else RESOURCE_NOT_FOUND, "Resource not found", {"uri": uri})
    return {"contents": [{"uri": uri, **content}]}


def subscribe(call: Call) -> Message:
    """resources/subscribe."""
    assert call.peer
    call.peer.subscribed.add(_uri(call))
    return {}


def unsubscribe(call: Call) -> Message:
    """resources/unsubscribe."""
    assert call.peer
    call.peer.subscribed.discard(_uri(call))
    return {}


def _uri(call: Call) -> str:
    uri = call.params.get("uri")
    if not isinstance(uri, str):
        raise Failure(INVALID_PARAMS, "uri must be text")
    return uri


_PROMPTS: list[Message] = [
    {"name": "test_simple_prompt", "description": "A prompt without arguments"},
    {
        "name": "test_prompt_with_arguments",
        "description": "A prompt with two arguments",
        "arguments": [
            {"name": "arg1", "description": "First test argument", "required": True},
            {"name": "arg2", "description": "Second test argument", "required": True},
        ],
    },
    {
        "name": "test_prompt_with_embedded_resource",
        "description": "A prompt with a resource in it",
        "arguments": [{"name": "resourceUri", "description": "URI of the resource to embed", "required": True}],
    },
    {"name": "test_prompt_with_image", "description": "A prompt with a picture in it"},
    {"name": "test_input_required_result_prompt", "description": "A prompt that asks the user first"},
]
_ADDED_PROMPT: Message = {"name": "test_added_prompt", "description": "There only from time to time"}


def list_prompts(call: Call) -> Message:
    """prompts/list."""
    return {"prompts": _PROMPTS + [_ADDED_PROMPT] * ("prompt" in call.world.switched)}


def get_prompt(call: Call) -> Message:
    """prompts/get."""
    name, given = call.params.get("name"), call.params.get("arguments")
    known = next((prompt for prompt in list_prompts(call)["prompts"] if prompt["name"] == name), None)
    if known is None:
        raise Failure(INVALID_PARAMS, f"Unknown prompt: {name}")
    arguments = given if isinstance(given, dict) else {}
    missing = [item["name"] for item in known.get("arguments", []) if not isinstance(arguments.get(item["name"]), str)]
    if missing:
        raise Failure(INVALID_PARAMS, f"Missing arguments: {', '.join(missing)}")
    contents = _contents(call, known["name"], arguments)
    return {"description": known["description"], "messages": [{"role": "user", "content": content} for content in contents]}


def _contents(call: Call, name: str, arguments: dict[str, str]) -> list[Message]:
    if name == "test_prompt_with_arguments":
        return [_words(f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'")]
    if name == "test_prompt_with_embedded_resource":
        resource = {"uri": arguments["resourceUri"], "mimeType": "text/plain", "text": "Embedded resource content for testing."}
        return [{"type": "resource", "resource": resource}, _words("Please process the embedded resource above.")]
    if name == "test_prompt_with_image":
        return [{"type": "image", "data": PNG, "mimeType": "image/png"}, _words("Please analyze the image above.")]
    if name == "test_input_required_result_prompt":
        answer = call.ask({"user_context": form("What context should the prompt use?", context={"type": "string"})})["user_context"]
        return [_words(f"Use this context: {given(answer, 'context')}")]
    return [_words("This is a simple prompt for testing.")]


def _words(words: str) -> Message:
    return {"type": "text", "text": words}


def form(message: str, **properties: Message) -> Message:
    """A request for the user's input; every property is required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def given(answer: Message, field: str) -> str:
    """What the user wrote, or which answer it was instead."""
    content = answer.get("content")
    if answer.get("action") != "accept" or not isinstance(content, dict):
        return f"({answer.get('action')})"
    return str(content.get(field))


def complete(call: Call) -> Message:
    """completion/complete."""
    argument = call.params.get("argument")
    value = argument.get("value") if isinstance(argument, dict) else None
    if not isinstance(value, str):
        raise Failure(INVALID_PARAMS, "argument.value must be text")
    values = [word for word in ("paris", "park", "party", "test", "testing") if word.startswith(value)]
    return {"completion": {"values": values, "total": len(values), "hasMore": False}}

"""Multi-round-trip requests (SEP-2322): answers come with the repeated request, earlier ones in a signed `requestState`.

Invariant: an answer from a state is used only when this server signed it for the same method, name and arguments.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json

from .protocol import INVALID_PARAMS, Failure, InputRequired, Message, parameters

_SHAPES = {"elicitation/create": ("action", str), "sampling/createMessage": ("role", str), "roots/list": ("roots", list)}


class Rounds:
    """The answers that one request brings."""

    def __init__(self, secret: bytes, message: Message) -> None:
        params = parameters(message)
        self._secret, self._subject = secret, _subject(message)
        self._fresh = params.get("inputResponses", {})
        if not isinstance(self._fresh, dict):
            raise Failure(INVALID_PARAMS, "inputResponses must be an object")
        self._has_state = "requestState" in params
        self._answers: dict[str, Message] = self._verified(params["requestState"]) if self._has_state else {}

    def take(self, requests: dict[str, Message], with_state: bool) -> dict[str, Message]:
        """The answer to each request; InputRequired for those without one."""
        missing = {}
        for key, request in requests.items():
            if key in self._answers:
                continue
            if key in self._fresh and (self._has_state or not with_state):
                self._answers[key] = _shaped(key, request["method"], self._fresh[key])
            else:
                missing[key] = request
        if missing:
            raise InputRequired(missing, self._signed() if with_state or self._answers else "")
        return {key: self._answers[key] for key in requests}

    def _signed(self) -> str:
        body = json.dumps({"subject": self._subject, "answers": self._answers}, sort_keys=True).encode()
        return base64.urlsafe_b64encode(body).decode() + "." + self._mac(body)

    def _verified(self, state: object) -> dict[str, Message]:
        if not isinstance(state, str):
            raise Failure(INVALID_PARAMS, "requestState must be text")
        encoded, _, mac = state.rpartition(".")
        try:
            body = base64.urlsafe_b64decode(encoded)
        except (binascii.Error, ValueError):
            body = b""
        if not hmac.compare_digest(self._mac(body).encode(), mac.encode("utf-8", "replace")):
            raise Failure(INVALID_PARAMS, "requestState is not what this server gave")
        found = json.loads(body)
        if found["subject"] != self._subject:
            raise Failure(INVALID_PARAMS, "requestState was given for another request")
        answers: dict[str, Message] = found["answers"]
        return answers

    def _mac(self, body: bytes) -> str:
        return hmac.new(self._secret, body, hashlib.sha256).hexdigest()


def _subject(message: Message) -> str:
    params = parameters(message)
    what = [message["method"], params.get("name"), params.get("uri"), params.get("arguments")]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _shaped(key: str, method: str, answer: object) -> Message:
    field, kind = _SHAPES[method]
    if not isinstance(answer, dict) or not isinstance(answer.get(field), kind):
        raise Failure(INVALID_PARAMS, f"inputResponses.{key} is no answer to {method}: it needs {field}")
    return answer

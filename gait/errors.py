"""The one error tree.  An error means that no answer could be made; callers treat it as a deny.

Every error says where, what was expected, what came and what to do.  `exit_code` follows
the table in docs/contracts/exit_codes.md: 1 internal, 2 verification failed, 6 invalid
input, 7 missing dependency, 8 unsafe operation refused.
"""

from __future__ import annotations


class GaitError(Exception):
    """An operation that could not be finished.  `where` names the place, `hint` the next step."""

    exit_code = 1
    error_code = "internal_failure"
    category = "internal_failure"
    http_status = 500
    retryable = False
    next_step = "report this with the command line"  # the hint in documents, where an error has none of its own

    def __init__(self, message: str, *, where: str = "", hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        if code:
            self.error_code = code

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message

    def to_value(self) -> dict[str, object]:
        """The error document that every command prints with `--json` and every endpoint returns."""
        return {
            "ok": False,
            "error": str(self),
            "error_code": self.error_code,
            "error_category": self.category,
            "retryable": self.retryable,
            "hint": self.hint or self.next_step,
        }


class InvalidInput(GaitError):
    """The caller's document, argument or option is not acceptable.  `path` leads into the document."""

    exit_code = 6
    error_code = "invalid_input"
    category = "invalid_input"
    http_status = 400
    next_step = "correct the value there and try again"

    def __init__(
        self, message: str, *, where: str = "", hint: str = "", code: str = "", path: tuple[str | int, ...] = ()
    ) -> None:
        super().__init__(message, where=where, hint=hint, code=code)
        self.path = path


class ParseError(InvalidInput):
    """The bytes are not a document of the named format; `where` is `source:line:column`."""

    error_code = "parse_error"


class VerificationFailed(GaitError):
    """A signature, digest or document did not prove what it claims."""

    exit_code = 2
    error_code = "verification_failed"
    category = "verification_failed"
    http_status = 422
    next_step = "do not trust this document"


class StorageError(GaitError):
    """A file could not be read, written or locked."""

    error_code = "storage_failed"
    category = "io_failure"
    http_status = 503
    retryable = True
    next_step = "check the path, its permissions and the free space"


class MissingDependency(GaitError):
    """A program or key that the operation needs is not there."""

    exit_code = 7
    error_code = "missing_dependency"
    category = "dependency_missing"
    http_status = 503
    next_step = "provide what is missing and try again"


class UnsafeOperation(GaitError):
    """The operation was asked for in a form that Gait refuses to carry out."""

    exit_code = 8
    error_code = "unsafe_operation"
    category = "unsafe_operation"
    http_status = 403
    next_step = "choose a form of the operation that keeps what is there"

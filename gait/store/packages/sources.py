"""Where a package is taken from: a folder of this host, or an address that the operator allows."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable

from ...errors import InvalidInput, UnsafeOperation
from ...formats.documents import TYPE_CHECKING
from ...registry import manifest
from . import folder as folders

if TYPE_CHECKING:
    from typing import Protocol, Union

    from ...system.download import Patience
    from ...system.origin import Origin

    Source = Union["Folder", "Address"]

    class Watch(Protocol):
        """Told of each file, and then of its bytes."""

        def __call__(self, path: str, done_bytes: int, total_bytes: int) -> None: ...


class Folder:
    """A folder with registry_pack.json, or the path of that file."""

    is_remote = False

    def __init__(self, path: str) -> None:
        self.name = path
        self._folder = path if os.path.isdir(path) else os.path.dirname(path) or "."
        if not os.path.isdir(path) and os.path.basename(path) != manifest.PACK_NAME:
            raise InvalidInput(f"expected a folder, or {manifest.PACK_NAME}", where=path, hint="gait registry build makes one", code="invalid_usage")

    def read(self, path: str, max_bytes: int) -> bytes:
        """The bytes of one file.  InvalidInput: none, too many, or a link."""
        return folders.read_file(self._folder, path, max_bytes)


class Address:
    """An https address of registry_pack.json; the files are beside it."""

    is_remote = True

    def __init__(self, url: str, hosts: Iterable[str], tls: Callable[[], ssl.SSLContext], patience: Patience, watch: Watch) -> None:
        from ...system.origin import read_url

        origin = read_url(url, "--source", may_be_plain=True)
        self.name = url
        if not origin.is_tls:
            raise UnsafeOperation("expected an https address", where=url, hint="what comes over http could be anybody's", code="https_required")
        if "?" in origin.target:
            raise InvalidInput("expected an address without a query", where=url, code="invalid_usage")
        _check_host(origin, url, hosts)
        base, _, last = origin.target.rpartition("/")
        if last not in ("", manifest.PACK_NAME):
            raise InvalidInput(f"expected an address that ends with / or /{manifest.PACK_NAME}", where=url, code="invalid_usage")
        self._base = origin._replace(target=base + "/")
        self._tls, self._patience, self._watch = tls(), patience, watch

    def read(self, path: str, max_bytes: int) -> bytes:
        """The bytes of one file below the manifest's address.  GaitError: it cannot be had (system/download)."""
        from ...system.download import fetch

        origin = self._base._replace(target=self._base.target + path)  # a manifest's path needs no escapes
        return fetch(origin, self._tls, max_bytes, self._patience, lambda done, total: self._watch(path, done, total))


def _check_host(origin: Origin, url: str, hosts: Iterable[str]) -> None:
    """An allowed host without a port is allowed at https's own only."""
    allowed = {host.strip().lower().rstrip(".") for text in hosts for host in text.split(",")}
    if origin.name.lower().rstrip(".") not in allowed:
        hint = f"add --allow-host {origin.name} if you trust it"
        raise UnsafeOperation(f"expected an allowed host, got {origin.name}", where=url, hint=hint, code="host_not_allowed")


def is_address(text: str) -> bool:
    """True for what has the form of an address and not of a path."""
    return text.lower().startswith(("https://", "http://"))

"""Installed packs: the attacks on an installation, each beside one that works."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gait.errors import GaitError
from gait.formats import jcs
from gait.registry import manifest
from gait.store.packages import cache as caches
from gait.store.packages import folder as folders
from gait.store.packages import sources
from gait.system import download
from gait.system.download import Patience
from gait.system.origin import client_tls
from tests.registry import sample
from tests.registry.server import CA, Server, answer

PATIENCE = Patience(attempts=3, pause_seconds=0.01, answer_seconds=5, total_seconds=20)
TERMS = caches.Terms(sample.RING)
SIGNED = sample.signed(sample.pack())
PIN = manifest.read(SIGNED).pin


@pytest.fixture
def cache(tmp_path) -> str:
    return str(tmp_path / "cache")


def files(value: dict | bytes = SIGNED, **changes: object) -> dict:
    """What a good server has, with changes."""
    manifest_bytes = value if isinstance(value, bytes) else jcs.dumps(value)
    return {"registry_pack.json": manifest_bytes, **sample.FILES, **changes}  # type: ignore[arg-type]


def address(server: Server, patience: Patience = PATIENCE, hosts: tuple = (), url: str = "", watch: object = None) -> sources.Address:
    seen = watch or (lambda path, done, total: None)
    return sources.Address(url or server.url, hosts or (server.name,), lambda: client_tls(str(CA)), patience, seen)  # type: ignore[arg-type]


def refused(cache: str, source: object, terms: caches.Terms = TERMS) -> str:
    """The code of the refusal, after which nothing is in the cache."""
    with pytest.raises(GaitError) as caught:
        caches.install(cache, source, terms)  # type: ignore[arg-type]
    assert caught.value.to_value()["hint"]
    assert list(caches.entries(cache)) == [] and not list(Path(cache).glob(".stage*"))
    return caught.value.error_code


def test_from_a_folder(tmp_path, cache):
    folder = sample.folder(tmp_path / "pack", SIGNED)
    for source in (folder, folder / "registry_pack.json"):
        done = caches.install(cache, sources.Folder(str(source)), TERMS)
        assert done.package.name == "safe-writer" and done.folder == os.path.join(cache, "safe-writer", "1.2.0", PIN[7:])
    assert done.result == "unchanged" and Path(done.pin_path).read_text() == PIN + "\n"
    assert {path: (Path(done.folder) / path).read_bytes() for path in sample.FILES} == sample.FILES
    for path in Path(cache).rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    (entry,) = caches.entries(cache)
    assert (entry.digest, entry.pinned, entry.problem) == (PIN[7:], PIN[7:], "")
    assert caches.check(cache, entry, sample.RING).findings == ()


def test_from_an_https_server(cache):
    watched: list = []
    with Server(files()) as server:
        for url in (server.url, server.url + "registry_pack.json"):
            source = address(server, url=url, watch=lambda *told: watched.append(told))
            done = caches.install(cache, source, TERMS._replace(pin=PIN, publishers=("other,ACME",)))
    assert done.result == "unchanged" and not done.warnings and folders.require(done.folder, sample.RING)
    assert server.asked.count("/packs/safe/bin/run.py") == 1
    assert ("SKILL.md", len(sample.FILES["SKILL.md"]), len(sample.FILES["SKILL.md"])) in watched


def test_a_pack_signed_as_the_published_implementation_signs(cache, tmp_path):
    folder = sample.folder(tmp_path / "pack", sample.signed_elsewhere(sample.pack()))
    assert caches.install(cache, sources.Folder(str(folder)), caches.Terms(sample.PUBLIC)).result == "installed"


# --- what a manifest may try ---------------------------------------------------------------------

ESCAPES = [
    {"pack_name": "../../evil"}, {"pack_name": "pins"}, {"pack_version": ".."}, {"pack_version": "a/b"}, {"pack_name": "/tmp/evil"},
    *({"artifacts": [{"path": path, "sha256": sample.SUMS["SKILL.md"]}]} for path in ("../evil", "/tmp/evil", "a/../../evil", "registry_pack.json", "a\\..\\b")),
]  # fmt: skip


@pytest.mark.parametrize("change", ESCAPES, ids=str)
def test_a_path_never_leaves_the_cache(cache, tmp_path, change):
    """Signed by the publisher's own key, so that only the reading of the manifest stands in the way."""
    value = {**sample.pack(), **change, "signatures": []}
    signature = sample.envelope.sign({k: v for k, v in value.items() if k != "signatures"}, sample.KEY, sample.envelope.REGISTRY_PACK)["signature"]
    with Server(files(jcs.dumps({**value, "signatures": [signature]}), evil=sample.FILES["SKILL.md"])) as server:
        assert refused(cache, address(server)) == "manifest_invalid"
    assert not (tmp_path / "evil").exists() and not Path(cache).exists()


@pytest.mark.parametrize(
    "data,code",
    [
        (b"{" * 100_000, "parse_error"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "parse_error"),
        (jcs.dumps(SIGNED)[:-1] + b',"publisher":"evil"}', "parse_error"),
        (jcs.dumps(SIGNED)[:-9], "parse_error"),
        (b"[]", "parse_error"),
        (jcs.dumps({**SIGNED, "schema_id": "gait.skill.manifest"}), "manifest_invalid"),
        (jcs.dumps(sample.signed(sample.skill())), "manifest_invalid"),
        (b" " * (manifest.MAX_BYTES + 1), "download_too_large"),
        (jcs.dumps({**SIGNED, "publisher": "evil"}), "digest_mismatch"),
        (jcs.dumps({**SIGNED, "added": 1}), "digest_mismatch"),
        (jcs.dumps(sample.pack()), "signature_missing"),
        (jcs.dumps(sample.signed(sample.pack(), sample.STRANGER.active)), "key_unknown"),
    ],
    ids=lambda item: item if isinstance(item, str) else str(item)[:20],
)
def test_manifests_that_are_none(cache, data, code):
    with Server(files(data)) as server:
        assert refused(cache, address(server)) == code
    assert not Path(cache).exists()  # nothing was written before the signature was checked


def test_another_pin_and_another_publisher(cache):
    with Server(files()) as server:
        assert refused(cache, address(server), TERMS._replace(pin="sha256:" + "0" * 64)) == "pin_mismatch"
        for publishers in (("evil",), ("",), ("acm", "acmee")):
            assert refused(cache, address(server), TERMS._replace(publishers=publishers)) == "publisher_not_allowed"
        assert server.asked == ["/packs/safe/registry_pack.json"] * 4 and not Path(cache).exists()
        assert caches.install(cache, address(server), TERMS._replace(pin=PIN, publishers=("acme",))).result == "installed"


# --- what a server may try -----------------------------------------------------------------------


def drip(connection) -> None:
    """A byte now and then, for ever."""
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(600):
        connection.sendall(b"x")
        time.sleep(0.05)


def silence(connection) -> None:
    time.sleep(30)


def endless(connection) -> None:
    connection.sendall(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


def cut(connection) -> None:
    """Ends without a farewell in the middle of a body that ends with the connection."""
    connection.sendall(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n" + sample.FILES["SKILL.md"][:4])
    connection.shutdown(2)
    raise OSError


def redirect(status: int, to: str):
    return answer(status, b"", f"Location: {to}")


BAD_FILES = {
    "another content": (b"evil", "file_modified", 1),
    "one byte more": (sample.FILES["SKILL.md"] + b"\0", "file_modified", 1),
    "truncated": (answer(200, sample.FILES["SKILL.md"][:4], "Connection: close", length=len(sample.FILES["SKILL.md"])), "upstream_closed", 3),
    "truncated without a length": (cut, "upstream_closed", 3),
    "missing": (answer(404), "download_refused", 1),
    "forbidden": (answer(403), "download_refused", 1),
    "error page": (answer(500, b"oops"), "download_refused", 1),
    "partial": (answer(206, sample.FILES["SKILL.md"]), "download_refused", 1),
    "busy": (answer(429), "download_unavailable", 3),
    "bad gateway": (answer(502), "download_unavailable", 3),
    "unavailable": (answer(503), "download_unavailable", 3),
    "gateway timeout": (answer(504), "download_unavailable", 3),
    "huge by its length": (answer(200, b"", length=folders.MAX_FILE_BYTES + 1), "download_too_large", 1),
    "no HTTP": (lambda connection: connection.sendall(b"hello\r\n\r\n"), "upstream_answer_malformed", 1),
    "two lengths": (answer(200, b"x", "Content-Length: 2"), "upstream_answer_malformed", 1),
    "dropped": (lambda connection: connection.shutdown(2), "upstream_closed", 3),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_files_that_are_not_what_was_signed(cache, what):
    bad, code, tries = BAD_FILES[what]
    with Server(files(**{"SKILL.md": bad})) as server:
        assert refused(cache, address(server)) == code
        assert server.asked.count("/packs/safe/SKILL.md") == tries
        server.files["SKILL.md"] = sample.FILES["SKILL.md"]
        assert caches.install(cache, address(server), TERMS).result == "installed"  # the control


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirections_are_not_followed(cache, status):
    with Server(files()) as other:
        for target in (other.url + "registry_pack.json", "registry_pack.json", "http://localhost/", "file:///etc/passwd"):
            with Server({"registry_pack.json": redirect(status, target)}) as server:
                assert refused(cache, address(server, hosts=(server.name, other.name))) == "redirect_refused"
                assert server.asked == ["/packs/safe/registry_pack.json"]
        assert other.asked == []


def test_an_endless_file(cache, monkeypatch):
    monkeypatch.setattr(folders, "MAX_FILE_BYTES", 1 << 20)
    with Server(files(**{"SKILL.md": endless})) as server:
        assert refused(cache, address(server)) == "download_too_large"


def test_all_files_together_are_bounded(cache, monkeypatch):
    monkeypatch.setattr(folders, "MAX_TOTAL_BYTES", 15)
    with Server(files()) as server:
        assert refused(cache, address(server)) == "download_too_large"


def test_slow_servers(cache, patience):
    quick = Patience(attempts=1, pause_seconds=0, answer_seconds=0.3 * patience, total_seconds=0.6 * patience)
    for bad in (silence, drip):
        with Server(files(**{"SKILL.md": bad})) as server:
            started = time.monotonic()
            assert refused(cache, address(server, quick)) in ("upstream_timeout", "download_unavailable")
            assert time.monotonic() - started < 5 * patience


def test_what_passes_is_tried_again(cache):
    good = sample.FILES["SKILL.md"]
    with Server(files(**{"SKILL.md": [answer(503, b"", "Retry-After: 0"), answer(429, b"", "Retry-After: x"), good]})) as server:
        assert caches.install(cache, address(server), TERMS).result == "installed"
        assert server.asked.count("/packs/safe/SKILL.md") == 3


def test_retry_after_is_heard_within_reason(monkeypatch):
    pauses: list = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    for after, pause in (("2", 2.0), ("100000", 10.0), ("0", 0.01), ("soon", 0.01)):
        with Server({"registry_pack.json": [answer(503, b"", f"Retry-After: {after}"), b"x"]}) as server:
            assert address(server).read("registry_pack.json", 10) == b"x"
        assert pauses == [pause]
        pauses.clear()


def test_a_certificate_that_proves_nothing(cache):
    with Server(files()) as server:
        source = sources.Address(server.url, (server.name,), lambda: client_tls(), PATIENCE, lambda *_: None)
        assert refused(cache, source) == "upstream_untrusted"
        assert server.asked == []


@pytest.mark.parametrize(
    "url,hosts,code",
    [
        ("http://{name}/packs/", ("{name}",), "https_required"),
        ("{url}", (), "host_not_allowed"),
        ("{url}", ("localhost",), "host_not_allowed"),
        ("{url}", ("example.com", "{name}x"), "host_not_allowed"),
        ("https://user@{name}/packs/", ("{name}",), "invalid_usage"),
        ("https://{name}/packs/?x=1", ("{name}",), "invalid_usage"),
        ("https://{name}/packs/other.json", ("{name}",), "invalid_usage"),
        ("https://evil.example#{name}/", ("{name}",), "invalid_usage"),
        ("https://", ("",), "invalid_usage"),
    ],
)
def test_addresses_that_are_not_taken(url, hosts, code):
    with Server(files()) as server:
        say = lambda text: text.format(name=server.name, url=server.url)  # noqa: E731
        with pytest.raises(GaitError) as caught:
            sources.Address(say(url), tuple(map(say, hosts)), lambda: client_tls(str(CA)), PATIENCE, lambda *_: None)
        assert caught.value.error_code == code and server.asked == []
        assert sources.Address(server.url, (f"a.example, {server.name.upper()}",), lambda: client_tls(str(CA)), PATIENCE, lambda *_: None)


def test_a_folder_that_is_no_source(tmp_path, cache):
    folder = sample.folder(tmp_path / "pack", SIGNED)
    (folder / "SKILL.md").unlink()
    (folder / "SKILL.md").symlink_to("/etc/passwd")
    assert refused(cache, sources.Folder(str(folder))) == "not_a_regular_file"
    with pytest.raises(GaitError):
        sources.Folder(str(folder / "SKILL.md"))
    assert refused(cache, sources.Folder(str(tmp_path / "none" / "registry_pack.json"))) in ("storage_failed", "file_not_found")


# --- the cache -----------------------------------------------------------------------------------


def installed(tmp_path, cache, value: dict = SIGNED, terms: caches.Terms = TERMS) -> caches.Installed:
    return caches.install(cache, sources.Folder(str(sample.folder(tmp_path / os.urandom(4).hex(), value))), terms)


def test_a_version_keeps_its_content_unless_the_pin_says_so(tmp_path, cache):
    installed(tmp_path, cache)
    changed = sample.signed(sample.pack(use_case="another"))
    with pytest.raises(GaitError) as caught:
        installed(tmp_path, cache, changed)
    assert caught.value.error_code == "version_changed" and caught.value.exit_code == 8
    assert len(list(caches.entries(cache))) == 1
    pin = manifest.read(changed).pin
    assert installed(tmp_path, cache, changed, TERMS._replace(pin=pin)).result == "installed"
    assert installed(tmp_path, cache, sample.signed(sample.pack(pack_version="2.0"))).result == "installed"
    assert len(list(caches.entries(cache))) == 3


def test_a_damaged_package_is_replaced(tmp_path, cache):
    done = installed(tmp_path, cache)
    target = Path(done.folder) / "SKILL.md"
    target.write_bytes(b"evil")
    (entry,) = caches.entries(cache)
    assert [finding.code for finding in caches.check(cache, entry, sample.RING).findings] == ["file_modified"]
    assert installed(tmp_path, cache).result == "installed" and target.read_bytes() == sample.FILES["SKILL.md"]
    assert [path.name for path in Path(cache).glob(".*")] == [".lock"]


def test_what_an_interrupted_installation_left_is_cleared(tmp_path, cache):
    installed(tmp_path, cache)
    for name in (".stage-1", ".old-2"):
        (Path(cache) / name / "x").mkdir(parents=True)
    (Path(cache) / ".stage-3").symlink_to(tmp_path)
    installed(tmp_path, cache)
    assert [path.name for path in Path(cache).glob(".*")] == [".lock"] and tmp_path.exists()


def test_the_cache_stands_in_only_with_a_pin(tmp_path, cache):
    installed(tmp_path, cache)
    with Server({"registry_pack.json": answer(503)}) as server:
        quick = PATIENCE._replace(attempts=1)
        with pytest.raises(GaitError) as caught:
            caches.install(cache, address(server, quick), TERMS)
        assert caught.value.error_code == "download_unavailable"
        done = caches.install(cache, address(server, quick), TERMS._replace(pin=PIN))
        assert done.result == "cached" and "out of reach" in done.warnings[0]
        for terms in (TERMS._replace(pin="sha256:" + "0" * 64), caches.Terms(sample.STRANGER, PIN), TERMS._replace(pin=PIN, publishers=("evil",))):
            with pytest.raises(GaitError):
                caches.install(cache, address(server, quick), terms)
        for definite in (answer(404), answer(410), answer(302, b"", "Location: /x")):
            server.files["registry_pack.json"] = definite
            with pytest.raises(GaitError):
                caches.install(cache, address(server, quick), TERMS._replace(pin=PIN))
        (Path(done.folder) / "SKILL.md").write_bytes(b"evil")
        server.files["registry_pack.json"] = answer(503)
        with pytest.raises(GaitError) as caught:
            caches.install(cache, address(server, quick), TERMS._replace(pin=PIN))
        assert caught.value.error_code == "file_modified"


def test_the_cache_stands_in_when_a_file_cannot_be_had(tmp_path, cache):
    """The pinned package is there under an older, damaged copy of itself: nothing to fall back on."""
    done = installed(tmp_path, cache)
    with Server({"registry_pack.json": jcs.dumps(SIGNED)}) as server:
        assert caches.install(cache, address(server), TERMS).result == "unchanged"  # no file is asked for
        (Path(done.folder) / "SKILL.md").unlink()
        server.files["SKILL.md"] = answer(503)
        with pytest.raises(GaitError) as caught:
            caches.install(cache, address(server, PATIENCE._replace(attempts=1)), TERMS._replace(pin=PIN))
        assert caught.value.error_code == "file_missing"


def test_verification_finds_what_is_wrong_with_a_place(tmp_path, cache):
    done = installed(tmp_path, cache)
    pin = Path(done.pin_path)

    def codes() -> list:
        return [[finding.code for finding in caches.check(cache, entry, sample.RING).findings] for entry in caches.entries(cache)]

    assert codes() == [[]]
    pin.write_text("sha256:" + "0" * 64)
    assert codes() == [["pin_mismatch"]]
    for bad in ("", "x" * 300, "sha256:x"):
        pin.write_text(bad)
        assert codes() == [["pin_missing"]]
    pin.unlink()
    pin.symlink_to("/etc/passwd")
    assert codes() == [["pin_missing"]]
    pin.unlink()
    pin.write_text(PIN)
    os.rename(done.folder, done.folder[:-1] + "0")
    assert codes() == [["manifest_invalid", "pin_mismatch"]]
    os.symlink(done.folder[:-1] + "0", done.folder)
    problems = sorted(entry.problem.rpartition(", ")[2].rpartition(": ")[2] for entry in caches.entries(cache))
    assert problems == ["got a link", "the manifest is of another package than its place"]


def test_only_what_is_there_is_named(cache, tmp_path):
    with pytest.raises(GaitError) as caught:
        caches.named(cache, "")
    assert caught.value.error_code == "package_not_installed"
    installed(tmp_path, cache)
    assert len(list(caches.named(cache, ""))) == len(list(caches.named(cache, "safe-writer"))) == 1
    with pytest.raises(GaitError):
        caches.named(cache, "other")
    (Path(cache) / "safe-writer" / "note").write_text("x")
    (Path(cache) / "link").symlink_to(tmp_path)
    assert len(list(caches.entries(cache))) == 1


def test_a_cache_that_others_control_is_refused(tmp_path, cache):
    os.mkdir(cache)
    os.chmod(cache, 0o777)
    with pytest.raises(GaitError) as caught:
        installed(tmp_path, cache)
    assert caught.value.error_code == "permissions_too_open"


# --- at once -------------------------------------------------------------------------------------


def test_threads_that_install_at_once(tmp_path, cache):
    results: list = []
    with Server(files()) as server:
        threads = [threading.Thread(target=lambda: results.append(caches.install(cache, address(server), TERMS).result)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == ["installed"] + ["unchanged"] * 5
    assert server.asked.count("/packs/safe/SKILL.md") == 1 and [path.name for path in Path(cache).glob(".*")] == [".lock"]


CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from gait.store.packages import cache, sources
from tests.registry import sample
print(cache.install(sys.argv[2], sources.Folder(sys.argv[3]), cache.Terms(sample.RING)).result)
"""


@pytest.mark.slow
def test_processes_that_install_at_once_and_one_that_is_killed(tmp_path, cache):
    root = Path(__file__).resolve().parents[3]
    folder = sample.folder(tmp_path / "pack", SIGNED)
    start = lambda: subprocess.Popen([sys.executable, "-c", CODE, str(root), cache, str(folder)], stdout=subprocess.PIPE, text=True)  # noqa: E731
    for wait in (0.0, 0.15, 0.3):
        doomed = start()
        time.sleep(wait)
        doomed.kill()
        doomed.communicate(timeout=60)
        started = [start() for _ in range(3)]
        for process in started:
            out, _ = process.communicate(timeout=120)
            assert process.returncode == 0 and out.strip() in ("installed", "unchanged")
        (entry,) = caches.entries(cache)
        assert caches.check(cache, entry, sample.RING).findings == ()
        assert [path.name for path in Path(cache).glob(".*")] == [".lock"]

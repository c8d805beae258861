"""A disk that fails, brought about by the operating system: no allow while it does, and the chain goes on afterwards."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.service.running import ALLOWED, BLOCKED, gait, records, verify, wait_for

# Starts the command with a file size limit that its parent may raise later.
LIMITED = """\
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
os.execv(sys.argv[2], [sys.argv[2], "-B", *sys.argv[3:]])  # or Python 3.9 leaves half-written bytecode
"""
UNMEASURED = {"COVERAGE_PROCESS_START": ""}  # coverage could not write its results under the limit either
CALL = {**ALLOWED, "run_id": "x" * 500}


def fill(client, most: int = 2000) -> list[int]:
    """Ask until nothing more is decided, with small records at last; the sequence numbers that were acknowledged."""
    acknowledged = []
    for request in (CALL, ALLOWED, b"{"):
        for _ in range(most):
            answer = client.post(request)
            if answer.status == 503:
                assert answer.value["ok"] is False and "verdict" not in answer.value
                assert answer.value["retryable"] is True and answer.value["error_category"] == "io_failure"
                break
            acknowledged += [answer.value["sequence"]] if answer.status == 200 else []
        else:
            raise AssertionError("the disk did not fill up")
    return acknowledged


def refuses(client, path: str = "/v1/evaluate") -> None:
    """No request of any kind gets an allow, and /readyz and /metrics say why."""
    for request in (CALL, BLOCKED, b"{"):
        assert client.post(request).status == 503
    stream = client.post(CALL, "/v1/evaluate/stream")
    assert [line["ok"] for line in stream.lines] == [False] and stream.lines[0]["exit_code"] == 1
    assert client.post(CALL, "/v1/evaluate/sse").status == 503
    ready = client.get("/readyz")
    assert (ready.status, ready.value["ok"]) == (503, False) and ready.value["journal"].startswith("not writable (")
    assert 'gait_journal_failed{chain="serve"} 1' in client.get("/metrics").body.decode()
    assert client.get("/healthz").status == 200


def recovers(server, client) -> int:
    """The sequence number of the next allow.  Nobody asks meanwhile: the server finds out by itself."""
    wait_for(lambda: client.get("/readyz").status == 200)
    answer = client.post(CALL)
    assert (answer.status, answer.value["verdict"]) == (200, "allow")
    assert server.events("journal_failed") and server.events("journal_recovered")
    return answer.value["sequence"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB, where this user may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("mount is not allowed here; the file size limit tests the same")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["process", "power"])
def test_disk_full(durability, serve, small_disk):
    server = serve("--journal", small_disk / "journal", "--durability", durability)
    with server.client() as client:
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 100_000)
        acknowledged = fill(client)
        refuses(client)
        ballast.unlink()
        acknowledged.append(recovers(server, client))
    assert server.stop() == 0
    assert verify(server.journal)["ok"]
    assert set(acknowledged) <= {record["sequence"] for record in records(server.journal) if "verdict" in record}


@pytest.fixture
def thin_disk(tmp_path):
    """A file system that promises more than its store can hold: `write` succeeds, and `fsync` is what fails."""
    store, image, folder = tmp_path / "store", tmp_path / "store" / "image", tmp_path / "disk"
    store.mkdir()
    folder.mkdir()
    steps = [
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", store],
        ["truncate", "-s", "16m", image],
        ["mkfs.ext4", "-q", "-O", "^has_journal", image],
        ["mount", "-o", "loop", image, folder],
    ]
    done = next((done for done in (subprocess.run(step, capture_output=True) for step in steps) if done.returncode), None)
    if done:
        subprocess.run(["umount", "-l", store], capture_output=True)
        pytest.skip("a file system in a file cannot be mounted here")
    yield store, folder
    for place in (folder, store):
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.slow
def test_failing_fsync(serve, thin_disk):
    """With `--durability power` a record that the disk did not take is not acknowledged."""
    store, folder = thin_disk
    server = serve("--journal", folder / "journal", "--durability", "power")
    with server.client() as client:
        acknowledged = [client.post(CALL).value["sequence"]]
        ballast = store / "ballast"
        subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=64k"], capture_output=True)
        acknowledged += fill(client)
        assert os.statvfs(folder).f_bavail > 1000, "the file system must still promise space: then it was fsync that failed"
        assert [event for event in server.events("journal_failed") if event["error_code"] == "sync_failed"]
        refuses(client)
        ballast.unlink()
        acknowledged.append(recovers(server, client))
    assert server.stop() == 0
    assert verify(server.journal)["ok"]
    assert set(acknowledged) <= {record["sequence"] for record in records(server.journal) if "verdict" in record}


def test_file_size_limit(serve):
    """As a full disk: part of a record is written, and then an error comes."""
    server = serve(before=[sys.executable, "-c", LIMITED, "40001"], env=UNMEASURED)
    with server.client() as client:
        acknowledged = fill(client)
        refuses(client)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        acknowledged.append(recovers(server, client))
    assert server.stop() == 0
    assert verify(server.journal)["ok"]
    assert set(acknowledged) <= {record["sequence"] for record in records(server.journal)}


def test_deleted_folder(serve):
    """The next append is refused; then a new segment follows, and verification tells what is gone."""
    server = serve()
    with server.client() as client:
        client.post(ALLOWED)
        shutil.rmtree(server.journal / "serve")
        assert client.post(ALLOWED).status == 503
        sequence = recovers(server, client)
    assert server.stop() == 0
    done = gait("journal", "verify", server.journal, "--json")
    assert done.returncode == 2
    assert sequence in [record["sequence"] for record in records(server.journal)]


def test_deleted_root(serve, tmp_path):
    server = serve()
    with server.client() as client:
        client.post(ALLOWED)
        shutil.rmtree(server.journal)
        assert client.post(ALLOWED).status == 503
        refuses(client)
        server.journal.mkdir(mode=0o700)
        recovers(server, client)
    assert server.stop() == 0


def test_replaced_folder(serve, tmp_path):
    """Another chain's folder, or an older copy of this one, is not gone on with; the right one is."""
    server = serve()
    with server.client() as client:
        client.post(ALLOWED)
        shutil.copytree(server.journal / "serve", tmp_path / "copy")
        client.post(ALLOWED)
        os.rename(server.journal / "serve", tmp_path / "kept")
        os.rename(tmp_path / "copy", server.journal / "serve")
        refuses(client)
        os.rename(server.journal / "serve", tmp_path / "copy")
        os.rename(tmp_path / "kept", server.journal / "serve")
        recovers(server, client)
    assert server.stop() == 0
    assert verify(server.journal)["ok"]


def test_another_writer(serve):
    server = serve()
    with server.client() as client:
        client.post(ALLOWED)
        segment = server.journal / "serve" / "00000001.jsonl"
        size = segment.stat().st_size
        with open(segment, "ab") as other:
            other.write(b'{"verdict": "allow"}\n')
        refuses(client)
        os.truncate(segment, size)
        recovers(server, client)
    assert server.stop() == 0
    assert verify(server.journal)["ok"]


def test_read_only_file_system(serve, small_disk, tmp_path):
    """The system refuses to remount while a segment is open for writing, so this is about the start."""
    serve("--journal", small_disk / "journal").stop()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    words = ["mcp", "serve", "--policy", tmp_path / "policy.yaml", "--listen", "127.0.0.1:0", "--journal", small_disk / "journal", "--json"]
    done = gait(*words)
    assert done.returncode == 1 and b'"io_failure"' in done.stdout
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert serve("--journal", small_disk / "journal").stop() == 0


@pytest.mark.slow
def test_stopping_on_a_full_disk(serve):
    """The last record cannot be written: the exit code says so, and the next start goes on."""
    server = serve("--heartbeat", "0.05", before=[sys.executable, "-c", LIMITED, "20001"], env=UNMEASURED)
    wait_for(lambda: server.events("journal_failed"), 30)
    time.sleep(0.3)
    assert server.stop() == 1
    assert "cannot append to the segment" in server.text()
    assert serve().stop() == 0
    assert verify(server.journal)["ok"]


@pytest.mark.parametrize("option", ["--export-log-out", "--export-otel-out"])
def test_an_export_that_fails_is_no_allow(option, serve, tmp_path):
    file = tmp_path / "export.jsonl"
    server = serve(option, file)
    with server.client() as client:
        assert client.post(ALLOWED).value["verdict"] == "allow"
        file.rename(tmp_path / "rotated.jsonl")
        assert client.post(ALLOWED).value["verdict"] == "allow", "a log may be rotated at any time"
        file.unlink()
        file.symlink_to("/dev/full")
        for request in (ALLOWED, BLOCKED):
            answer = client.post(request)
            assert answer.status == 503 and "verdict" not in answer.value
        file.unlink()
        assert client.post(ALLOWED).value["verdict"] == "allow"
    assert server.stop() == 0
    assert (len(server.events("output_failed")), len(server.events("output_recovered"))) == (1, 1)
    assert len((tmp_path / "rotated.jsonl").read_bytes().splitlines()) == len(file.read_bytes().splitlines()) == 1
    assert verify(server.journal)["ok"]


def test_a_trace_folder_that_is_gone_is_no_allow(serve, tmp_path):
    server = serve("--trace-dir", tmp_path / "traces")
    with server.client() as client:
        assert Path(client.post(ALLOWED).value["trace_path"]).exists()
        shutil.rmtree(tmp_path / "traces")
        assert client.post(ALLOWED).status == 503
        (tmp_path / "traces").mkdir()
        assert client.post(ALLOWED).value["verdict"] == "allow"
    assert server.stop() == 0


def test_a_client_s_file_that_cannot_be_written_is_no_allow(serve, small_disk, tmp_path):
    server = serve("--allow-client-artifact-paths", small_disk)
    with server.client() as client:
        (small_disk / "ballast").write_bytes(b"x" * (256 * 1024 - 8192))
        answer = client.post({**ALLOWED, "run_id": "x" * 100_000, "trace_path": str(small_disk / "a.json")})
        assert (answer.status, answer.value["error_category"]) == (503, "io_failure")
        assert not (small_disk / "a.json").exists()
    assert server.stop() == 0

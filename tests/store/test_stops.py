"""The kill switch: a stop holds for every evaluator at its next decision, and only `resume` ends it."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
from pathlib import Path

import pytest

from gait.errors import InvalidInput, StorageError, VerificationFailed
from gait.gate import stops as states
from gait.signing import envelope
from gait.signing.keys import Keyring, make
from gait.store import stops
from gait.store.stops import Switch

from tests.gate.test_stops import NOW, intent_of, stop

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "300"))
RING = Keyring("trace", make(bytes(range(32))))
OTHER = Keyring("trace", make(bytes(range(1, 33))))
STOPPED = ("stopped", "stopped_tool")
INVALID = ("stopped", "stop_state_invalid")
CALL = intent_of()


@pytest.fixture
def home(tmp_path):
    return str(tmp_path / "home")


@pytest.fixture
def switch(home):
    return Switch(home, lambda: RING)


@pytest.fixture
def stopped(home, switch):
    stops.stop(home, RING, stop("tool", "bank.pay"))
    assert switch.reasons(CALL) == STOPPED
    return Path(stops.path(home))


def nothing(_):
    pass


def test_nothing_is_stopped_and_no_key_is_asked_for(home):
    assert Switch(home, lambda: pytest.fail("no key is needed")).reasons(CALL) == ()
    assert not os.path.lexists(home)


def test_stop_and_resume(home, switch):
    assert switch.reasons(CALL) == ()
    first = stops.stop(home, RING, stop("tool", "bank.pay"))
    assert switch.reasons(CALL) == STOPPED
    assert switch.reasons(intent_of(tool="other")) == ()
    second = stops.stop(home, RING, stop("identity", "ann"))
    assert switch.reasons(CALL) == ("stopped", "stopped_identity", "stopped_tool")
    third = stops.resume(home, RING, "tool", " BANK.pay", nothing)
    assert switch.reasons(CALL) == ("stopped", "stopped_identity")
    fourth = stops.resume(home, RING, "identity", "ann", nothing)
    assert switch.reasons(CALL) == ()
    assert first.sequence < second.sequence < third.sequence < fourth.sequence
    assert stops.load(home, lambda: RING) == fourth


def test_a_second_stop_of_the_same_thing_has_the_newer_reason(home, stopped):
    stops.stop(home, RING, states.make("tool", "bank.pay", "again", NOW))
    assert [entry.reason for entry in stops.load(home, lambda: RING).entries] == ["again"]


def test_a_resume_that_cannot_be_recorded_resumes_nothing(home, switch, stopped):
    def fail(_):
        raise StorageError("no journal")

    for act in (lambda: stops.resume(home, RING, "tool", "bank.pay", fail), lambda: stops.reset(home, RING, fail)):
        with pytest.raises(StorageError, match="no journal"):
            act()
        assert switch.reasons(CALL) == STOPPED


def test_what_is_not_stopped_cannot_be_resumed(home, stopped):
    with pytest.raises(InvalidInput, match=r"something that is stopped \(tool bank.pay\), got tool bank"):
        stops.resume(home, RING, "tool", "bank", nothing)
    with pytest.raises(InvalidInput, match=r"\(nothing\), got all"):
        stops.resume(home + "-new", RING, "all", "", nothing)


def test_there_is_a_limit_to_the_number_of_stops_and_all_still_fits(home, monkeypatch):
    monkeypatch.setattr(states, "MAX_STOPS", 3)
    for name in "abc":
        stops.stop(home, RING, stop("tool", name))
    with pytest.raises(InvalidInput) as caught:
        stops.stop(home, RING, stop("tool", "d"))
    assert caught.value.error_code == "too_many_stops"


# --- what an agent could try -----------------------------------------------------------------------


def edit(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def resign(path, change, ring):
    document = json.loads(path.read_text())
    del document["signature"]
    change(document)
    path.write_text(json.dumps(envelope.sign(document, ring.active, envelope.STOPS)))


def signed_for_another_purpose(path):
    document = json.loads(path.read_text())
    del document["signature"]
    document.update(stops=[], sequence=document["sequence"] + 1)
    path.write_text(json.dumps(envelope.sign(document, RING.active, envelope.TRACE)))


def turned_into_a_link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("/dev/null")


ATTACKS = {
    "deleted": lambda path: path.unlink(),
    "emptied": lambda path: path.write_text(""),
    "not json": lambda path: path.write_text("{"),
    "an array": lambda path: path.write_text("[]"),
    "a stop taken out": lambda path: edit(path, lambda document: document.update(stops=[])),
    "another tool": lambda path: edit(path, lambda document: document["stops"][0].update(value="other")),
    "the signature taken out": lambda path: edit(path, lambda document: document.pop("signature")),
    "signed by another key": lambda path: resign(path, lambda document: document.update(stops=[], sequence=2**52), OTHER),
    "signed for another purpose": signed_for_another_purpose,
    "an unknown key": lambda path: resign(path, lambda document: document.update(stops=[], more=1), RING),
    "a scope that nobody knows": lambda path: resign(path, lambda document: document["stops"][0].update(scope="tools"), RING),
    "readable by others": lambda path: path.chmod(0o644),
    "too large": lambda path: path.write_text(" " * (4 * 1024 * 1024 + 1)),
    "a folder in its place": lambda path: (path.unlink(), path.mkdir()),
    "a pipe in its place": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link in its place": turned_into_a_link,
    "the folder deleted": lambda path: shutil.rmtree(path.parent),
    "the folder moved": lambda path: path.parent.rename(path.parent.with_name("away")),
}
@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_a_state_that_is_touched_stops_every_call(home, switch, stopped, attack):
    ATTACKS[attack](stopped)
    for evaluator in (switch, Switch(home, lambda: RING)):  # one that runs, and one that starts afterwards
        for call in (CALL, intent_of(tool="other")):
            assert evaluator.reasons(call) == INVALID
    with pytest.raises(VerificationFailed) as caught:
        stops.load(home, lambda: RING)
    assert caught.value.error_code == "stop_state_invalid" and "resume --reset" in caught.value.hint
    with pytest.raises(VerificationFailed):  # a state with this stop alone would resume the others
        stops.stop(home, RING, stop("tool", "another"))


IN_ITS_PLACE = {"a folder in its place", "a pipe in its place", "a link in its place"}


@pytest.mark.parametrize("attack", sorted(IN_ITS_PLACE))
def test_reset_replaces_nothing_but_a_file(home, switch, stopped, attack):
    ATTACKS[attack](stopped)
    with pytest.raises(StorageError) as caught:
        stops.reset(home, RING, nothing)
    assert caught.value.where == str(stopped)
    assert switch.reasons(CALL) == INVALID


@pytest.mark.parametrize("attack", sorted(set(ATTACKS) - IN_ITS_PLACE))
def test_reset_is_the_way_out(home, switch, stopped, attack):
    ATTACKS[attack](stopped)
    assert switch.reasons(CALL) == INVALID
    stops.reset(home, RING, nothing)
    assert switch.reasons(CALL) == Switch(home, lambda: RING).reasons(CALL) == ()


def test_who_has_seen_a_state_misses_it(home, switch, stopped):
    shutil.rmtree(stopped.parent)
    (Path(home) / "stops.used").unlink()
    assert switch.reasons(CALL) == INVALID
    assert Switch(home, lambda: RING).reasons(CALL) == ()  # the limit that docs/limits.md states
    stops.reset(home, RING, nothing)
    assert switch.reasons(CALL) == ()


def test_a_marker_that_was_deleted_is_made_again(home, switch, stopped):
    marker = Path(home) / "stops.used"
    marker.unlink()
    assert switch.reasons(CALL) == STOPPED
    stops.stop(home, RING, stop("all"))
    assert marker.exists()


def test_an_older_state_put_back_stops_every_call(home, switch):
    stops.stop(home, RING, stop("all"))
    stops.resume(home, RING, "all", "", nothing)
    assert switch.reasons(CALL) == ()
    old = Path(stops.path(home)).read_bytes()  # genuine, and stops nothing
    stops.stop(home, RING, stop("tool", "bank.pay"))
    assert switch.reasons(CALL) == STOPPED
    Path(stops.path(home)).write_bytes(old)
    assert switch.reasons(CALL) == INVALID
    assert Switch(home, lambda: RING).reasons(CALL) == ()  # the control, and the limit that docs/limits.md states


def test_a_state_out_of_reach_for_a_moment_is_believed_again(home, switch, stopped, monkeypatch):
    monkeypatch.setattr(stops, "_load", lambda *_: (_ for _ in ()).throw(StorageError("too many open files")))
    edited = os.stat(stopped)
    os.utime(stopped, ns=(edited.st_atime_ns, edited.st_mtime_ns + 1))
    assert switch.reasons(CALL) == INVALID
    monkeypatch.undo()
    assert switch.reasons(CALL) == STOPPED


def test_no_usable_key_stops(home, stopped):
    def broken():
        raise StorageError("no key")

    assert Switch(home, broken).reasons(CALL) == INVALID


def test_the_state_is_read_again_only_when_it_has_changed(home, switch, stopped, monkeypatch):
    monkeypatch.setattr(stops, "_load", lambda *_: pytest.fail("it has not changed"))
    assert switch.reasons(CALL) == STOPPED


def test_stops_at_the_same_time_are_all_there(home):
    names = [f"tool-{number}" for number in range(8)]
    threads = [threading.Thread(target=stops.stop, args=(home, RING, stop("tool", name))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.value for entry in stops.load(home, lambda: RING).entries) == names


def test_the_files_are_private(home, stopped):
    assert (stopped.parent.stat().st_mode & 0o777, stopped.stat().st_mode & 0o777) == (0o700, 0o600)
    assert os.listdir(stopped.parent) == ["state.json"]


def test_a_file_where_the_folder_belongs(home):
    os.makedirs(home, 0o700)
    Path(home, "stops").write_text("")
    assert Switch(home, lambda: RING).reasons(CALL) == INVALID
    with pytest.raises(VerificationFailed):
        stops.stop(home, RING, stop("all"))
    with pytest.raises(StorageError):
        stops.reset(home, RING, nothing)


def mutated(rng, data):
    """The bytes of a state with a few of them changed, taken out, doubled or put in."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place, how = rng.randrange(len(found)), rng.randrange(4)
        if how == 0:
            found[place] ^= 1 << rng.randrange(8)
        elif how == 1:
            del found[place : place + rng.randint(1, 200)]
        elif how == 2:
            found[place:place] = found[place : place + rng.randint(1, 200)]
        else:
            found[place:place] = bytes(rng.choices(b'{}[]",:0 \\', k=rng.randint(1, 5)))
        found = found or bytearray(b" ")
    return bytes(found)


def test_no_mutation_of_a_state_lets_a_stopped_call_run(home, stopped):
    seed = random.randrange(2**32)
    print("seed", seed)
    rng, data = random.Random(seed), stopped.read_bytes()
    invalid = 0
    for _ in range(ROUNDS):
        changed = mutated(rng, data)
        stopped.write_bytes(changed)
        reasons = Switch(home, lambda: RING).reasons(CALL)
        assert reasons in (STOPPED, INVALID), changed
        invalid += reasons == INVALID
    assert invalid > ROUNDS * 0.8

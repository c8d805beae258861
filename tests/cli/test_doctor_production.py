"""`gait doctor --production-readiness`: each finding brought about for real, and none where all is well."""

from __future__ import annotations

import os

import pytest

from gait.gate.quotas import Quota
from gait.store.counters import Counters

from tests.cli.test_profiles import LAX, PROD, prod, words  # noqa: F401


@pytest.fixture
def doctor(cli, policy, monkeypatch, tmp_path, request):
    """The checks that are not ok, by name, under options that are good but for a change."""
    options = request.getfixturevalue("prod")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def run(*without, policy_text=PROD, **changes):
        given = words({**options, **changes}, "--profile", *without)
        path = ("--policy", policy(policy_text)) if policy_text else ()
        ran = cli("doctor", "--production-readiness", "--json", *path, *given)
        checks = ran.value["checks"]
        bad = {check["name"]: check for check in checks if check["status"] != "ok" and check["name"] != "import_path"}  # this is no process of its own
        assert all(check["status"] == "fail" and check["fix"] for check in bad.values())
        assert ran.code == (2 if [check for check in checks if check["status"] == "fail"] else 0)
        return bad

    return run


def test_all_is_well(doctor):
    assert doctor() == {}


@pytest.mark.parametrize("without, word", [("--approval-key", "approval key"), ("--credential-broker", "broker")])
def test_options(doctor, without, word):
    assert word in doctor(without)["profile"]["detail"]


def test_a_dev_key(doctor):
    assert "provisioned key" in doctor("--key-mode", "--private-key")["profile"]["detail"]


@pytest.mark.parametrize("name", ["trace", "approval"])
def test_keys_that_others_can_read(doctor, tmp_path, name):
    os.chmod(tmp_path / f"{name}.json", 0o644)
    assert "0644" in doctor()["keys"]["detail"]


def test_keys_that_are_not_there(doctor, tmp_path):
    (tmp_path / "approval.json").unlink()
    assert "keys" in doctor()


def test_policies(doctor):
    assert "rule 'r'" in doctor(policy_text=LAX)["policy_profile"]["detail"]
    assert "no policy" in doctor(policy_text="")["policy_profile"]["detail"]
    assert set(doctor(policy_text="rules: [")) == {"policy", "policy_profile"}


def test_a_home_in_the_workspace(doctor, own_home, monkeypatch):
    (own_home / "gait").mkdir(mode=0o700, exist_ok=True)
    monkeypatch.chdir(own_home)
    assert "inside the working directory" in doctor()["place"]["detail"]


def test_a_fixed_clock(doctor, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    assert "clock" in doctor()


def test_counts_of_the_future(doctor, own_home, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "4000000000")
    store = Counters(str(own_home / "gait" / "counters"))
    with store.turn() as turn:
        turn.take(Quota("k", 1))
        turn.commit()
    store.close()
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert "in the future" in doctor()["counters"]["detail"]


def test_a_store_that_is_unusable(doctor, own_home):
    (own_home / "gait").mkdir(mode=0o700, exist_ok=True)
    (own_home / "gait" / "counters").write_text("")
    assert "counters" in doctor()


def test_stops(doctor, cli, tmp_path, own_home):
    keys = ("--key-mode", "prod", "--private-key", tmp_path / "trace.json")
    assert cli("stop", "--scope", "tool", "x", "--reason", "r", *keys).code == 0
    assert doctor()["stops"]["detail"] == "stopped: tool x"
    (own_home / "gait" / "stops" / "state.json").unlink()
    assert "cannot be believed" in doctor()["stops"]["detail"]


def test_without_the_option_nothing_changes(cli, home):
    names = {check["name"] for check in cli("doctor", "--json").value["checks"]}
    assert not names & {"profile", "counters", "stops", "place"} and not (home / "counters").exists()

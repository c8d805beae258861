"""`gait doctor`: what it prints and exits with; the checks themselves are in tests/test_doctor.py."""

from __future__ import annotations

from pathlib import Path

QUICKSTART = Path(__file__).resolve().parents[2] / "fixtures" / "quickstart"


def test_a_sound_installation(process, home):
    ran = process("doctor", "--policy", QUICKSTART / "policy.yaml")
    assert ran.code == 0 and ran.err == ""
    assert [line.split()[:2] for line in ran.out.splitlines()] == [
        ["ok", name] for name in ("python", "import_path", "home", "dev_key", "clock", "policy")
    ]
    assert len({line.index(line.split(None, 2)[2]) for line in ran.out.splitlines()}) == 1  # one column
    assert not (home / "keys").exists() and list(home.iterdir()) == []


def test_json_is_stable(cli):
    value = cli("doctor", "--json").value
    assert list(value) == ["ok", "checks"] and value["ok"] is True
    assert all(list(check) == ["name", "status", "detail", "fix"] for check in value["checks"])
    assert [check["name"] for check in value["checks"]] == ["python", "import_path", "home", "dev_key", "clock"]


def test_a_failure_says_what_to_do(cli, home):
    home.write_text("")
    ran = cli("doctor")
    line = next(number for number, text in enumerate(ran.out.splitlines()) if text.startswith("fail  home "))
    assert ran.code == 2 and ran.out.splitlines()[line + 1].startswith("      fix: ")
    ran = cli("doctor", "--json")
    assert ran.code == 2 and ran.value["ok"] is False


def test_a_policy_that_is_not_valid(cli, policy):
    path = policy("default_verdict: block\nrules: [{name: a, efect: block}]\n")
    ran = cli("doctor", "--policy", path)
    assert ran.code == 2 and f"{path}:2:" in ran.out and "fail  policy " in ran.out and "fix: " in ran.out
    assert cli("doctor", "--policy", "-", stdin="default_verdict: block\n").code == 0
    assert cli("doctor", "--policy", path.parent / "missing").code == 2

"""The store of approvals: what is found in it, and what becomes of files that are not as they should be."""

from __future__ import annotations

import os

import pytest

from gait.errors import InvalidInput, StorageError
from gait.store.approvals import Approvals, named

TOKEN = {"token_id": "a" * 24, "intent_digest": "d" * 64, "expires_at": "2999-01-01T00:00:00Z"}
GRANT = {"grant_id": "b" * 24, "tool_name": "../../ü"}


@pytest.fixture
def store(tmp_path):
    return Approvals(str(tmp_path / "approvals"))


def test_nothing_is_there_and_nothing_is_made(store):
    assert store.tokens(("d" * 64,)) == store.grants("pay") == list(store.all()) == []
    assert not store.is_revoked("a" * 24) and not os.path.exists(store.folder)


def test_what_is_kept_is_found_by_its_call_and_its_tool_alone(store):
    store.save_token(TOKEN)
    store.save_grant(GRANT)
    assert [kept.value for kept in store.tokens(("e" * 64, "d" * 64))] == [TOKEN] and store.tokens(("e" * 64,)) == []
    assert [kept.id for kept in store.grants(GRANT["tool_name"])] == ["b" * 24] and store.grants("pay") == []
    assert os.stat(store.folder).st_mode & 0o777 == 0o700
    assert {kept.kind for kept in store.all()} == {"tokens", "grants"}
    assert store.find("b" * 24).value == GRANT
    with pytest.raises(InvalidInput):
        store.find("c" * 24)


def test_tokens_of_the_call_that_are_over_go_and_strangers_stay(store):
    store.save_token({**TOKEN, "token_id": "b" * 24, "expires_at": "2020-01-01T00:00:00Z"})
    for name, text in (("c" * 24, '{"expires_at": "whenever"}'), ("d" * 24, "[]"), ("e" * 24, "{")):
        (store_file(store, name)).write_text(text)
    store.save_token(TOKEN)
    assert sorted(kept.id[0] for kept in store.tokens(("d" * 64,))) == ["a", "c", "d", "e"]


def store_file(store, name):
    from pathlib import Path

    return Path(store.folder, "tokens", "d" * 64, f"{name}.json")


def test_a_revocation_that_cannot_be_read_revokes(store):
    path = store.revoke("a" * 24, "carol", "mistake")
    with open(path, "w"):
        pass
    assert store.is_revoked("a" * 24) and not store.is_revoked("b" * 24)


def test_where_revocations_cannot_be_looked_for_everything_is_revoked(store):
    store.save_token(TOKEN)
    assert not store.is_revoked("a" * 24)  # the control
    open(os.path.join(store.folder, "revoked"), "w").close()
    assert store.is_revoked("a" * 24)


def test_grants_of_the_tool_that_are_over_do_not_add_up(store):
    for number in range(70):
        store.save_grant({**GRANT, "grant_id": f"{number:024x}", "expires_at": "2020-01-01T00:00:00Z"})
    store.save_grant({**GRANT, "expires_at": "2999-01-01T00:00:00Z"})
    assert [kept.id for kept in store.grants(GRANT["tool_name"])] == ["b" * 24]


def test_a_folder_that_cannot_be_listed_is_an_error(store):
    os.makedirs(os.path.join(store.folder, "tokens"))
    open(os.path.join(store.folder, "tokens", "d" * 64), "w").close()
    with pytest.raises(StorageError) as caught:
        store.tokens(("d" * 64,))
    assert caught.value.error_code == "approvals_unreadable"


@pytest.mark.parametrize(
    "text, expected",
    [("k.json", ("", "k.json")), ("bob=k.json", ("bob", "k.json")), ("./a=b", ("", "./a=b")), (" bob =/a=b", ("bob", "/a=b")), ("VAR", ("", "VAR"))],
)
def test_a_name_before_a_place(text, expected):
    assert named(text) == expected

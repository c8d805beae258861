"""Catalog: what a lock bars, before and after lists that come whole, in pages, in parallel, or with look-alikes."""

from __future__ import annotations

import json
import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from gait.mcp.catalog import AMBIGUOUS, CHANGED, MAX_PAGES, NOT_IN_LOCK, UNSEEN, Catalog, next_cursor, request
from gait.mcp.listing import pinned_tools
from gait.mcp.lock import MAX_TOOLS, ServerLock
from gait.mcp.names import folded

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "300"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "7"))


def tool(name: str, description: str = "good") -> dict:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}}


def page(*tools: object, following: object = None) -> dict:
    return {"tools": list(tools)} if following is None else {"tools": list(tools), "nextCursor": following}


def catalog(*names: str) -> Catalog:
    return Catalog(ServerLock("s", pinned_tools([tool(name) for name in names])))


def names(result: dict | None) -> list[str] | None:
    return None if result is None else [entry["name"] for entry in result["tools"]]


def test_without_lock_and_filter_nothing_is_read():
    one = Catalog(None)
    assert not one.needs_list and not one.must_ask and one.bars("anything") == ""
    assert one.learn({"tools": "odd"}) is None


def test_until_a_whole_list_came_nothing_is_free():
    one = catalog("a", "b")
    assert one.needs_list and one.must_ask and one.bars("a") == UNSEEN and one.bars("c") == NOT_IN_LOCK
    assert one.learn(page(tool("a"), tool("b"))) is None
    assert not one.must_ask and one.bars("a") == one.bars("b") == "" and one.bars("c") == NOT_IN_LOCK


def test_changed_new_and_renamed_definitions_are_barred_and_not_shown():
    one = catalog("a", "b", "c")
    result = {"tools": [tool("a"), tool("b", "evil"), tool("c2"), tool("new")], "ttl": 5}
    assert one.learn(result) == {"tools": [tool("a")], "ttl": 5}
    assert [one.bars(name) for name in ("a", "b", "c", "c2", "new")] == ["", CHANGED, UNSEEN, NOT_IN_LOCK, NOT_IN_LOCK]


@pytest.mark.parametrize("member", ["title", "icons", "_meta", "outputSchema", "execution", "whatever"])
def test_every_member_of_a_definition_counts(member: str):
    one = catalog("a")
    one.learn(page({**tool("a"), member: {}}))
    assert one.bars("a") == CHANGED


def test_the_last_list_counts_and_bad_news_at_once():
    one = catalog("a", "b")
    one.learn(page(tool("a"), tool("b")))
    assert names(one.learn(page(tool("a", "evil"), following="2"))) == [] and one.bars("a") == CHANGED
    assert one.learn(page(tool("a"), following="2")) is None and one.bars("a") == CHANGED  # good news waits for the last page
    assert one.learn(page(tool("b")), "2") is None and one.bars("a") == ""


def test_pages():
    one = catalog("a", "b", "c")
    for cursor, name, following in (("", "a", "2"), ("2", "b", "3")):
        assert one.learn(page(tool(name), following=following), cursor) is None
        assert one.must_ask and one.bars(name) == UNSEEN
    assert one.learn(page(tool("c")), "3") is None
    assert not one.must_ask and [one.bars(name) for name in "abc"] == ["", "", ""]


def test_a_page_that_nobody_leads_to_sets_nothing_free():
    one = catalog("a", "b")
    assert one.learn(page(tool("a")), "made up") is None
    assert one.must_ask and one.bars("a") == UNSEEN
    assert names(one.learn(page(tool("a", "evil")), "made up")) == [] and one.bars("a") == CHANGED


def test_a_cursor_that_is_not_text_ends_no_list():
    one = catalog("a")
    for odd in (1, True, {}, ["2"]):
        one.learn(page(tool("a"), following=odd))
        assert one.must_ask and one.bars("a") == UNSEEN
    one.learn({"tools": [tool("a")], "nextCursor": ""})
    assert one.bars("a") == ""


def test_a_cursor_that_leads_to_itself_ends_nowhere():
    one = catalog("a")
    one.learn(page(tool("a"), following="x"))
    for index in range(MAX_PAGES + 5):
        one.learn(page(tool(f"t{index}"), following="x"), "x")
    one.learn(page(), "x")
    assert one.must_ask and one.bars("a") == UNSEEN


def test_too_many_tools_are_no_list():
    one = catalog("a")
    result = one.learn(page(tool("a"), *(tool(f"t{index}") for index in range(MAX_TOOLS))))
    assert names(result) == ["a"] and one.bars("a") == UNSEEN


@pytest.mark.parametrize("other", ["a_b", "A_b", "ａ_b", "a\u200b_b", " a_b", "a_b\t", "ⓐ_b"])
@pytest.mark.parametrize("pages", [1, 2])
def test_look_alikes_are_both_barred(other: str, pages: int):
    one = catalog("a_b", "c")
    if pages == 1:
        assert names(one.learn(page(tool("c"), tool("a_b"), tool(other)))) == ["c"]
    else:
        one.learn(page(tool("c"), tool("a_b"), following="2"))
        assert names(one.learn(page(tool(other)), "2")) == []
    assert one.bars("c") == "" and one.bars("a_b") == AMBIGUOUS and (other == "a_b" or one.bars(other) == NOT_IN_LOCK)
    one.learn(page(tool("a_b"), tool("c")))
    assert one.bars("a_b") == ""


@pytest.mark.parametrize("odd", [None, 1, "a", [], {}, {"name": 1}, {"name": ""}, {"name": "a", "x": float("nan")}, {"name": "a", "d": "\ud800"}])
def test_entries_that_cannot_be_read_are_not_shown(odd: object):
    one = catalog("a")
    assert names(one.learn(page(odd))) == []
    assert one.bars("a") in (UNSEEN, CHANGED)


def test_a_list_that_is_none():
    one = catalog("a")
    assert one.learn({"tools": {"a": 1}, "x": 1}) == {"tools": [], "x": 1} and one.learn({}) is None
    assert one.must_ask


def test_forget():
    one = catalog("a")
    one.learn(page(tool("a")))
    one.learn(page(tool("a"), following="2"))
    one.forget()
    assert one.must_ask and one.bars("a") == UNSEEN
    one.learn(page(), "2")
    assert one.must_ask


def test_a_filter_hides_and_bars_nothing():
    one = Catalog(None, lambda name: name.startswith("w"))
    assert one.needs_list and not one.must_ask
    assert one.learn(page(tool("read"), "odd", tool("write"))) == {"tools": [tool("read"), "odd"]}
    assert one.learn(page(tool("read"))) is None and one.bars("write") == ""


def test_a_filter_and_a_lock():
    one = Catalog(catalog("a", "w")._lock, lambda name: name == "w")
    assert names(one.learn(page(tool("a"), tool("w"), tool("new")))) == ["a"] and one.bars("w") == ""


def test_an_empty_lock_bars_everything():
    one = Catalog(ServerLock("s", {}))
    assert one.needs_list and names(one.learn(page(tool("a")))) == [] and one.bars("a") == NOT_IN_LOCK


def test_memory_is_bounded_by_the_lock():
    one = catalog("a")
    for index in range(300):
        one.learn(page(tool(f"x{index}"), following=f"c{index}"))
    assert len(one._runs) <= 64 and set(one._known) <= {"a"}


def test_own_requests():
    value = json.loads(request("gait-1", "c", {"k": 1}))
    assert value == {"jsonrpc": "2.0", "id": "gait-1", "method": "tools/list", "params": {"cursor": "c", "_meta": {"k": 1}}}
    assert json.loads(request("x"))["params"] == {} and b"\n" not in request("x", "a\nb")
    assert [next_cursor(value) for value in ({}, {"nextCursor": None}, {"nextCursor": "x"}, {"nextCursor": 1})] == ["", "", "x", None]


def test_free_means_that_the_last_whole_list_showed_it_as_pinned():
    """Random lists, cut in random pages, some of them never finished."""
    source = random.Random(SEED)
    free = barred = 0
    for _ in range(ROUNDS):
        one = catalog("a", "b", "c")
        expected = dict.fromkeys("abc", False)
        for run in range(4):
            tools = [tool(source.choice("abcdA"), source.choice(("good", "good", "good", "evil"))) for _ in range(source.randrange(5))]
            cuts = sorted(source.sample(range(len(tools) + 1), min(len(tools), source.randrange(3))))
            pages = [tools[start:end] for start, end in zip([0, *cuts], [*cuts, len(tools)])]
            pages = pages[: source.randrange(1, len(pages) + 1)] if source.random() < 0.3 else pages
            whole = sum(map(len, pages)) == len(tools) and len(pages) == len(cuts) + 1
            for index, part in enumerate(pages):
                following = f"{run}-{index + 1}" if index < len(cuts) else None
                shown = one.learn(page(*part, following=following), f"{run}-{index}" if index else "")
                assert all(entry in (tool("a"), tool("b"), tool("c")) for entry in (part if shown is None else shown["tools"])), SEED
            listed = [entry for part in pages for entry in part]
            for name in "abc":
                alike = [entry for entry in listed if folded(entry["name"]) == name]
                if alike and alike != [tool(name)] and any(entry["name"] == name for entry in alike):
                    expected[name] = False
                elif whole and alike == [tool(name)]:
                    expected[name] = True
            for name in "abc":
                assert (one.bars(name) == "") == expected[name], (SEED, run, name, pages)
                free += expected[name]
                barred += not expected[name]
    assert min(free, barred) > ROUNDS, (SEED, free, barred)


def test_threads():
    """Whatever the order: when the last list that anybody takes in is good, every tool is free; a bad one is never lost."""
    one = catalog("a", "b")

    def session(number: int) -> None:
        for index in range(50):
            one.learn(page(tool("a"), following=f"{number}-{index}"))
            one.learn(page(tool("b")), f"{number}-{index}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(session, range(4)))
    assert one.bars("a") == one.bars("b") == "" and not one._runs

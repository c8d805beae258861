"""Delta debugging over steps."""

from __future__ import annotations

import random

import pytest

from gait.errors import InvalidInput
from gait.runpack import reduce

from tests.runpack import sample


@pytest.mark.parametrize("pair", [(50, 250), (0, 299), (148, 149), (149, 150), (298, 299)])
def test_of_300_steps_the_offending_pair_remains(pair):
    found = reduce.reduce(300, lambda part: set(pair) <= set(part))
    assert found.kept == pair and found.minimal and 0 < found.evaluations < 400


def test_what_remains_shows_it_and_nothing_of_it_can_go():
    rnd = random.Random(1)
    for _ in range(60):
        wanted = {rnd.randrange(40) for _ in range(rnd.randrange(6))}

        def test(part):
            return wanted <= set(part) or (len(part) % 7 == 3 and 5 in part)

        try:
            found = reduce.reduce(40, test)
        except InvalidInput:
            continue
        assert test(found.kept) and found.minimal
        assert not any(test([item for item in found.kept if item != gone]) for gone in found.kept) or not found.kept


def test_a_run_that_does_not_show_it():
    with pytest.raises(InvalidInput) as caught:
        reduce.reduce(10, lambda part: False)
    assert caught.value.error_code == "predicate_not_shown"


def test_evaluations_are_bounded():
    found = reduce.reduce(300, lambda part: {3, 100, 200, 290} <= set(part), max_evaluations=10)
    assert found.evaluations == 10 and not found.minimal and {3, 100, 200, 290} <= set(found.kept)


@pytest.mark.parametrize(
    "words, kept",
    [
        (["verdict=block"], (2,)),
        (["tool=tool.write>tool.read"], (1, 3)),
        (["tool=tool.write", "verdict=block"], (1, 2)),
        (["verdict=allow,status=ok", "tool=tool.delete,verdict=block"], (0, 2)),
        (["reason=matched_rule_reads"], (0,)),
        (["rule=writes"], (1,)),
        (["verdict=block", "verdict=block"], (2, 5)),
    ],
)
def test_predicates(words, kept):
    features = reduce.features(sample.steps(sample.made(6)))
    found = reduce.reduce(6, reduce.shows(features, reduce.read(words)))
    assert len(found.kept) == len(kept) and reduce.shows(features, reduce.read(words))(kept)


@pytest.mark.parametrize("word", ["", "verdict", "verdict=", "color=red", "verdict=block,", "tool=a,b"])
def test_words(word):
    with pytest.raises(InvalidInput):
        reduce.read([word])

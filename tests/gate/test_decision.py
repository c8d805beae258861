"""Verdicts: their order and their exit codes."""

from __future__ import annotations

from itertools import product

import pytest

from gait.gate.decision import EXIT_CODES, VERDICTS, Decision, stricter


def test_only_allow_is_0():
    assert EXIT_CODES == {"allow": 0, "block": 3, "require_approval": 4, "dry_run": 9}
    assert set(EXIT_CODES) == set(VERDICTS)
    for verdict in VERDICTS:
        assert Decision(verdict, (), (), "", "p", "i").exit_code == EXIT_CODES[verdict]


def test_the_order_of_verdicts():
    assert VERDICTS == ("allow", "dry_run", "require_approval", "block")
    for left, right in product(VERDICTS, VERDICTS):
        assert stricter(left, right) == stricter(right, left) == VERDICTS[max(VERDICTS.index(left), VERDICTS.index(right))]
        assert stricter(left, "") == left


def test_a_word_that_is_no_verdict_is_never_the_stricter_one():
    with pytest.raises(ValueError):
        stricter("allow", "deny")

"""Token buckets against the arithmetic, with a clock of the test's own."""

from __future__ import annotations

from tutelage.web import limits
from tutelage.web.limits import Limiter, Rule


def test_a_burst_then_the_rate() -> None:
    now = 0.0
    limiter = Limiter(lambda: now)
    rule = Rule(burst=3, rate=0.5)
    assert [limiter.wait("submit", "ada", rule) for _ in range(3)] == [0, 0, 0]
    assert limiter.wait("submit", "ada", rule) == 2.0  # one token at half a token a second
    now = 1.0
    assert limiter.wait("submit", "ada", rule) == 1.0
    now = 2.0
    assert limiter.wait("submit", "ada", rule) == 0
    now = 1000.0
    assert [limiter.wait("submit", "ada", rule) == 0 for _ in range(4)] == [True, True, True, False]


def test_everybody_has_a_bucket_of_their_own() -> None:
    limiter = Limiter(lambda: 0.0)
    rule = Rule(burst=1, rate=1)
    assert limiter.wait("submit", "ada", rule) == 0
    assert limiter.wait("submit", "bob", rule) == 0
    assert limiter.wait("sign-in", "ada", rule) == 0
    assert limiter.wait("submit", "ada", rule) == 1.0


def test_a_flood_of_names_is_forgotten_the_oldest_first() -> None:
    limiter = Limiter(lambda: 0.0)
    rule = Rule(burst=1, rate=1)
    for number in range(limits.MOST + 10):
        limiter.wait("sign-in", str(number), rule)
    assert len(limiter._buckets) == limits.MOST
    assert limiter.wait("sign-in", str(limits.MOST + 9), rule) == 1.0
    assert limiter.wait("sign-in", "0", rule) == 0


def test_what_was_in_order_gives_its_token_back_and_no_more_than_the_burst() -> None:
    limiter = Limiter(lambda: 0.0)
    rule = Rule(burst=2, rate=1)
    limiter.give_back("sign-in", "office", rule)  # nothing was taken
    for _ in range(10):
        assert limiter.wait("sign-in", "office", rule) == 0
        limiter.give_back("sign-in", "office", rule)
    limiter.give_back("sign-in", "office", rule)
    assert [limiter.wait("sign-in", "office", rule) for _ in range(3)] == [0, 0, 1.0]

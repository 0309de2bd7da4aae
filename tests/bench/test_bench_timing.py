"""How calls are timed inside a worker, with a clock that only the calls move."""

import pytest

from minisparse.bench.worker import time_calls


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def call(self, costs):
        """Return a function whose calls cost so many seconds; the last cost repeats."""
        costs = list(costs)

        def call():
            self.now += costs.pop(0) if len(costs) > 1 else costs[0]
            call.count += 1

        call.count = 0
        return call


@pytest.mark.parametrize("seconds_each", [1e-6, 1e-4, 3e-3])
def test_the_time_of_a_call(seconds_each):
    clock = Clock()
    call = clock.call([seconds_each])
    timing = time_calls(call, 0.1, clock)
    assert timing.seconds == pytest.approx(seconds_each, rel=1e-3)
    assert 0.09 < timing.calls * seconds_each < 0.13  # about what was asked for
    assert call.count == timing.calls + 3  # the calls before are not counted


def test_a_first_call_that_is_slow_does_not_count():
    clock = Clock()
    assert time_calls(clock.call([0.05, 1e-3]), 0.1, clock).seconds == pytest.approx(1e-3)


def test_a_disturbance_does_not_count():
    clock = Clock()
    call = clock.call([1e-3] * 20 + [0.05] + [1e-3])
    assert time_calls(call, 0.1, clock).seconds == pytest.approx(1e-3)


def test_a_slow_call_is_made_once():
    clock = Clock()
    call = clock.call([2.0])
    timing = time_calls(call, 0.1, clock)
    assert (timing.seconds, timing.calls, call.count) == (2.0, 1, 1)

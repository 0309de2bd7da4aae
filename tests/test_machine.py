"""What others do on the machine, as /proc/stat tells it."""

import pytest

from minisparse.machine import Neighbours, least_used


class FakeMachine:
    """Two cores; others use a share of the second, in hundredths of a second as /proc/stat counts.

    The first one is always busy.
    """

    def __init__(self, path, shares):
        self.path, self.shares = path, list(shares)
        self.now, self.ticks = 0.0, 1000
        self.busy = 1000
        self.write()

    def write(self):
        cores = {"0": [self.ticks, 0], "1": [self.busy, self.ticks - self.busy]}
        cores[" "] = [sum(each) for each in zip(*cores.values(), strict=True)]
        self.path.write_text(
            "".join(f"cpu{n} {busy} 0 0 {idle} 0 0 0 0 0 0\n" for n, (busy, idle) in cores.items())
            + "intr 1 2 3\n"
        )

    def sleep(self, seconds):
        share = self.shares.pop(0) if len(self.shares) > 1 else self.shares[0]
        self.now += seconds
        self.ticks += round(100 * seconds)
        self.busy += round(100 * seconds * share)
        self.write()

    def neighbours(self, **limits):
        made = Neighbours(stat=self.path, clock=lambda: self.now, sleep=self.sleep, **limits)
        made.watch_cores([1])
        return made


def test_it_waits_until_others_are_quiet(tmp_path):
    machine = FakeMachine(tmp_path / "stat", [0.8, 0.4, 0.2, 0.0, 0.8])
    machine.neighbours(per_wait=10).wait()
    assert machine.shares == [0.8]  # four looks


def test_it_does_not_wait_for_ever(tmp_path):
    machine = FakeMachine(tmp_path / "stat", [0.9])
    neighbours = machine.neighbours(per_wait=1.0, in_all=2.5)
    for expected in (1.0, 2.0, 2.5, 2.5):
        neighbours.wait()
        assert machine.now == pytest.approx(expected, abs=0.051)


def test_the_share_of_others_is_without_our_own(tmp_path):
    machine = FakeMachine(tmp_path / "stat", [0.75])
    others = machine.neighbours().watch()
    machine.sleep(10.0)
    assert others(2.5) == pytest.approx(0.5)  # of 10 seconds 7.5 were used, 2.5 by ourselves


def test_all_cores_count_where_all_are_used(tmp_path):
    machine = FakeMachine(tmp_path / "stat", [0.4])
    neighbours = machine.neighbours()
    neighbours.watch_cores([])
    others = neighbours.watch()
    machine.sleep(10.0)
    assert others(0.0) == pytest.approx(0.7)  # 10 + 4 of 20 seconds


def test_the_quietest_core_comes_first(tmp_path):
    stat = tmp_path / "stat"
    machine = FakeMachine(stat, [0.4])
    assert least_used([0, 1], stat, sleep=lambda _: machine.sleep(1.0)) == [1, 0]


def test_where_nothing_is_known_nothing_is_waited_for(tmp_path):
    slept = []
    neighbours = Neighbours(stat=tmp_path / "none", sleep=slept.append)
    neighbours.wait()
    assert not slept
    assert neighbours.watch()(0.0) == 0.0
    assert least_used({0, 1, 2}, tmp_path / "none") == [2, 1, 0]

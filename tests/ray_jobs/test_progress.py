import pytest

from ray_jobs.progress import Progress
from tests.ray_jobs.screens import Screen


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def progress(clock: Clock, total: int = 20_000, **settings: int) -> Progress:
    return Progress(total, clock=clock, output=Screen(is_terminal=False), **settings)


def test_the_line_has_rates_time_left_and_rejects(clock: Clock) -> None:
    shown = progress(clock)
    clock.now += 20
    shown.add(12_800, seconds_of_audio=20 * 1.9 * 3600, rejected=37)
    assert shown.line() == "preparing  12,800/20,000 rows  640 rows/s  1.9 h/s  0:11 left  37 rejected"


def test_before_the_first_row_no_rate_is_known(clock: Clock) -> None:
    shown = progress(clock)
    assert shown.line() == "preparing  0/20,000 rows  0 rejected"
    clock.now += 5
    assert shown.line() == "preparing  0/20,000 rows  0 rejected"


def test_rates_are_those_of_the_last_minute(clock: Clock) -> None:
    shown = progress(clock)
    for _ in range(100):
        clock.now += 1
        shown.add(100, seconds_of_audio=3600)
    for _ in range(60):
        clock.now += 1
        shown.add(10, seconds_of_audio=60)
    assert shown.line() == "preparing  10,600/20,000 rows  10 rows/s  1 min/s  15:40 left  0 rejected"


def test_a_job_that_stands_still_becomes_slower_and_has_no_time_left(clock: Clock) -> None:
    shown = progress(clock)
    clock.now += 30
    shown.add(6_000)
    assert "200 rows/s" in shown.line()
    clock.now += 30
    assert "100 rows/s" in shown.line()
    clock.now += 3600
    assert shown.line() == "preparing  6,000/20,000 rows  0 rows/s  0 s/s  0 rejected"


def test_many_small_counts_are_all_added_up(clock: Clock) -> None:
    shown = progress(clock)
    for _ in range(10_000):
        clock.now += 0.001
        shown.add(1, seconds_of_audio=0.5)
    assert shown.line() == "preparing  10,000/20,000 rows  1,000 rows/s  0.14 h/s  0:10 left  0 rejected"


def test_long_times_have_hours(clock: Clock) -> None:
    shown = progress(clock, total=1_000_000)
    clock.now += 10
    shown.add(100)
    assert "27:46:30 left" in shown.line()


def test_a_resumed_job_names_what_was_done_before_and_its_own_rate(clock: Clock) -> None:
    shown = progress(clock, total=1_000, done_before=400)
    assert shown.line() == "preparing  400/1,000 rows (400 before)  0 rejected"
    clock.now += 10
    shown.add(100, seconds_of_audio=500)
    assert shown.line() == "preparing  500/1,000 rows (400 before)  10 rows/s  0.83 min/s  0:50 left  0 rejected"


def test_the_last_line_has_the_totals(clock: Clock) -> None:
    output = Screen(is_terminal=False)
    with Progress(300, name="speaking", done_before=100, clock=clock, output=output) as shown:
        clock.now += 100
        shown.add(200, seconds_of_audio=7200, rejected=3)
    assert output.getvalue().splitlines() == [
        "speaking  100/300 rows (100 before)  0 rejected",
        "speaking  300/300 rows (100 before) in 1:40  2 rows/s  1.2 min/s  2.00 h of audio  3 rejected",
    ]


def test_a_job_that_fails_shows_how_far_it_came(clock: Clock) -> None:
    output = Screen(is_terminal=False)
    shown = Progress(300, clock=clock, output=output)

    def fail() -> None:
        with shown:
            clock.now += 10
            shown.add(20)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert output.getvalue().splitlines()[-1].startswith("preparing  20/300 rows in 0:10")


def test_a_terminal_has_one_line(clock: Clock) -> None:
    output = Screen(is_terminal=True)
    with Progress(3, clock=clock, output=output) as shown:
        clock.now += 1
        shown.add(3)
    assert output.getvalue().count("\n") == 1

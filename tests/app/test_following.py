"""What a run looks like while it goes on: recorded news, on a terminal and in a log."""

import io
import re
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console

from deployments.demo import STAGES
from deployments.following.live import LiveScreen
from deployments.following.news import RunNews, TaskNews, task_of
from deployments.following.pace import Pace
from deployments.following.plain import PlainScreen
from deployments.following.screen import choose_screen
from deployments.following.silence import SECONDS_TO_START, SECONDS_TO_WORK, Silence
from deployments.following.words import in_time
from lesion_core.progress import Progress

_CURSOR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _task(task: str, status: str = "running", **more: object) -> TaskNews:
    number = more.pop("number", 1)
    fields = {"id": f"{task}-{number}", "task": task, "name": f"{task}-a1b", "status": status, **more}
    return TaskNews(**fields)  # type: ignore[arg-type]


def _training(done: int, stage: str = "training", total: int = 1000, **more: object) -> TaskNews:
    news = Progress(stage=stage, done=done, total=total, message="epoch 3/8")
    return _task("train-model", name="train-model isic-cpu", what="isic-cpu", progress=news, seconds=done, **more)


def _live(width: int = 110, **environment: str) -> tuple[LiveScreen, _Clock, Callable[[], str]]:
    terminal, clock = io.StringIO(), _Clock()
    console = Console(
        file=terminal, force_terminal=True, width=width, height=30, _environ={"TERM": "xterm", **environment}
    )
    return LiveScreen(console, STAGES, clock), clock, terminal.getvalue


def _frames(text: str) -> list[str]:
    """Return what was drawn, without colours and cursor movements, line by line."""
    return [line.rstrip() for line in _CURSOR.sub("", text).replace("\r", "\n").split("\n") if line.strip()]


def _plain() -> tuple[PlainScreen, _Clock, Callable[[], list[str]]]:
    log, clock = io.StringIO(), _Clock()
    console = Console(file=log, force_terminal=False, soft_wrap=True, highlight=False)
    return PlainScreen(console, STAGES, clock), clock, lambda: log.getvalue().splitlines()


def _follow(screen: LiveScreen | PlainScreen, clock: _Clock, course: Sequence[tuple[float, list[TaskNews]]]) -> None:
    with screen:
        for at, tasks in course:
            clock.now = at
            screen.show(RunNews("Running", tuple(tasks)))
            if isinstance(screen, LiveScreen):
                screen._progress.refresh()


def _steady_training() -> list[tuple[float, list[TaskNews]]]:
    """Two steps a second, looked at every second, then the stages after it."""
    course: list[tuple[float, list[TaskNews]]] = [(float(at), [_training(2 * at)]) for at in range(501)]
    for number, stage in enumerate(("export", "parity check", "calibration")):
        start = 501 + 60 * number
        course += [(float(start + at), [_training(at, stage=stage, total=60)]) for at in range(60)]
    return [*course, (700.0, [_training(0, status="done")])]


def test_a_terminal_shows_stage_share_count_rate_and_time_left() -> None:
    screen, clock, text = _live()
    _follow(screen, clock, _steady_training()[:250])
    line = next(line for line in reversed(_frames(text())) if "train isic-cpu · training" in line)
    assert "50 %  498/1,000  2.0/s  about 4 min left" in line
    assert "epoch 3/8" in line


def test_the_stages_after_the_steps_are_shown_too_and_start_at_nothing() -> None:
    screen, clock, text = _live()
    _follow(screen, clock, _steady_training())
    frames = _frames(text())
    for stage in ("export", "parity check", "calibration"):
        shown = [line for line in frames if f"· {stage} " in line]
        assert re.search(r"\b0 %  0/60", shown[0]), shown[0]
        assert any("50 %  30/60" in line for line in shown)


def test_a_finished_stage_stays_as_a_line_with_its_seconds_and_the_moving_lines_go() -> None:
    screen, clock, text = _live()
    _follow(screen, clock, _steady_training())
    frames = _frames(text())
    assert [line for line in frames if "✓" in line] == ["  ✓ train isic-cpu             0.0 s   isic-cpu"]
    assert screen._lines == {}


def test_tasks_side_by_side_have_a_line_each_and_a_subflows_stand_below_it() -> None:
    screen, clock, text = _live()
    ingest = _task("ingest")
    shards = [
        _task("fetch-shard", number=n, parent=ingest.id, what=f"Images, part {n} of 9",
              progress=Progress(stage="download", done=100 * n, total=1000))
        for n in (1, 2)
    ]  # fmt: skip
    done = _task("list-archive", "done", parent=ingest.id)
    _follow(screen, clock, [(0.0, [ingest, done, *shards]), (1.0, [ingest, done, *shards])])
    last = _frames(text())[-3:]
    assert "ingest" in last[0]
    assert "   Images, part 1 of 9 · download" in last[1]
    assert "10 %  100/1,000" in last[1]
    assert "   Images, part 2 of 9 · download" in last[2]
    assert not any("✓" in line for line in _frames(text()))  # parts of a stage leave no line of their own


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_live_line_fits_the_terminal(width: int) -> None:
    screen, clock, text = _live(width)
    _follow(screen, clock, _steady_training()[:60])
    assert all(len(line) <= width for line in _frames(text()))


def test_no_color_is_honoured_and_the_lines_still_move() -> None:
    screen, clock, text = _live(NO_COLOR="1")
    _follow(screen, clock, _steady_training()[:60])
    colours = re.findall(r"\x1b\[([0-9;]*)m", text())
    assert not [code for code in colours if re.search(r"(^|;)(3[0-8]|4[0-8]|9[0-7])(;|$)", code)]
    assert "118/1,000" in _CURSOR.sub("", text())


def test_what_did_not_go_well_is_shown_as_what_it_is_and_once() -> None:
    for screen, clock, read in (_live(), _plain()):
        course = [
            (0.0, [_training(5)]),
            (1.0, [_training(5, status="retrying")]),
            (2.0, [_training(5, attempt=2)]),
            (3.0, [_training(5, attempt=2)]),
            (4.0, [_training(5, attempt=2, status="failed", message="The train process was ended by SIGKILL.")]),
            (5.0, [_training(5, attempt=2, status="failed"), _task("decide-gate", "cancelled")]),
        ]
        _follow(screen, clock, course)
        found = read()
        frames = _frames(found) if isinstance(found, str) else found
        assert [line for line in frames if "↻" in line] == [
            "  ↻ train isic-cpu         is tried again soon, after attempt 1"
        ]
        assert [line for line in frames if "✗" in line] == [
            "  ✗ train isic-cpu             5.0 s   failed: The train process was ended by SIGKILL."
        ]
        assert [line for line in frames if "–" in line] == ["  – gate                       0.0 s   cancelled"]
        assert not any("✓" in line for line in frames)


def test_a_log_gets_few_lines_none_of_which_moves_the_cursor() -> None:
    screen, clock, lines = _plain()
    _follow(screen, clock, _steady_training())
    assert lines()[0] == "  · train isic-cpu: started"
    assert lines()[-1].startswith("  ✓ train isic-cpu")
    shares = [int(found[1]) for line in lines() if (found := re.search(r"training, +(\d+) %", line))]
    assert shares == sorted(shares)
    assert 8 <= len(shares) <= 11
    for stage in ("export", "parity check", "calibration"):
        assert any(f": {stage}, " in line for line in lines())
    assert len(lines()) < 25
    assert not any("\x1b" in line or "\r" in line for line in lines())


def test_a_log_of_days_stays_short_where_nobody_knows_how_much_there_is() -> None:
    screen, clock, lines = _plain()
    unknown = [_task("ingest", seconds=3.0)]
    _follow(screen, clock, [(float(at), unknown) for at in range(0, 5 * 86_400, 60)])
    assert 5 < len(lines()) < 20


def test_a_log_of_many_parts_stays_short() -> None:
    screen, clock, lines = _plain()
    ingest = _task("ingest")

    def part(number: int) -> TaskNews:
        news = Progress(stage="download", done=500, total=1000)
        return _task("fetch-shard", number=number, parent=ingest.id, what=f"part {number}", progress=news)

    _follow(screen, clock, [(40.0 * number, [ingest, part(number)]) for number in range(400)])
    assert any("ingest: part" in line and "500/1,000" in line for line in lines())
    assert len(lines()) < 20


@pytest.mark.parametrize(
    ("environment", "is_terminal", "is_live"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "xterm", "FORCE_COLOR": "1"}, False, False),
    ],
)
def test_live_lines_are_for_terminals_only(environment: dict[str, str], is_terminal: bool, is_live: bool) -> None:
    file = _Terminal() if is_terminal else io.StringIO()
    screen = choose_screen(Console(file=file, _environ=environment), STAGES)
    assert isinstance(screen, LiveScreen if is_live else PlainScreen)


def test_time_left_says_nothing_at_first_and_after_a_stall() -> None:
    pace = Pace()

    def left(done: int, at: float, stage: str = "training") -> float | None:
        news = Progress(stage=stage, done=done, total=100)
        pace.note(news, at)
        return pace.seconds_left(news, at)

    assert [left(done, 4.0 * done) for done in range(3)] == [None, None, None]
    assert left(10, 40.0) == pytest.approx(90 * 4)
    assert left(10, 60.0) == pytest.approx(90 * 4 - 20)
    assert left(10, 400.0) is None
    assert left(0, 401.0, "export") is None


def test_a_resumed_training_is_not_taken_for_a_fast_one() -> None:
    pace = Pace()
    for second in range(30):
        news = Progress(stage="training", done=900 + second, total=1000)
        pace.note(news, float(second))
    assert pace.per_second(29.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "about 10 s"),
        (44, "about 40 s"),
        (200, "about 3 min"),
        (3590, "about 1 h 00 min"),
        (9000, "about 2 h 30 min"),
    ],
)
def test_an_estimate_is_rounded(seconds: float, words: str) -> None:
    assert in_time(seconds, about=True) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.7, "1 min 00 s"), (119.7, "2 min 00 s"), (125, "2 min 05 s"), (3600, "1 h 00 min")],
)
def test_a_time_that_passed_is_not_rounded_to_minutes(seconds: float, words: str) -> None:
    assert in_time(seconds) == words


def test_silence_is_spoken_of_after_a_while_and_ever_less_often() -> None:
    clock = _Clock()
    silence = Silence(clock)
    spoken = []
    for clock.now in range(0, 7200, 10):
        if silence.note(RunNews("Running", (_training(5),))) is not None:
            spoken.append(clock.now)
    assert spoken[0] == SECONDS_TO_WORK
    assert len(spoken) == 6  # each pause is twice the one before
    assert silence.note(RunNews("Running", (_training(6),))) is None  # it moves again
    clock.now += SECONDS_TO_WORK
    assert silence.note(RunNews("Running", (_training(6),))) == SECONDS_TO_WORK


def test_a_run_that_no_worker_takes_is_spoken_of_sooner() -> None:
    clock = _Clock()
    silence = Silence(clock)
    assert silence.note(RunNews("Late")) is None
    clock.now = SECONDS_TO_START
    assert silence.note(RunNews("Late")) == SECONDS_TO_START


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("evaluate-model-1f4", "evaluate-model"),
        ("train-model isic-cpu fold 2", "train-model"),
        ("fetch-shard-3", "fetch-shard"),
    ],
)
def test_a_task_is_known_by_the_name_of_its_run(name: str, task: str) -> None:
    assert task_of(name) == task

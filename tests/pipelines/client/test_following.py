"""Following a run: tasks, outcomes, and what happens when the server is lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hemix.errors import EnvironmentProblem, GateFailed
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.kfp_client.connection import Connection
from hemix.pipelines.kfp_client.errors import AccessDenied, RunCanceled, RunFailed, StillRunning
from hemix.pipelines.kfp_client.following import RunProgress, follow, require_success
from hemix.pipelines.kfp_client.runs import spec_of_run, submit
from hemix.pipelines.kfp_client.spec import gates_of, spec_of, tasks_of
from tests.kfp_server import KfpServer, Script


class Seen:
    """A watcher that remembers, and does something at each look."""

    def __init__(self, at_look: Callable[[int], None] = lambda number: None) -> None:
        self.states: list[str] = []
        self.tasks: dict[str, list[str]] = {}
        self._at_look = at_look

    def update(self, progress: RunProgress) -> None:
        if self.states[-1:] != [progress.state]:
            self.states.append(progress.state)
        for task in progress.tasks:
            states = self.tasks.setdefault(task.name, [])
            if states[-1:] != [task.state]:
                states.append(task.state)
        self._at_look(sum(map(len, self.tasks.values())))


@pytest.fixture
def begun(kfp: KfpServer, connection: Connection, small: str) -> Callable[..., str]:
    """Start the small pipeline with this script; its run id."""

    def call(script: Script = Script()) -> str:  # noqa: B008
        kfp.script = lambda run: script
        return submit("small", {"day": "x"}, connection=connection, compiled=small).run_id

    return call


def watch(
    kfp: KfpServer, connection: Connection, run_id: str, small: str, seen: Seen
) -> RunProgress:
    speaking = PipelinesApi(connection, sleep=lambda seconds: None)
    return follow(
        speaking, run_id, tasks_of(spec_of(small)), seen, every_s=20, sleep=lambda s: kfp.advance(s)
    )


def test_a_run_that_succeeds(
    kfp: KfpServer, connection: Connection, small: str, begun: Callable[..., str]
) -> None:
    seen = Seen()
    ended = watch(kfp, connection, begun(), small, seen)
    require_success(ended, "page")
    assert seen.states == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert seen.tasks == {
        "check": ["running", "succeeded"],
        "fit": ["waiting", "running", "succeeded"],
        "stop": ["waiting", "skipped"],
    }
    assert {task.name: task.seconds for task in ended.tasks} == {"check": 60, "fit": 60, "stop": 0}


def test_a_cached_task_is_told_as_such(
    kfp: KfpServer, connection: Connection, small: str, begun: Callable[..., str]
) -> None:
    seen = Seen()
    watch(kfp, connection, begun(Script(cached=("check",))), small, seen)
    assert seen.tasks["check"] == ["cached"]


def test_a_task_that_breaks_names_itself(
    kfp: KfpServer, connection: Connection, small: str, begun: Callable[..., str]
) -> None:
    run_id = begun(Script(fails={"fit": "OOMKilled (exit code 137)"}))
    ended = watch(kfp, connection, run_id, small, Seen())
    with pytest.raises(RunFailed, match=r"fit: OOMKilled \(exit code 137\)") as caught:
        require_success(ended, "the-page")
    assert caught.value.exit_code == 1
    assert "the-page" in caught.value.hint


def test_a_gate_that_fails_is_exit_code_4(
    kfp: KfpServer, connection: Connection, small: str, begun: Callable[..., str]
) -> None:
    seen = Seen()
    ended = watch(kfp, connection, begun(Script(outputs={"check": False})), small, seen)
    with pytest.raises(GateFailed, match="Gate check stopped run") as caught:
        require_success(ended, "page", gates_of(spec_of(small)))
    assert caught.value.exit_code == 4
    assert seen.tasks["fit"] == ["waiting", "skipped"]


def test_a_canceled_run(
    kfp: KfpServer, connection: Connection, small: str, begun: Callable[..., str]
) -> None:
    run_id = begun()
    looks = iter([lambda: kfp.runs[run_id].terminate(kfp.now)])
    seen = Seen(lambda number: next(looks, lambda: None)())
    ended = watch(kfp, connection, run_id, small, seen)
    assert [state for _, state in kfp.runs[run_id].history][-2:] == ["CANCELING", "CANCELED"]
    with pytest.raises(RunCanceled) as caught:
        require_success(ended, "page")
    assert caught.value.exit_code == 13


def test_a_token_that_expires_on_the_way_leaves_the_run_going(
    kfp: KfpServer, connection: Connection, small: str, begun: Callable[..., str]
) -> None:
    run_id = begun()
    seen = Seen(lambda number: kfp.tokens.clear() or kfp.tokens.add("another"))
    with pytest.raises(AccessDenied, match=f"--attach {run_id}") as caught:
        watch(kfp, connection, run_id, small, seen)
    assert "goes on" in str(caught.value)
    assert kfp.runs[run_id].active
    assert kfp.writes()[-1] == "RunService_CreateRun"


def test_a_token_that_is_renewed_on_the_way_is_no_trouble(
    kfp: KfpServer, small: str, begun: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text(next(iter(kfp.tokens)))
    run_id = begun()

    def renew(number: int) -> None:
        kfp.tokens = {f"token-{number}"}
        path.write_text(f"token-{number}")

    seen = Seen(renew)
    ended = watch(kfp, Connection(host=kfp.url, token_file=path), run_id, small, seen)
    assert ended.state == "SUCCEEDED"


def test_a_server_that_goes_away_leaves_the_run_going(
    kfp: KfpServer, connection: Connection, small: str, begun: Callable[..., str]
) -> None:
    run_id = begun()
    seen = Seen(lambda number: kfp.stop())
    with pytest.raises(EnvironmentProblem, match=f"--attach {run_id}"):
        watch(kfp, connection, run_id, small, seen)


def test_patience_ends_and_the_run_goes_on(
    kfp: KfpServer, connection: Connection, small: str, begun: Callable[..., str]
) -> None:
    run_id = begun()
    times = iter(range(0, 1000, 10))
    with pytest.raises(StillRunning, match="after 50 s") as caught:
        follow(
            PipelinesApi(connection),
            run_id,
            tasks_of(spec_of(small)),
            Seen(),
            patience_s=50,
            sleep=lambda s: None,
            clock=lambda: next(times),
        )
    assert caught.value.exit_code == 14
    assert kfp.runs[run_id].active


def test_a_run_that_goes_already_tells_its_tasks(
    connection: Connection, small: str, begun: Callable[..., str]
) -> None:
    spec = spec_of_run(PipelinesApi(connection), begun())
    assert tasks_of(spec) == ["check", "stop", "fit"]
    assert gates_of(spec) == {"stop": "check", "fit": "check"}

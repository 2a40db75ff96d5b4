"""Send requests from a few clients, in order, with retries; what was answered is not sent again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from hemix.errors import EnvironmentProblem, RequestError
from hemix.pipelines.demo.replay.traffic import ReplayRequest
from hemix.serving.client import rank

ATTEMPTS = 4
MOST_LOST = 20
"""Requests in a row without an answer after which the endpoint is taken to be gone."""


@dataclass
class Sent:
    """What became of the requests."""

    answered: int = 0
    refused: int = 0
    lost: int = 0
    first_problem: str = ""


def send(
    requests: Iterable[ReplayRequest],
    *,
    url: str,
    clients: int,
    told: Callable[[Sent], None],
) -> Sent:
    """Send all, at most ``clients`` at a time, in the order given; ``told`` is called after each.

    Raises:
        EnvironmentProblem: the endpoint is gone; what was answered is in its exposures.
    """
    sent = Sent()
    row = 0
    with ThreadPoolExecutor(clients, thread_name_prefix="client") as pool:
        waiting: set[Future[str]] = set()
        try:
            for request in requests:
                waiting.add(pool.submit(_ask, request, url))
                if len(waiting) >= 2 * clients:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    row = _note(done, sent, row, told)
            done, waiting = wait(waiting)
            _note(done, sent, row, told)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return sent


def _note(done: set[Future[str]], sent: Sent, row: int, told: Callable[[Sent], None]) -> int:
    for future in done:
        problem = future.result()
        if not problem:
            sent.answered, row = sent.answered + 1, 0
        elif problem.startswith("no answer"):
            sent.lost, row = sent.lost + 1, row + 1
        else:
            sent.refused, row = sent.refused + 1, 0
        sent.first_problem = sent.first_problem or problem
        told(sent)
        if row >= MOST_LOST:
            raise EnvironmentProblem(
                f"The endpoint no longer answers: {problem}.",
                hint="Run the same command again: it continues where this one stopped.",
            )
    return row


def _ask(request: ReplayRequest, url: str) -> str:
    """Ask, and again with the same request id when there is no answer; the problem, or nothing."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            rank(
                request.user_id,
                request.item_ids,
                context=request.context,
                candidates=request.candidates,
                request_id=request.request_id,
                timestamp_ms=request.timestamp_ms,
                url=url,
                timeout_s=30.0,
            )
        except RequestError as error:
            if "answered 503" not in error.message:
                return error.message
            problem = error.message
        except EnvironmentProblem as error:
            problem = f"no answer: {error.message}"
        else:
            return ""
        if attempt < ATTEMPTS:
            time.sleep(0.2 * 2**attempt)
    return problem

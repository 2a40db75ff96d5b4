"""Who is let in: by work and measured speed, with the caller's own deadline, never by requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from hemix.errors import RequestError
from hemix.serving.admission.room import FIXED, Gate, units_of
from hemix.serving.admission.turns import FairWorkers
from hemix.serving.call import Call, Expired, HungUp, Overloaded
from hemix.serving.deadline import timeout_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def busy_gate(clock: Clock, speed: float, timeout_s: float = 4.0) -> tuple[Gate, list[Call]]:
    """A gate that has seen ``speed`` units a second, with four small requests inside."""
    gate = Gate(timeout_s=timeout_s, workers=2, clock=clock)
    calls = [gate.enter(10) for _ in range(4)]
    for call in calls:
        gate.costs(call, 1, 1)
    for _ in range(40):
        clock.now += 0.5
        gate.done(calls[0], 0.0, 0.0)
        gate._done += speed * 0.5
    assert gate.speed == pytest.approx(speed, rel=0.1)
    return gate, calls


def admitted(gate: Gate, candidates: int, requests: int = 1, timeout_s: float | None = None) -> int:
    count = 0
    while count < 10_000:
        try:
            call = gate.enter(8 * candidates, timeout_s)
        except Overloaded:
            break
        try:
            gate.costs(call, requests, candidates)
        except Overloaded:
            gate.leave(call)
            break
        count += 1
    return count


@pytest.mark.parametrize("speed", [4_000.0, 40_000.0])
def test_what_may_wait_follows_from_the_speed_and_the_deadline(speed: float) -> None:
    gate, calls = busy_gate(Clock(), speed)
    inside = sum(call.units for call in calls)
    small = admitted(gate, 100)
    assert small == int((speed * 2.0 - inside) // units_of(1, 100))
    assert gate.full(800)


def test_a_body_counts_as_what_it_costs() -> None:
    gate, _ = busy_gate(Clock(), 40_000.0)
    giants = admitted(gate, 16_000, requests=16)
    assert giants == 3, "80,000 units fit; a body of 16 requests of 1,000 is 20,800"


def test_a_shorter_deadline_lets_less_wait_and_giants_do_not_shut_small_ones_out() -> None:
    clock = Clock()
    gate, _ = busy_gate(clock, 40_000.0)
    giant = gate.enter(8 * 16_000)
    gate.costs(giant, 16, 16_000)
    assert gate.enter(800, 0.5), "workers take turns: the giant is no half second ahead of it"
    with pytest.raises(Overloaded):
        gate.enter(8 * 16_000, 0.5)


def test_two_a_worker_are_let_in_however_slow_it_is() -> None:
    clock = Clock()
    gate, calls = busy_gate(clock, 10.0)
    assert gate.full(100)
    for call in calls[:2]:
        gate.leave(call)
    assert not gate.full(7_000)
    assert gate.full(1_000_000), "what could not be done in time even alone"


def test_giants_that_cannot_be_done_in_time_neither_pile_up_nor_shut_small_ones_out() -> None:
    clock = Clock()
    gate, calls = busy_gate(clock, 4_000.0)
    for call in calls:
        gate.leave(call)
    first = gate.enter(8 * 16_000)
    gate.costs(first, 16, 16_000)
    assert admitted(gate, 16_000, requests=16) == 0, "20,800 units are more than half of 4 s"
    assert admitted(gate, 100) >= int(8_000 * 0.75 // units_of(1, 100)) - 1
    assert gate.full(800)


def test_leaving_and_pieces_give_the_room_back() -> None:
    gate, calls = busy_gate(Clock(), 4_000.0)
    assert admitted(gate, 100) > 0
    assert gate.full(800)
    gate.done(calls[1], calls[1].units, 0.1)
    gate.leave(calls[2])
    assert admitted(gate, 100) == 2
    everyone = list(gate._calls)
    for call in everyone:
        gate.leave(call)
        gate.leave(call)
    assert gate._units == 0.0


def test_what_has_arrived_counts_before_it_has_entered() -> None:
    gate, _ = busy_gate(Clock(), 4_000.0)
    units = [gate.announce(800) for _ in range(20)]
    assert gate.full(800)
    for each in units:
        gate.withdraw(each)
    assert not gate.full(800)


def test_bodies_in_memory_are_bounded_by_bytes() -> None:
    gate = Gate(max_bytes=1_000)
    assert gate.hold(600)
    assert not gate.hold(500)
    gate.drop(600)
    assert gate.hold(1_000)


def test_a_stall_lowers_the_speed_and_work_raises_it_again() -> None:
    clock = Clock()
    gate, calls = busy_gate(clock, 4_000.0)
    for _ in range(10):
        clock.now += 0.5
        gate.full(0)
    assert gate.speed is not None
    assert gate.speed < 400
    for _ in range(20):
        clock.now += 0.5
        gate.done(calls[0], 0.0, 0.0)
        gate._done += 2_000
    assert gate.speed == pytest.approx(4_000, rel=0.05)


# ---- one request ---------------------------------------------------------------------------------


def run(scenario: Callable[[], object]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


def test_a_deadline_that_passed_is_noticed_between_stages() -> None:
    clock = Clock()
    call = Call(deadline=3.0, clock=clock)
    call.check()
    clock.now = 3.0
    with pytest.raises(Expired):
        call.check()


def test_the_end_reaches_who_waits_and_work_that_is_running_elsewhere() -> None:
    async def scenario() -> None:
        call = Call()
        loop = asyncio.get_running_loop()
        queued: asyncio.Future[None] = loop.create_future()
        cancelled = asyncio.Event()

        async def remote() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                cancelled.set()

        waits = [asyncio.create_task(call.wait(queued)), asyncio.create_task(call.run(remote()))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        call.end(HungUp("gone"))
        for wait in waits:
            with pytest.raises(HungUp):
                await wait
        await asyncio.wait_for(cancelled.wait(), 30)
        with pytest.raises(HungUp):
            call.check()
        with pytest.raises(HungUp):
            await call.wait(loop.create_future())

    run(scenario)


# ---- turns ---------------------------------------------------------------------------------------


def test_small_requests_have_their_turn_between_a_giants_pieces() -> None:
    async def scenario() -> None:
        import threading

        workers, held = FairWorkers(1), threading.Event()
        order: list[str] = []
        giant, blocker = Call(), Call()
        first = workers.submit(held.wait, call=blocker, units=1.0)
        pieces = [
            workers.submit(partial(order.append, f"giant {n}"), call=giant, units=1_300.0)
            for n in range(5)
        ]
        small = [
            workers.submit(partial(order.append, f"small {n}"), call=Call(), units=400.0)
            for n in range(3)
        ]
        held.set()
        await asyncio.gather(first, *pieces, *small)
        assert order[:3] == ["small 0", "small 1", "small 2"]
        assert order[3:] == [f"giant {n}" for n in range(5)]
        workers.close()

    run(scenario)


def test_a_giant_is_not_starved_by_small_requests_that_keep_coming() -> None:
    async def scenario() -> None:
        import threading

        workers, held = FairWorkers(1), threading.Event()
        order: list[str] = []
        first = workers.submit(held.wait, call=Call(), units=1.0)
        giant = workers.submit(lambda: order.append("giant"), call=Call(), units=1_300.0)

        def small(left: int) -> None:
            order.append("small")
            if left:
                loop.call_soon_threadsafe(submit, left - 1)

        def submit(left: int) -> None:
            futures.append(workers.submit(lambda: small(left), call=Call(), units=400.0))

        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[None]] = []
        for _ in range(2):
            submit(50)
        held.set()
        await asyncio.gather(first, giant)
        assert len(order) < 20
        while not all(f.done() for f in futures) or len(futures) < 102:
            await asyncio.sleep(0.01)
        workers.close()

    run(scenario)


def test_a_piece_that_nobody_waits_for_is_never_begun() -> None:
    async def scenario() -> None:
        import threading

        workers, held, begun = FairWorkers(1), threading.Event(), []
        call = Call()
        first = workers.submit(held.wait, call=Call(), units=1.0)
        wait = asyncio.create_task(
            call.wait(workers.submit(lambda: begun.append(1), call=call, units=1.0))
        )
        await asyncio.sleep(0)
        call.end(HungUp("gone"))
        with pytest.raises(HungUp):
            await wait
        held.set()
        await first
        await workers.submit(lambda: begun.append(2), call=Call(), units=1.0)
        assert begun == [2]
        workers.close()

    run(scenario)


# ---- what callers say ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([(b"x-request-timeout-ms", b"250")], 0.25),
        ([(b"grpc-timeout", b"3S")], 3.0),
        ([(b"grpc-timeout", b"40000u")], 0.04),
        ([(b"x-envoy-expected-rq-timeout-ms", b"0")], None),
        ([(b"x-request-timeout-ms", b"900"), (b"grpc-timeout", b"100m")], 0.1),
    ],
)
def test_timeouts_are_read(headers: list[tuple[bytes, bytes]], seconds: float | None) -> None:
    assert timeout_of(headers) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("value", [b"", b"-1", b"1.5", b"1s", b"9" * 20])
def test_a_timeout_that_is_none_is_named(value: bytes) -> None:
    with pytest.raises(RequestError, match="x-request-timeout-ms"):
        timeout_of([(b"x-request-timeout-ms", value)])
    with pytest.raises(RequestError, match="grpc-timeout"):
        timeout_of([(b"grpc-timeout", value)])


def test_the_fixed_part_is_what_the_docs_say() -> None:
    assert FIXED == 300.0

"""Budgets by cost, and a queue that sheds instead of collapsing."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

from graphretrieval.api.limits import Budget, Queue
from graphretrieval.api.problems import Refused, headers_of


def test_a_budget_refills_over_a_minute_and_is_each_clients_own() -> None:
    budget = Budget(600)
    budget.charge("a", 600, now=0)
    with pytest.raises(Refused) as found:
        budget.charge("a", 100, now=1)
    assert found.value.status == 429
    assert headers_of(found.value)["Retry-After"] == "9"
    budget.charge("b", 600, now=1)
    budget.charge("a", 100, now=10)


def test_a_refused_query_costs_nothing() -> None:
    budget = Budget(100)
    with pytest.raises(Refused):
        budget.charge("a", 1000, now=0)
    budget.charge("a", 100, now=0)


def test_no_limit_is_no_limit() -> None:
    Budget(0).charge("a", 10**9)


def test_memory_of_clients_is_bounded() -> None:
    budget = Budget(10)
    for i in range(20_000):
        budget.charge(f"client {i}", 1, now=0)
    assert len(budget._left) == 10_000


def test_ten_times_too_much_is_shed_and_the_queue_recovers() -> None:
    async def crowd() -> tuple[int, int, int]:
        queue, go = Queue(2, 8), asyncio.Event()
        running = most = 0

        async def one() -> bool:
            nonlocal running, most
            try:
                async with queue.turn():
                    running += 1
                    most = max(most, running)
                    await go.wait()
                    running -= 1
            except Refused as e:
                assert (e.status, e.code) == (503, "OVERLOADED")  # noqa: PT017
                assert int(headers_of(e)["Retry-After"]) >= 1  # noqa: PT017
                return False
            return True

        tasks = [asyncio.create_task(one()) for _ in range(100)]
        while queue.shed < 90:
            await asyncio.sleep(0)
        go.set()
        served = sum(await asyncio.gather(*tasks))
        async with queue.turn():
            return served, most, queue.inside

    assert asyncio.run(crowd()) == (10, 2, 1)


def test_a_turn_stays_taken_until_its_thread_has_ended() -> None:
    async def left() -> tuple[int, list[str]]:
        queue, thread = Queue(1, 1), Future[None]()
        thread.set_running_or_notify_cancel()
        async with queue.turn():
            queue.keep(thread)
        taken, said = queue.inside, []

        async def next_one() -> None:
            async with queue.turn():
                said.append("turn")

        waiting = asyncio.create_task(next_one())
        for _ in range(10):
            await asyncio.sleep(0)
        said.append("ended")
        thread.set_result(None)
        await waiting
        assert queue.inside == 0
        return taken, said

    assert asyncio.run(left()) == (1, ["ended", "turn"])


def test_two_threads_of_one_turn_take_two() -> None:
    async def left() -> list[int]:
        queue, threads = Queue(2, 1), [Future[None](), Future[None]()]
        for thread in threads:
            thread.set_running_or_notify_cancel()
        async with queue.turn():
            for thread in threads:
                queue.keep(thread)
        async with queue.turn():
            pass  # the other is taken when it ends
        inside = [queue.inside]
        for thread in threads:
            thread.set_result(None)
            await asyncio.sleep(0.01)
            inside.append(queue.inside)
        async with queue.turn(), queue.turn():
            return inside

    assert asyncio.run(left()) == [2, 1, 0]


def test_who_waits_longer_than_the_patience_is_told_to_come_back() -> None:
    async def late() -> int:
        queue = Queue(1, 1, patience=0.01)
        async with queue.turn():
            with pytest.raises(Refused, match="keep each other waiting") as found:
                async with queue.turn():
                    pass
            assert headers_of(found.value)["Retry-After"]
        async with queue.turn():
            return queue.inside

    assert asyncio.run(late()) == 1


def test_a_stopping_service_takes_no_more() -> None:
    async def late() -> None:
        queue = Queue(1, 1)
        queue.closing = True
        with pytest.raises(Refused, match="stopping"):
            async with queue.turn():
                pass

    asyncio.run(late())

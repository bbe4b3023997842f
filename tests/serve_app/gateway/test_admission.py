"""Admission control: first come, first served."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from serve_app.errors import ApiError
from serve_app.gateway.admission import Admission, ClientKey

ONE, TWO = b"one", b"two"


async def hold(admission: Admission, order: list[int], number: int, client: ClientKey = None) -> None:
    async with admission.slot(client):
        order.append(number)
        await asyncio.sleep(0)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def refusal(admission: Admission, client: ClientKey = None) -> ApiError:
    with pytest.raises(ApiError) as refused:
        admission.check(client)
    return refused.value


def test_the_longest_waiter_is_served_first() -> None:
    async def wait() -> None:
        admission, order = Admission(running=1, waiting=20, per_client=99), []
        async with admission.slot(None):
            tasks = []
            for number in range(20):
                tasks.append(asyncio.create_task(hold(admission, order, number)))
                await settle()
        late = asyncio.create_task(hold(admission, order, 20))
        await asyncio.gather(*tasks, late)
        assert order == list(range(21))

    asyncio.run(wait())


def test_never_more_hold_a_slot_than_may() -> None:
    async def churn() -> None:
        admission, holding, most = Admission(running=3, waiting=100, per_client=99), 0, 0

        async def one(number: int) -> None:
            nonlocal holding, most
            async with admission.slot(None):
                holding += 1
                most = max(most, holding)
                try:
                    await asyncio.sleep(0.001 * (number % 3))
                finally:
                    holding -= 1

        tasks = [asyncio.create_task(one(number)) for number in range(60)]
        await asyncio.sleep(0.002)
        for task in tasks[5::7]:
            task.cancel()
        await asyncio.wait(tasks)
        assert (most, holding) == (3, 0)
        async with AsyncExitStack() as held:
            for _ in range(3):  # none has leaked
                await held.enter_async_context(admission.slot(None))

    asyncio.run(churn())


def test_a_full_queue_refuses_at_once() -> None:
    async def fill() -> None:
        admission, order = Admission(running=1, waiting=1, per_client=99), []
        async with admission.slot(None):
            admission.check(None)
            waiting = asyncio.create_task(hold(admission, order, 1))
            await settle()
            refused = refusal(admission)
            assert (refused.status, refused.code) == (503, "overloaded")
            assert int(refused.headers["Retry-After"]) > 0
            with pytest.raises(ApiError):
                await hold(admission, order, 2)
        await waiting
        admission.check(None)
        assert order == [1]

    asyncio.run(fill())


def test_where_none_may_wait_free_slots_are_still_given() -> None:
    async def fill() -> None:
        admission = Admission(running=2, waiting=0, per_client=99)
        async with admission.slot(None), admission.slot(None):
            assert refusal(admission).status == 503
        admission.check(None)

    asyncio.run(fill())


def test_each_client_has_its_own_share_of_running_and_waiting_requests() -> None:
    async def ask() -> None:
        admission, order = Admission(running=1, waiting=9, per_client=2), []
        async with admission.slot(ONE):
            waiting = asyncio.create_task(hold(admission, order, 1, ONE))
            await settle()
            refused = refusal(admission, ONE)
            assert (refused.status, refused.code) == (429, "rate_limit_exceeded")
            assert int(refused.headers["Retry-After"]) > 0
            admission.check(TWO)
            admission.check(None)
        await waiting
        admission.check(ONE)

    asyncio.run(ask())


@pytest.mark.parametrize("where", ["running", "waiting"])
def test_a_request_that_goes_gives_back_what_it_held(where: str) -> None:
    async def go() -> None:
        admission, order = Admission(running=1, waiting=1, per_client=2), []
        async with AsyncExitStack() as held:
            if where == "waiting":
                await held.enter_async_context(admission.slot(ONE))
            task = asyncio.create_task(hold_on(admission))
            await settle()
            task.cancel()
            await asyncio.wait([task])
            admission.check(ONE)
        await asyncio.wait_for(hold(admission, order, 1, ONE), 1)
        with pytest.raises(RuntimeError):
            async with admission.slot(ONE):
                raise RuntimeError
        await asyncio.wait_for(hold(admission, order, 2, ONE), 1)

    async def hold_on(admission: Admission) -> None:
        async with admission.slot(ONE):
            await asyncio.sleep(60)

    asyncio.run(go())


def test_sizes_may_change_while_requests_run() -> None:
    async def resize() -> None:
        admission, order = Admission(running=1, waiting=1, per_client=99), []
        async with admission.slot(None):
            waiting = asyncio.create_task(hold(admission, order, 1))
            await settle()
            refusal(admission)
            admission.resize(running=2, waiting=1)
            await asyncio.wait_for(waiting, 1)
            admission.resize(running=1, waiting=0)
            refusal(admission)
        await hold(admission, order, 2)
        assert order == [1, 2]

    asyncio.run(resize())

"""A shop with models that answer, fail and limit without a server: money, order, waits, journal."""

import asyncio
import random

import pytest

from difficulty.economics.prices import TokenPrice
from difficulty.labelling.budget import Budget
from difficulty.labelling.buying import Patience, Shop, Unanswered
from difficulty.labelling.journal import PurchaseJournal
from difficulty.labelling.model_calls import (
    CalledModel,
    CallFailure,
    ListedPrice,
    ModelQuestion,
    ModelReply,
)
from tests.labelling.purchases import HASTE

MODEL = CalledModel(
    name="cheap", price=ListedPrice(TokenPrice(input=1.0, output=1.0)), max_tokens=1_000
)


def asked(number):
    return ModelQuestion(({"role": "user", "content": f"question {number:04d}"},))


WORST = MODEL.worst_usd(13 + 4 + 16 + 64)  # of each question: its bytes, its role, what is added


def reply(usd=1e-4):
    return ModelReply({"role": "assistant", "content": "x"}, 10, 10, usd)


class OneCall:
    """A request that needs one call."""

    def __init__(self, number):
        self.question, self.reply, self.problem = asked(number), None, ""

    @property
    def first_calls(self):
        """The call."""
        return [(MODEL, self.question)]

    def worst_usd(self, shop):
        """Return the worst case of the call."""
        return shop.worst_usd(MODEL, self.question)

    async def run(self, shop, purse):
        """Make the call."""
        try:
            self.reply = await shop.ask(MODEL, self.question, purse)
        except Unanswered as error:
            self.problem = str(error)


def buy(path, call, jobs, *, usd=1.0, patience=HASTE, **options):
    """Buy, and return the shop and how many jobs were begun."""

    async def bought():
        with PurchaseJournal(path) as journal:
            if journal.plan is None:
                journal.begin({})
            budget = Budget(usd, spent_usd=journal.spent_usd)
            shop = Shop(call, budget, journal, patience=patience, **options)
            return shop, await shop.buy(jobs)

    return asyncio.run(bought())


def scripted(*events):
    """Return a model that goes through replies and failures, and then answers for ever."""
    left = list(events)

    async def call(model, question):
        call.n += 1
        event = left.pop(0) if left else reply()
        if isinstance(event, Exception):
            raise event
        return event

    call.n = 0
    return call


def limited(after=None):
    return CallFailure("HTTP 429", kind="limited", billed=False, retry_after_s=after)


BROKEN = ("HTTP 500", {"kind": "again", "billed": True})


def broken():
    return CallFailure(BROKEN[0], **BROKEN[1])


def test_order_is_kept_and_the_budget_ends_it_before_it_is_passed(tmp_path):
    jobs = [OneCall(number) for number in range(50)]
    call = scripted(*[reply(WORST)] * 50)  # each bills its worst case
    shop, begun = buy(tmp_path / "j", call, jobs, usd=10.5 * WORST)
    assert (begun, shop.stopped, shop.finishes) == (10, "the budget", True)
    assert [job.reply is not None for job in jobs] == [True] * 10 + [False] * 40
    assert shop.budget.spent_usd == pytest.approx(10 * WORST)


def test_what_calls_did_not_cost_buys_others(tmp_path):
    jobs = [OneCall(number) for number in range(50)]
    shop, begun = buy(tmp_path / "j", scripted(*[reply(WORST / 10)] * 50), jobs, usd=4 * WORST)
    assert begun > 25
    assert shop.budget.spent_usd <= 4 * WORST
    assert shop.budget.held_usd == pytest.approx(0.0)


def test_second_run_pays_for_nothing_that_the_first_bought(tmp_path):
    jobs = [OneCall(number) for number in range(9)]
    buy(tmp_path / "j", scripted(), jobs)
    call, again = scripted(), [OneCall(number) for number in range(9)]
    shop, begun = buy(tmp_path / "j", call, again)
    assert (begun, call.n, shop.counts["known"]) == (9, 0, 9)
    assert [job.reply for job in again] == [job.reply for job in jobs]
    assert shop.budget.spent_usd == pytest.approx(9e-4)


@pytest.mark.parametrize("usd", [1e-6, 3 * WORST, 1.0])
def test_second_run_keeps_what_the_first_bought_whatever_money_is_left(tmp_path, usd):
    """The third request failed; a smaller budget, or none that is left, loses no paid answer."""
    failure = CallFailure("HTTP 503", kind="again", billed=False)
    patience = Patience(first_wait_s=0.0, tries_free=1)
    bought = scripted(reply(WORST), reply(WORST), failure, *[reply(WORST)] * 6)
    buy(tmp_path / "j", bought, [OneCall(n) for n in range(9)], at_once=1, patience=patience)
    call, again = scripted(), [OneCall(number) for number in range(12)]
    shop, begun = buy(tmp_path / "j", call, again, usd=usd, at_once=1)
    assert [job.reply is not None for job in again[:2] + again[3:9]] == [True] * 8
    assert (begun, call.n) == ((12, 4) if usd == 1.0 else (9, 0))
    assert shop.stopped == ("" if usd == 1.0 else "the budget")


def test_second_run_that_is_stopped_keeps_what_the_first_bought(tmp_path):
    """The account is empty now, and the first request failed the first time."""
    failure = CallFailure("HTTP 503", kind="again", billed=False)
    patience = Patience(first_wait_s=0.0, tries_free=1)
    buy(tmp_path / "j", scripted(failure), [OneCall(n) for n in range(9)], patience=patience)
    no_money = CallFailure("HTTP 402", kind="account", billed=False)
    call, again = scripted(no_money), [OneCall(number) for number in range(12)]
    shop, begun = buy(tmp_path / "j", call, again, at_once=1)
    assert (begun, call.n, shop.finishes) == (9, 1, False)
    assert [job.reply is not None for job in again[1:9]] == [True] * 8


def test_equal_requests_share_a_call(tmp_path):
    call, jobs = scripted(), [OneCall(1) for _ in range(6)]
    buy(tmp_path / "j", call, jobs)
    assert call.n == 1
    assert {job.reply.usd for job in jobs} == {1e-4}


def test_limits_are_waited_for_and_cost_nothing(tmp_path):
    call, jobs = scripted(limited(0.05), limited(), limited()), [OneCall(1)]
    shop, _ = buy(tmp_path / "j", call, jobs)
    assert (call.n, jobs[0].problem, shop.counts["limited"]) == (4, "", 3)
    assert shop.budget.spent_usd == pytest.approx(1e-4)


def test_failures_that_may_have_been_billed_count_as_spent(tmp_path):
    call, jobs = scripted(broken(), broken()), [OneCall(1), OneCall(2)]
    shop, _ = buy(tmp_path / "j", call, jobs, at_once=1)
    assert (call.n, jobs[0].problem) == (3, "HTTP 500")
    assert shop.budget.spent_usd == pytest.approx(2 * WORST + 1e-4)
    with PurchaseJournal(tmp_path / "j") as journal:
        assert journal.spent_usd == pytest.approx(shop.budget.spent_usd)


def test_bill_above_the_worst_case_ends_the_purchase(tmp_path):
    jobs = [OneCall(number) for number in range(9)]
    shop, begun = buy(tmp_path / "j", scripted(reply(), reply(2 * WORST)), jobs, at_once=1)
    assert (begun, shop.finishes) == (2, False)
    assert "billed" in shop.stopped
    assert jobs[1].reply is not None  # paid, so it is kept


def test_answer_without_a_count_is_counted_at_its_worst(tmp_path):
    shop, _ = buy(tmp_path / "j", scripted(reply(None)), [OneCall(1)])
    assert shop.budget.spent_usd == pytest.approx(WORST)
    assert shop.counts["without_usage"] == 1


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (CallFailure("HTTP 402", kind="account", billed=False), "check its name, its key"),
        (CallFailure("HTTP 401", kind="denied", billed=False), "check its name, its key"),
        (limited(3_600.0), "asks to be left alone for 3,600 s"),
    ],
)
def test_what_no_call_can_mend_ends_the_purchase_at_once(tmp_path, failure, why):
    call, jobs = scripted(failure), [OneCall(number) for number in range(9)]
    shop, _ = buy(tmp_path / "j", call, jobs, at_once=1)
    assert (call.n, shop.finishes) == (1, False)
    assert why in shop.stopped


def denied():
    return CallFailure("HTTP 403", kind="denied", billed=False)


def test_request_that_is_denied_where_others_are_answered_ends_nothing(tmp_path):
    """The first of an earlier run was answered; a denied one may be asked again, as keys change."""
    buy(tmp_path / "j", scripted(), [OneCall(99)])
    call, jobs = scripted(denied()), [OneCall(number) for number in range(9)]
    shop, begun = buy(tmp_path / "j", call, jobs, at_once=1)
    assert (begun, shop.stopped, shop.counts["failed"]) == (9, "", 1)
    assert [job.problem for job in jobs] == ["HTTP 403"] + [""] * 8
    assert shop.failures == {"HTTP 403": 1}
    again = [OneCall(number) for number in range(9)]
    buy(tmp_path / "j", call, again)
    assert (call.n, again[0].problem) == (10, "")


def test_request_that_is_denied_waits_for_those_that_went_out_beside_it(tmp_path):
    async def call(model, question):
        if question == asked(0):
            raise denied()
        await asyncio.sleep(0.05)
        return reply()

    jobs = [OneCall(number) for number in range(9)]
    shop, begun = buy(tmp_path / "j", call, jobs, at_once=4)
    assert (begun, shop.stopped, jobs[0].problem) == (9, "", "HTTP 403")


def test_key_that_is_taken_away_ends_the_purchase_after_some_calls(tmp_path):
    jobs = [OneCall(number) for number in range(50)]
    call = scripted(reply(), *[denied() for _ in range(99)])
    shop, begun = buy(tmp_path / "j", call, jobs, at_once=1)
    assert begun == 11
    assert "10 calls of cheap in a row brought nothing" in shop.stopped
    assert "check its name, its key" in shop.stopped


def test_failures_one_after_the_other_end_the_purchase(tmp_path):
    jobs = [OneCall(number) for number in range(50)]
    patience = Patience(first_wait_s=0.0, tries_billed=1, failures_in_a_row=4)
    call = scripted(*[broken() for _ in range(99)])
    shop, begun = buy(tmp_path / "j", call, jobs, at_once=1, patience=patience)
    assert begun == call.n == 4
    assert "4 calls of cheap in a row brought nothing" in shop.stopped


def test_request_that_is_refused_for_good_is_not_asked_again(tmp_path):
    refusal = CallFailure("HTTP 400", kind="request", billed=False)
    buy(tmp_path / "j", scripted(refusal), [OneCall(1)])
    call, jobs = scripted(), [OneCall(1), OneCall(2)]
    buy(tmp_path / "j", call, jobs)
    assert (call.n, jobs[0].problem) == (1, "HTTP 400")


def test_call_under_way_when_a_run_was_killed_is_not_made_again(tmp_path):
    path = tmp_path / "j"

    async def killed():
        with PurchaseJournal(path) as journal:
            journal.begin({})

            async def hang(model, question):
                await asyncio.sleep(60)

            shop = Shop(hang, Budget(1.0), journal, patience=HASTE)
            task = asyncio.create_task(shop.buy([OneCall(1)]))
            while not path.read_bytes().count(b'"sent"'):
                await asyncio.sleep(0.01)
            task.cancel()  # the journal is left as a kill leaves it

    asyncio.run(killed())
    call, jobs = scripted(), [OneCall(1), OneCall(2)]
    shop, _ = buy(path, call, jobs)
    assert (call.n, shop.counts["lost"]) == (1, 1)
    assert "under way when an earlier run ended" in jobs[0].problem
    assert shop.budget.spent_usd == pytest.approx(WORST + 1e-4)


def test_no_more_calls_than_asked_for_are_under_way(tmp_path):
    most = now = 0

    async def call(model, question):
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1
        return reply()

    buy(tmp_path / "j", call, [OneCall(number) for number in range(40)], at_once=5)
    assert most == 5


@pytest.mark.parametrize("seed", range(12))
def test_no_budget_is_passed_whatever_fails(tmp_path, seed):
    """The bill of a server that bills what it answered, and what it failed at half of the time."""
    chance, billed = random.Random(seed), 0.0

    async def call(model, question):
        nonlocal billed
        await asyncio.sleep(chance.random() * 0.002)
        event = chance.random()
        usd = WORST * chance.random()
        if event < 0.2:
            raise limited(0.001)
        if event < 0.4:
            billed += usd * (chance.random() < 0.5)
            raise broken()
        if event < 0.45:
            raise CallFailure("HTTP 400", kind="request", billed=False)
        billed += usd
        return reply(usd)

    jobs = [OneCall(number) for number in range(60)]
    limit = WORST * chance.uniform(1.0, 30.0)
    shop, _ = buy(tmp_path / "j", call, jobs, usd=limit, at_once=chance.randint(1, 16))
    assert billed <= shop.budget.spent_usd + 1e-12
    assert shop.budget.spent_usd <= limit
    assert shop.budget.held_usd == pytest.approx(0.0)

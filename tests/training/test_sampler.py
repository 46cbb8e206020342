from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from eo_dl.training.setup.sampler import EpochPlan, ResumableBatches

plans = st.builds(
    EpochPlan,
    count=st.integers(1, 40),
    batch_size=st.integers(2, 9),
    seed=st.integers(0, 5),
    min_steps=st.integers(1, 12),
)


@given(plans, st.integers(0, 4))
def test_every_chip_is_seen_once_a_pass(plan: EpochPlan, epoch: int) -> None:
    draws = Counter(draw for batch in plan.batches(epoch) for draw in batch)
    passes = range(epoch * plan.passes, (epoch + 1) * plan.passes)
    assert draws == Counter((number, index) for number in passes for index in range(plan.count))


@given(plans, st.integers(0, 4))
def test_an_epoch_has_the_steps_it_announces_and_enough_of_them(plan: EpochPlan, epoch: int) -> None:
    batches = plan.batches(epoch)
    assert len(batches) == plan.steps
    assert len(batches) >= min(plan.min_steps, plan.passes * plan.count // plan.batch_size)


@given(plans, st.integers(0, 4))
def test_no_batch_of_one_where_there_are_two_draws(plan: EpochPlan, epoch: int) -> None:
    sizes = [len(batch) for batch in plan.batches(epoch)]
    assert min(sizes) >= 2 or sum(sizes) == 1


@given(plans, st.integers(0, 4), st.data())
def test_a_resumed_epoch_is_the_rest_of_the_unbroken_one(
    plan: EpochPlan, epoch: int, data: st.DataObject
) -> None:
    done = data.draw(st.integers(0, plan.steps))
    assert list(ResumableBatches(plan, lambda: (epoch, done))) == plan.batches(epoch)[done:]


def test_order_depends_on_seed_and_epoch_only() -> None:
    plan = EpochPlan(20, 4, seed=1)
    assert plan.batches(3) == EpochPlan(20, 4, seed=1).batches(3)
    assert plan.batches(3) != plan.batches(4)
    assert plan.batches(3) != EpochPlan(20, 4, seed=2).batches(3)

"""The next connection goes to who has the fewest, and in turn among equals."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.sharing import choose_least_busy

counts_and_turns = st.lists(st.integers(0, 5), min_size=1, max_size=8).flatmap(
    lambda counts: st.tuples(st.just(counts), st.integers(0, len(counts) - 1))
)


@given(counts_and_turns)
def test_nobody_has_fewer_than_who_is_chosen(case: tuple[list[int], int]) -> None:
    counts, turn = case
    assert counts[choose_least_busy(counts, turn)] == min(counts)


@given(counts_and_turns)
def test_of_equals_the_first_from_the_turn_on_is_chosen(case: tuple[list[int], int]) -> None:
    counts, turn = case
    place = choose_least_busy(counts, turn)
    fewest = [other for other, count in enumerate(counts) if count == min(counts)]
    assert place == next((other for other in fewest if other >= turn), fewest[0])


@given(st.integers(1, 8), st.integers(0, 100))
def test_connections_that_stay_are_shared_to_within_one(workers: int, connections: int) -> None:
    counts = [0] * workers
    turn = 0
    for _ in range(connections):
        place = choose_least_busy(counts, turn)
        counts[place] += 1
        turn = (place + 1) % workers
    assert max(counts) - min(counts) <= 1

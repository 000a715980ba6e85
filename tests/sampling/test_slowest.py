from hypothesis import given
from hypothesis import strategies as st

from pslref.sampling import slowest_first

some_clients = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=8)


@given(some_clients.filter(lambda clients: any(n for n, _ in clients)), st.data())
def test_the_line_of_samples_is_cut_into_batches(clients, data) -> None:
    sizes, delays = zip(*clients, strict=True)
    batch_size = data.draw(st.integers(1, sum(sizes)))
    schedule = slowest_first(sizes, delays, batch_size)
    slowest = sorted(range(len(sizes)), key=lambda k: -delays[k])
    line = [k for k in slowest for _ in range(sizes[k])]
    assert schedule.num_steps == -(-len(line) // batch_size)
    for t, row in enumerate(schedule.batch_sizes):
        step = line[t * batch_size : (t + 1) * batch_size]
        assert row.tolist() == [step.count(k) for k in range(len(sizes))]


def test_an_example_by_hand() -> None:
    rows = slowest_first([3, 2, 0, 4], [1, 5, 9, 5], 4).batch_sizes.tolist()
    assert rows == [[0, 2, 0, 2], [2, 0, 0, 2], [1, 0, 0, 0]]


def test_equally_slow_clients_keep_their_order() -> None:
    """Also where there are so many of them that not every way to sort does it."""
    rows = slowest_first([1] * 100, [1, 2] * 50, 100).batch_sizes
    assert rows.tolist() == [[1] * 100]
    rows = slowest_first([1] * 100, [1, 2] * 50, 1).batch_sizes
    assert rows.argmax(axis=1).tolist() == [*range(1, 100, 2), *range(0, 100, 2)]

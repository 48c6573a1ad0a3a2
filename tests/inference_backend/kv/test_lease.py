"""Leases against a model of what their pages must contain, over random lives."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference_backend.kv.lease import Lease, PageCache

PAGES, SIZE = 12, 3
Content = tuple[str, tuple[int, ...]]


@dataclass
class Holder:
    """A sequence: its tokens, how many are computed, its lease."""

    salt: str
    tokens: list[int]
    lease: Lease
    computed: int


class LeaseLives(RuleBasedStateMachine):
    """Opens, computes, grows, takes private and closes leases at random.

    ``content`` is what a store would hold: for each page, the salt and all tokens up to its end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cache = PageCache(PAGES, SIZE)
        self.holders: list[Holder] = []
        self.content: dict[int, Content] = {}

    @rule(
        salt=st.sampled_from(["", "x"]), tokens=st.lists(st.integers(0, 1), min_size=1, max_size=14)
    )
    def open(self, salt: str, tokens: list[int]) -> None:
        before = self.cache.pool.num_available
        lease = self.cache.open(tokens, salt, len(tokens) + 1)
        if lease is None:
            assert self.cache.pool.num_available == before
            return
        assert lease.reused * SIZE < len(tokens)
        for index in range(lease.reused):
            wanted = (salt, tuple(tokens[: (index + 1) * SIZE]))
            assert self.content[lease.pages[index]] == wanted
        self.holders.append(Holder(salt, list(tokens), lease, lease.reused * SIZE))

    @precondition(lambda self: self.holders)
    @rule(data=st.data(), more=st.lists(st.integers(0, 1), min_size=1, max_size=5))
    def grow(self, data: st.DataObject, more: list[int]) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        pages = list(holder.lease.pages)
        if not self.cache.try_grow(holder.lease, len(holder.tokens) + len(more) + 1):
            assert holder.lease.pages == pages
            return
        holder.tokens += more

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def take_private(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        index = data.draw(st.integers(0, len(holder.lease.pages) - 1))
        moved = self.cache.make_private(holder.lease, index)
        if moved is None:
            assert self.cache.pool.num_available == 0
            return
        page = holder.lease.pages[index]
        assert moved[1] == page
        assert self.cache.pool.holders(page) == 1
        assert page not in self.cache.prefix
        self.content[page] = ("damaged", ())

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        self.holders.remove(holder)
        self.cache.close(holder.lease)

    @precondition(lambda self: self.holders)
    @rule(data=st.data(), whole=st.booleans())
    def compute(self, data: st.DataObject, whole: bool) -> None:
        """Some or all of the tokens but the last one; two sequences may compute the same ones."""
        holder = data.draw(st.sampled_from(self.holders))
        last = len(holder.tokens) - 1
        computed = last if whole else data.draw(st.integers(holder.computed, last))
        for index in range(holder.computed // SIZE, computed // SIZE):
            page = holder.lease.pages[index]
            assert self.cache.pool.holders(page) == 1, "a shared page is written"
            is_damaged = holder.lease.is_private
            tokens = tuple(holder.tokens[: (index + 1) * SIZE])
            self.content[page] = ("damaged", ()) if is_damaged else (holder.salt, tokens)
        holder.computed = computed
        self.cache.publish(holder.lease, holder.tokens, computed)

    @invariant()
    def every_page_is_in_one_state(self) -> None:
        self.cache.check_integrity()
        held = {page for holder in self.holders for page in holder.lease.pages}
        assert self.cache.pool.num_available == PAGES - len(held)

    @invariant()
    def holders_are_counted(self) -> None:
        for page in range(1, PAGES + 1):
            count = sum(holder.lease.pages.count(page) for holder in self.holders)
            assert self.cache.pool.holders(page) == count

    @invariant()
    def what_is_found_holds_what_was_asked_for(self) -> None:
        for salt in ("", "x"):
            for bits in range(8):
                tokens = [bits >> 2 & 1, bits >> 1 & 1, bits & 1] * 3
                for index, page in enumerate(self.cache.prefix.match(tokens, salt)):
                    assert self.content[page] == (salt, tuple(tokens[: (index + 1) * SIZE]))


TestLeaseLives = LeaseLives.TestCase
TestLeaseLives.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def test_all_of_a_prompt_but_one_token_can_be_known() -> None:
    """The last token is computed in any case: its hidden state is needed."""
    cache = PageCache(10, 4)
    tokens = list(range(8))
    lease = cache.open(tokens, "", 9)
    assert lease is not None
    cache.publish(lease, tokens, 8)
    again = cache.open(tokens, "", 9)
    assert again is not None
    assert again.reused == 1
    longer = cache.open([*tokens, 8], "", 10)
    assert longer is not None
    assert longer.reused == 2


def test_known_pages_are_not_evicted_to_make_room_for_the_rest() -> None:
    """They are held first: a request that reuses what is cached cannot evict it."""
    cache = PageCache(3, 2)
    lease = cache.open([1, 2, 3, 4, 5], "", 6)
    assert lease is not None
    cache.publish(lease, [1, 2, 3, 4, 5], 4)
    cache.close(lease)
    again = cache.open([1, 2, 3, 4, 9], "", 6)
    assert again is not None
    assert again.reused == 2
    assert cache.open([7], "", 2) is None
    cache.close(again)
    cache.check_integrity()


def test_the_end_of_a_sequence_is_evicted_before_its_beginning() -> None:
    cache = PageCache(4, 2)
    lease = cache.open([1, 2, 3, 4, 5, 6, 7], "", 8)
    assert lease is not None
    cache.publish(lease, [1, 2, 3, 4, 5, 6, 7], 6)
    first, second, third, _ = lease.pages
    cache.close(lease)
    taken = [cache.pool.allocate() for _ in range(3)]
    assert taken[1:] == [third, second]
    assert cache.prefix.match([1, 2, 3, 4, 5, 6], "") == [first]


def test_what_continues_a_duplicate_is_not_found() -> None:
    """Two compute the same prompt at once: the second one's pages have a parent nobody knows.

    Its number will be given to other content, and the continuation must not be found behind that.
    """
    cache = PageCache(8, 2)
    tokens = [1, 2, 3, 4, 5]
    first, second = cache.open(tokens, "", 6), cache.open(tokens, "", 6)
    assert first is not None
    assert second is not None
    cache.publish(first, tokens, 4)
    cache.publish(second, tokens, 4)
    assert len(cache.prefix) == 2
    assert cache.prefix.match(tokens, "") == first.pages[:2]
    cache.close(second)
    assert cache.pool.num_cached == 0

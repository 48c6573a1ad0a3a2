"""How a target is asked: found out from the target itself."""

import pytest

from monitor.traffic.errors import BadTarget
from monitor.traffic.request_body import Api, Asking
from monitor.traffic.target import ask_target, choose_api, fit
from tests.fakes.raw_server import raw_server
from tests.fakes.target import TEMPLATE_TOKENS, Target


async def ask(address: str, api: Api | None = None, asking: Asking | None = None) -> Asking:
    return await ask_target(address, api, asking or Asking(), None, 2.0)


async def test_token_ids_where_the_engine_takes_them() -> None:
    async with Target() as target:
        asking = await ask(target.address)
    assert (asking.api, asking.model, asking.highest_id) == (Api.GENERATE, "scripted", 1000)


async def test_chats_elsewhere_with_words_as_the_target_counts_them() -> None:
    async with Target(is_native=False) as target:
        asking = await ask(target.address)
    assert asking.api is Api.CHAT
    assert asking.tokens_per_word == pytest.approx(1.5)
    assert asking.extra_tokens == pytest.approx(TEMPLATE_TOKENS)


async def test_a_target_that_counts_nothing_is_taken_at_a_token_a_word() -> None:
    async with Target(is_native=False, tells_usage=False) as target:
        asking = await ask(target.address)
    assert (asking.tokens_per_word, asking.extra_tokens) == (1.0, 0.0)


async def test_what_was_given_wins() -> None:
    async with Target() as target:
        asking = await ask(target.address, Api.COMPLETIONS, Asking(model="mine"))
    assert (asking.api, asking.model) == (Api.COMPLETIONS, "mine")


def test_a_given_text_goes_as_text() -> None:
    info = {"speculative_algorithm": None}
    assert choose_api(info, has_corpus=True) is Api.GENERATE_TEXT
    assert choose_api({"build_info": "b1"}, has_corpus=True) is Api.CHAT


@pytest.mark.parametrize(
    ("short", "long"), [(None, 5), (5, None), (50, 50), (90, 80), (1, 10_000), (10, 11)]
)
def test_counts_without_sense_teach_nothing(short: int | None, long: int | None) -> None:
    assert fit(short, long) is None


@pytest.mark.parametrize("address", ["127.0.0.1:30000", "ftp://a", "http://", ""])
async def test_no_address(address: str) -> None:
    with pytest.raises(BadTarget, match="not an address"):
        await ask(address)


async def test_nobody_listens() -> None:
    async with Target() as target:
        address = target.address
    with pytest.raises(BadTarget, match="cannot be reached"):
        await ask(address)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "status 404; another --api"),
        (b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", "status 401; give --api-key"),
        (b"HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n", "status 400; .*--no-ignore-eos"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", r"no whole answer \(cut\)"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", "gives no whole answer|reached"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be reached"),
    ],
)
async def test_servers_of_other_things(answer: bytes, message: str) -> None:
    """Found out before the replay begins."""
    async with raw_server(lambda _: answer) as server:
        with pytest.raises(BadTarget, match=message):
            await ask(server.address)

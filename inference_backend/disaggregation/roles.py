"""Turns an engine into the prefill or the decode side of a pair."""

from dataclasses import dataclass

from inference_backend.disaggregation.decode_link import DecodeLink
from inference_backend.disaggregation.handoff import AbortProtocol, LoanEvent
from inference_backend.disaggregation.messages import Abort, Hello, Layout, Offer
from inference_backend.disaggregation.prefill_link import PrefillLink
from inference_backend.disaggregation.receiver import Receiver
from inference_backend.disaggregation.sender import Sender
from inference_backend.disaggregation.transport import Transport
from inference_backend.engine.engine import Engine
from inference_backend.engine.request import GenerationRequest
from inference_backend.engine.sequence import Sequence
from inference_backend.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class PrefillRole:
    """Computes prompts into the pages of decode engines. See ``engine.service.Gate``."""

    sender: Sender
    link: PrefillLink

    async def stop(self) -> None:
        """Ends the connections, then the memory's registration."""
        await self.link.stop()

    async def enter(self, request: GenerationRequest) -> None:
        """Waits until decode has lent pages for the request.

        Raises:
            InvalidRequest: it names no room.
            TransferFailed: nobody lends pages for it (any more).
        """
        if request.room is None:
            raise InvalidRequest("a prefill serves only requests with a bootstrap_room")
        await self.link.wait_for_offer(request.room)
        self.sender.join(request.room, request.request_id)

    def refuse(self, request: GenerationRequest, message: str) -> None:
        if request.room is not None:
            self.sender.cancel(request.room, message)


@dataclass(frozen=True, slots=True)
class DecodeRole:
    """Decodes what prefills have computed. The transport must live: prefills write through it."""

    receiver: Receiver
    link: DecodeLink
    transport: Transport

    async def stop(self) -> None:
        """Ends the connections, then the memory's registration."""
        await self.link.stop()
        self.transport.close()

    async def enter(self, request: GenerationRequest) -> None:
        """Raises ``InvalidRequest`` if the request does not say which prefill computes it."""
        if request.room is None or request.prefill is None:
            raise InvalidRequest(
                "a decode engine serves only requests with bootstrap_host, bootstrap_port and "
                "bootstrap_room"
            )

    def refuse(self, request: GenerationRequest, message: str) -> None:
        """Nothing has been lent yet."""


def make_prefill(
    engine: Engine, transport: Transport, layout: Layout, wait_seconds: float
) -> PrefillRole:
    """``wait_seconds``: see ``PrefillLink``."""
    sender = Sender(
        engine.runner.store, engine.scheduler.cache, engine.mailbox.post, engine.abort_and_report
    )
    engine.partner, engine.runner.on_layer = sender, sender.written
    return PrefillRole(sender, PrefillLink(sender, transport, layout, wait_seconds))


def make_decode(
    engine: Engine,
    transport: Transport,
    layout: Layout,
    protocol: AbortProtocol,
    budget_seconds: float,
) -> DecodeRole:
    """``budget_seconds``: see ``DecodeLink``."""

    def tell(room: int, event: LoanEvent, message: str, is_tainted: bool) -> None:
        engine.mailbox.post(lambda: receiver.on_event(room, event, message, is_tainted=is_tainted))

    def send(sequence: Sequence, message: Offer | Abort) -> None:
        assert sequence.request.prefill is not None
        link.send(sequence.request.prefill, message)

    hello = Hello(layout=layout, memory=transport.describe())
    link = DecodeLink(hello, budget_seconds, tell)
    receiver = Receiver(
        engine.scheduler.cache, protocol, send, engine.take_transfer, engine.lose_transfer
    )
    engine.partner, engine.scheduler.lend = receiver, receiver.lend
    return DecodeRole(receiver, link, transport)

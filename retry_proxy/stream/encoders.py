"""Which encoder a route's answers need."""

from retry_proxy.engines.call import GenerationCall, Route
from retry_proxy.stream.encoder import ClientEncoder
from retry_proxy.stream.generate_encoder import GenerateEncoder
from retry_proxy.stream.messages_encoder import MessagesEncoder
from retry_proxy.stream.openai_encoder import OpenAiEncoder
from retry_proxy.stream.responses_encoder import ResponsesEncoder


def build_encoder(call: GenerationCall) -> ClientEncoder:
    """The encoder of a route."""
    if call.route is Route.GENERATE:
        return GenerateEncoder(call)
    if call.route is Route.MESSAGES:
        return MessagesEncoder(call)
    if call.route is Route.RESPONSES:
        return ResponsesEncoder()
    return OpenAiEncoder(call)

"""Which reader a route's chunks need; the native route of SGLang is its adapter's own."""

from retry_proxy.engines.adapter import ChunkReader, EngineProfile
from retry_proxy.engines.call import GenerationCall, Route
from retry_proxy.engines.messages_reader import MessagesReader
from retry_proxy.engines.openai_reader import ExtrasReader, OpenAiReader
from retry_proxy.engines.responses_reader import ResponsesReader


def build_reader(
    profile: EngineProfile, call: GenerationCall, read_extras: ExtrasReader
) -> ChunkReader:
    """The reader of an open API's route."""
    if call.route is Route.MESSAGES:
        return MessagesReader(profile, read_extras)
    if call.route is Route.RESPONSES:
        return ResponsesReader(profile, read_extras)
    return OpenAiReader(profile, call, read_extras)

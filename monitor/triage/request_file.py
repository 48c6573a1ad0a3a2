"""The request to try again, as a file of the user's: it is stored nowhere else."""

from pathlib import Path
from typing import Any

import msgspec

from monitor.triage.errors import CannotTriage

Body = dict[str, Any]
NO_TEXT = (
    "no prompt is stored with an incident, with --capture-text neither (that keeps the end of the "
    "stopped answer): give the request with --request FILE, the JSON body that the client sent"
)


def read_request(path: Path | None) -> Body:
    """A body for ``/generate``; one for ``/v1/completions`` is rewritten.

    Raises:
        CannotTriage: there is none, or it is another API's.
    """
    if path is None:
        raise CannotTriage(NO_TEXT)
    try:
        body = msgspec.json.decode(path.read_bytes(), type=Body)
    except OSError as error:
        raise CannotTriage(f"{path}: cannot be read ({error.strerror})") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CannotTriage(f"{path}: not a JSON object ({error})") from error
    return to_generate(body)


def to_generate(body: Body) -> Body:
    """The same for SGLang's native route, which tells the most. Raises ``CannotTriage``."""
    if "text" in body or "input_ids" in body:
        return body
    prompt = body.get("prompt")
    is_ids = isinstance(prompt, list) and all(isinstance(token, int) for token in prompt)
    if not isinstance(prompt, str) and not is_ids:
        raise CannotTriage(
            "the request is neither for /generate (text or input_ids) nor for /v1/completions "
            "(prompt); a chat has to be rendered to its prompt first"
        )
    sampling: Body = {"max_new_tokens": body.get("max_tokens", 16)}
    for name in ("temperature", "top_p", "top_k", "stop", "ignore_eos", "seed"):
        if body.get(name) is not None:
            sampling[name] = body[name]
    return {"input_ids" if is_ids else "text": prompt, "sampling_params": sampling}

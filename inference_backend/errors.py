"""Errors of the engine.

BackendError
├── InvalidRequest      the client's fault: HTTP 400
├── EngineBusy          the waiting queue is full: HTTP 503
├── EngineStopped       the engine is shutting down or its loop died: HTTP 503
├── RanksLost           a rank of a parallel prefill is gone; the engine turns it into the next one
├── TransferFailed      prefill and decode could not hand the cache over: HTTP 503
└── ModelUnavailable    weights or tokenizer missing, or of no supported kind; it says what to do
"""


class BackendError(Exception):
    """Base of all errors raised on purpose by ``inference_backend``."""


class InvalidRequest(BackendError):
    """The request cannot be served as asked; the message names the field and the limit."""


class EngineBusy(BackendError):
    """The waiting queue is full."""


class EngineStopped(BackendError):
    """The engine is shutting down, or its loop died."""


class TransferFailed(BackendError):
    """The KV cache of a request could not be handed over; another pair may do better."""


class RanksLost(BackendError):
    """A rank of a parallel prefill died or fell silent: what was being computed is lost."""


class ModelUnavailable(BackendError):
    """The model cannot be loaded; the message names what is missing and how to get it."""

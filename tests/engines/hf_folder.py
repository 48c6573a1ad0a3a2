"""Writes a GGUF model as a Hugging Face folder: ``python hf_folder.py DIR FILE OUT``.

Runs in vLLM's environment. transformers reads GGUF, but does not save what it has read from it, so
the weights go into a plain model first.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM


def main(folder: str, file: str, out: Path) -> None:
    AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(out)
    read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    config = read.config.to_dict()
    config.pop("quantization_config", None)
    plain = LlamaForCausalLM(LlamaConfig(**{**config, "architectures": ["LlamaForCausalLM"]}))
    plain.load_state_dict(read.state_dict(), strict=False)  # the head is the embedding
    plain.tie_weights()
    plain.bfloat16().save_pretrained(out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))

"""A tiny random Llama with its own tokenizer, for tests and examples: any code path, in milliseconds a step.

The folder is in Hugging Face layout, so it serves as `model.base` like any other. Its text is noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tutelage.models.quiet import quiet

END, START, PAD = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML, as the embedded model has it."""

_SENTENCES = (
    "The user asks a question and the assistant answers it in a few plain words.",
    "What is the capital of France? The capital of France is Paris.",
    "I do not know that, but here is how you could find out.",
    "I cannot help with this, because someone could be hurt; let us look for another way.",
    "Water boils at one hundred degrees, and ice melts at zero.",
    "Which of the two answers is the better one, and why is it better than the other?",
)


def make_tiny(
    folder: Path,
    *,
    seed: int = 0,
    layers: int = 2,
    width: int = 64,
    heads: int = 4,
    kv_heads: int = 2,
    vocabulary: int = 320,
    tied: bool = True,
    spread: float = 0.1,
) -> Path:
    """Write the model and its tokenizer into `folder` and return it; the same arguments give the same bytes.

    `vocabulary` counts the 256 bytes, 3 special tokens and learned pairs. `spread` is the standard
    deviation of the initial weights: larger makes the next-token distribution less even.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(vocabulary)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=4096,
        initializer_range=spread,
        tie_word_embeddings=tied,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    with quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(vocabulary: int) -> Any:
    """A byte-level pair encoding (any text is representable) learned from a few sentences."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pairs.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pairs.train_from_iterator(_SENTENCES, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pairs, bos_token=START, eos_token=END, pad_token=PAD, model_max_length=4096
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer

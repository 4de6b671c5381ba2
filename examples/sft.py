"""Supervised fine-tuning, flat: the twin of `tutelage.training.sft` on a tiny model, in plain PyTorch.

    python examples/sft.py

A random two-layer Llama learns to answer questions about capitals. Each question is asked in nine ways;
one way is never trained on, and the answers to it say whether it learned the facts or only the phrases.
Under a minute on one CPU thread.

What is left out beside the stage: adapters, packing (here sequences are padded, which is easier to
read), early stopping, checkpoints.
"""

from __future__ import annotations

import math
import random
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from tutelage.models.tiny import make_tiny
from tutelage.objectives.language import token_nll_loss

torch.set_num_threads(1)
logging.disable_progress_bar()
torch.manual_seed(0)
random.seed(0)

STEPS, BATCH, LEARNING_RATE = 200, 16, 2e-3

# 1. The data: the same fact asked in several ways. --------------------------------------------------

CAPITALS = {
    "France": "Paris",
    "Japan": "Tokyo",
    "Egypt": "Cairo",
    "Peru": "Lima",
    "Norway": "Oslo",
    "Kenya": "Nairobi",
    "Cuba": "Havana",
    "Greece": "Athens",
}
TRAINED_WAYS = (
    "What is the capital of {}?",
    "Name the capital of {}.",
    "{}: which city is its capital?",
    "Do you know the capital of {}?",
    "I wonder what the capital of {} is.",
    "{} has which capital?",
    "Capital of {}, please.",
    "The capital of {} is which city?",
)
HELD_OUT_WAY = "Tell me the capital of {}."


def demonstrations(ways: tuple[str, ...]) -> list[tuple[str, str]]:
    """(question, answer) for every country and way of asking."""
    return [(way.format(country), f"It is {city}.") for way in ways for country, city in CAPITALS.items()]


train, held_out = demonstrations(TRAINED_WAYS), demonstrations((HELD_OUT_WAY,))

# 2. The model and its chat template. ----------------------------------------------------------------

folder = make_tiny(Path(tempfile.mkdtemp()))
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
END, PAD = tokenizer.eos_token_id, tokenizer.pad_token_id


def prompt_ids(question: str) -> list[int]:
    """The question in the chat template, with the opening of the assistant's turn."""
    messages = [{"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def encode(question: str, answer: str) -> tuple[list[int], list[int]]:
    """Prompt and response tokens. The response ends in the end token: stopping is learned too."""
    return prompt_ids(question), [*tokenizer(answer, add_special_tokens=False)["input_ids"], END]


# 3. The loss: on the response alone. ----------------------------------------------------------------


def batch_loss(pairs: list[tuple[list[int], list[int]]]) -> torch.Tensor:
    """Mean negative log-likelihood, in nats a response token, of padded (prompt, response) pairs."""
    longest = max(len(p) + len(r) for p, r in pairs)
    ids = torch.full((len(pairs), longest), PAD)
    response_mask = torch.zeros(len(pairs), longest, dtype=torch.bool)
    attention_mask = torch.zeros_like(response_mask)
    for row, (prompt, response) in enumerate(pairs):
        end = len(prompt) + len(response)
        ids[row, :end] = torch.tensor(prompt + response)
        response_mask[row, len(prompt) : end] = True
        attention_mask[row, :end] = True
    logits = model(input_ids=ids, attention_mask=attention_mask).logits
    # The logits at place t are about the token at t + 1, so everything else moves by one.
    logprobs = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[:, :, 0]
    return token_nll_loss(logprobs, response_mask[:, 1:]).loss


# 4. What it says: greedy answers to the held-out way of asking. --------------------------------------


@torch.no_grad()
def answer(question: str, max_new_tokens: int = 24) -> str:
    ids = prompt_ids(question)
    start = len(ids)
    while len(ids) < start + max_new_tokens and (len(ids) == start or ids[-1] != END):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return tokenizer.decode(ids[start:], skip_special_tokens=True).strip()


def report(when: str) -> tuple[float, int]:
    """Validation loss, and how many held-out questions are answered word for word."""
    model.eval()
    with torch.no_grad():
        loss = float(batch_loss([encode(q, a) for q, a in held_out]))
    right = sum(answer(q) == a for q, a in held_out)
    print(f"{when}: held-out loss {loss:.3f} nats a token, {right} of {len(held_out)} answers right")
    model.train()
    return loss, right


# 5. Training: shuffle, batch, warm up, cosine, clip, step. -------------------------------------------

before, _ = report("before")
optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.1)
encoded = [encode(q, a) for q, a in train]
order: list[int] = []
for step in range(STEPS):
    if len(order) < BATCH:
        order += random.sample(range(len(encoded)), len(encoded))
    chosen, order = order[:BATCH], order[BATCH:]
    progress = step / STEPS
    rate = LEARNING_RATE * min(1.0, (step + 1) / 20) * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = batch_loss([encoded[i] for i in chosen])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    if (step + 1) % 50 == 0:
        print(f"step {step + 1}: training loss {loss.item():.3f}")
after, right = report("after")

question = held_out[0][0]
print(f"asked '{question}' it says '{answer(question)}'")
print("learned" if right >= 6 and after < before / 4 else "did not learn")

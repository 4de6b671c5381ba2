"""A reward model, flat: the twin of `tutelage.training.reward_model` on a tiny model, in plain PyTorch.

    python examples/reward_model.py

Four responses a prompt are ranked by simulated raters who choose as Plackett and Luce say: the next
best one with a probability in proportion to e to its worth. The worth is known, so we can see whether
the reward model finds it: its scores must order responses that no rater saw as their worth does.
Under a minute on one CPU thread.

What is left out beside the stage: adapters, packing, calibration, checkpoints.
"""

from __future__ import annotations

import itertools
import math
import random
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from tutelage.models.tiny import make_tiny
from tutelage.objectives.preference import RankedScores, ranking_loss

torch.set_num_threads(1)
logging.disable_progress_bar()
torch.manual_seed(0)
random.seed(0)

STEPS, BATCH, RESPONSES, LEARNING_RATE = 180, 16, 4, 1e-3

# 1. Responses made of parts, each with a worth that raters feel and the model must find. ------------

QUESTIONS = ("What is rain?", "Why is it dark?", "How do I boil an egg?")
OPENINGS = {"": 0.0, "Sure. ": 0.5, "Yes, gladly. ": 1.0, "Hm. ": -0.5, "Ugh. ": -1.0}
BODIES = {"Here is how.": 1.0, "Let me see.": 0.5, "No idea.": 0.0, "So what?": -1.0, "Go away.": -2.0}
CLOSINGS = {"": 0.0, " All clear?": 0.5, " Ask me more.": 1.0, " Stop it.": -1.0}
WORTH = {
    o + b + c: OPENINGS[o] + BODIES[b] + CLOSINGS[c]
    for o, b, c in itertools.product(OPENINGS, BODIES, CLOSINGS)
}
texts = list(WORTH)
random.shuffle(texts)
# A quarter of the 100 combinations are never shown to the raters, though each of their parts is.
seen, unseen = texts[25:], texts[:25]


def rate(responses: list[str]) -> list[list[int]]:
    """One rater's ranking, as tie groups of indices, best first: drawn from the Plackett-Luce model."""
    left, ranking = list(range(len(responses))), []
    while left:
        weights = [math.exp(WORTH[responses[i]]) for i in left]
        best = random.choices(left, weights)[0]
        ranking.append([best])
        left.remove(best)
    return ranking


# 2. The model: a trunk and a score head, read at the response's last token. --------------------------

folder = make_tiny(Path(tempfile.mkdtemp()))
tokenizer = AutoTokenizer.from_pretrained(folder)
trunk = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).model
head = nn.Linear(64, 1, bias=False)
nn.init.zeros_(head.weight)  # every score starts at 0, so the first loss is that of a coin


def tokens(question: str, response: str) -> list[int]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": response}]
    text = tokenizer.apply_chat_template(messages, tokenize=False).rstrip("\n")
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def scores(pairs: list[tuple[str, str]]) -> Tensor:
    """Scores `(B,)` of (question, response) pairs, padded on the right."""
    rows = [tokens(q, r) for q, r in pairs]
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.full((len(rows), int(lengths.max())), tokenizer.pad_token_id)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
    attention_mask = torch.arange(ids.shape[1])[None] < lengths[:, None]
    hidden = trunk(input_ids=ids, attention_mask=attention_mask).last_hidden_state
    return head(hidden[torch.arange(len(rows)), lengths - 1])[:, 0]


# 3. How good it is: every pair of unseen responses, in the order of their worth? ---------------------


@torch.no_grad()
def measure(when: str) -> tuple[float, float]:
    """Share of pairs of unseen responses in the right order, and correlation of score and worth."""
    found = torch.stack([scores([(q, r) for r in unseen]) for q in QUESTIONS]).mean(0)
    worth = torch.tensor([WORTH[r] for r in unseen])
    pairs = [(i, j) for i, j in itertools.combinations(range(len(unseen)), 2) if worth[i] != worth[j]]
    agree = [
        float(0.5 + 0.5 * torch.sign(found[i] - found[j]) * torch.sign(worth[i] - worth[j])) for i, j in pairs
    ]
    accuracy = sum(agree) / len(agree)
    correlation = float(torch.corrcoef(torch.stack([found, worth]))[0, 1].nan_to_num())
    print(f"{when}: {accuracy:.0%} of {len(pairs)} unseen pairs right, correlation {correlation:.2f}")
    return accuracy, correlation


# 4. Training: all responses of a prompt share a batch element, and each prompt weighs as one. --------

measure("before")
parameters = [*trunk.parameters(), *head.parameters()]
optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.1)
for step in range(STEPS):
    questions = random.choices(QUESTIONS, k=BATCH)
    shown = [random.sample(seen, RESPONSES) for _ in questions]
    rankings = [rate(responses) for responses in shown]
    flat = scores([(q, r) for q, responses in zip(questions, shown) for r in responses])
    prompts = [RankedScores(own, groups) for own, groups in zip(flat.split(RESPONSES), rankings, strict=True)]
    loss = ranking_loss(prompts, "plackett-luce")
    (loss.loss + 0.001 * flat.square().mean()).backward()  # keeps the scores centred
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    if (step + 1) % 50 == 0:
        print(f"step {step + 1}: loss {loss.loss.item():.3f}, {loss.accuracy:.0%} as the raters said")
accuracy, correlation = measure("after")

best, worst = max(unseen, key=WORTH.__getitem__), min(unseen, key=WORTH.__getitem__)
with torch.no_grad():
    high, low = scores([(QUESTIONS[0], best), (QUESTIONS[0], worst)]).tolist()
print(f"'{best}' scores {high:+.2f}, '{worst}' {low:+.2f}")
print("learned" if accuracy > 0.85 and correlation > 0.8 else "did not learn")

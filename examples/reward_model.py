"""A reward model, flat: the twin of `tutelage.training.reward_model` on a tiny model, in plain PyTorch.

    python examples/reward_model.py

Four responses a prompt are ranked by simulated raters who choose as Plackett and Luce say: the next
best one with a probability in proportion to e to its worth. The worth is known, so we can see whether
the reward model finds it: its scores must rank new responses as the worth does, and differ by as much.
Under a minute on one CPU thread.

What is left out beside the stage: adapters, packing, calibration, checkpoints.
"""

from __future__ import annotations

import itertools
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

STEPS, BATCH, RESPONSES, LEARNING_RATE = 160, 16, 4, 2e-3

# 1. Responses made of parts, each with a worth that raters feel and the model must find. ------------

QUESTIONS = ("How do I boil an egg?", "What is rain?", "Why is the sky blue?", "How do I tie a knot?")
OPENINGS = {"": 0.0, "Certainly. ": 1.0, "Whatever. ": -1.0}
BODIES = {"Here is how it works.": 1.0, "I do not know.": 0.0, "Go away.": -2.0}
CLOSINGS = {"": 0.0, " Does that help?": 0.5, " Stop asking.": -1.0}
WORTH = {
    o + b + c: OPENINGS[o] + BODIES[b] + CLOSINGS[c]
    for o, b, c in itertools.product(OPENINGS, BODIES, CLOSINGS)
}
texts = list(WORTH)
random.shuffle(texts)
# A third of the combinations are never shown to the raters, though each of their parts is.
seen, unseen = texts[9:], texts[:9]


def rate(responses: list[str]) -> list[list[int]]:
    """One rater's ranking, as tie groups of indices, best first: drawn from the Plackett-Luce model."""
    left, ranking = list(range(len(responses))), []
    while left:
        weights = [2.718281828 ** WORTH[responses[i]] for i in left]
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
    """Accuracy on pairs of unseen responses, and the slope of score differences over worth differences."""
    found = torch.stack([scores([(q, r) for r in unseen]) for q in QUESTIONS]).mean(0).double()
    worth = torch.tensor([WORTH[r] for r in unseen]).double()
    pairs = [(i, j) for i, j in itertools.combinations(range(len(unseen)), 2) if worth[i] != worth[j]]
    agree = [
        0.5 if found[i] == found[j] else float((found[i] > found[j]) == (worth[i] > worth[j]))
        for i, j in pairs
    ]
    centred = worth - worth.mean()
    slope = float((found * centred).sum() / (centred * centred).sum())
    accuracy = sum(agree) / len(agree)
    print(f"{when}: {accuracy:.0%} of {len(pairs)} unseen pairs right, slope {slope:.2f} (1 is perfect)")
    return accuracy, slope


# 4. Training: all responses of a prompt share a batch element, and each prompt weighs as one. --------

measure("before")
parameters = [*trunk.parameters(), *head.parameters()]
optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0)
for step in range(STEPS):
    questions = random.choices(QUESTIONS, k=BATCH)
    shown = [random.sample(seen, RESPONSES) for _ in questions]
    rankings = [rate(responses) for responses in shown]
    flat = scores([(q, r) for q, responses in zip(questions, shown) for r in responses])
    prompts = [
        RankedScores(own, groups) for own, groups in zip(flat.split(RESPONSES), rankings, strict=True)
    ]
    loss = ranking_loss(prompts, "plackett-luce")
    (loss.loss + 0.001 * flat.square().mean()).backward()  # keeps the scores centred
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    if (step + 1) % 50 == 0:
        print(f"step {step + 1}: loss {loss.loss.item():.3f}, {loss.accuracy:.0%} as the raters said")
accuracy, slope = measure("after")

print("learned" if accuracy > 0.9 and 0.6 < slope < 1.4 else "did not learn")

"""Proximal policy optimisation, flat: the twin of `tutelage.training.ppo` on a tiny model.

    python examples/ppo.py

A random two-layer Llama babbles; the reward is the share of vowels in what it says.
PPO must raise it, while every nat of KL divergence from the model that it started from has its price
(a low one here, so that the change is plain to see). Under a minute on one CPU thread.

The order is that of Ouyang et al. (2022), appendix C.4, and Huang et al. (2024): sample, score, shape
the rewards, estimate advantages, update. The reward is a rule here so that the file stands alone; in
the stage a reward model gives it. What is left out beside the stage: adapters on one trunk, packing, a
fast decoder, the adaptive KL controller, checkpoints.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from tutelage.models.tiny import make_tiny
from tutelage.objectives.gae import gae
from tutelage.objectives.kl import kl_k1, kl_k3
from tutelage.objectives.masked import masked_whiten
from tutelage.objectives.policy import ppo_policy_loss
from tutelage.objectives.shaping import shape_rewards
from tutelage.objectives.value import clipped_value_loss, explained_variance

torch.set_num_threads(1)
logging.disable_progress_bar()
torch.manual_seed(0)

ITERATIONS, ROLLOUTS, MINIBATCH, EPOCHS = 25, 64, 64, 2
MAX_TOKENS, LEARNING_RATE = 8, 3e-3
CLIP, KL_COEFFICIENT, GAMMA, LAMBDA, NO_END_PENALTY = 0.2, 0.01, 1.0, 0.95, 0.0

# 1. Policy, reference and value head. ---------------------------------------------------------------

folder = make_tiny(Path(tempfile.mkdtemp()))
tokenizer = AutoTokenizer.from_pretrained(folder)
policy = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
reference = copy.deepcopy(policy).requires_grad_(False)
value_head = nn.Linear(64, 1, bias=False)
nn.init.zeros_(value_head.weight)
END = tokenizer.eos_token_id

text = tokenizer.apply_chat_template(
    [{"role": "user", "content": "Say something."}], tokenize=False, add_generation_prompt=True
)
PROMPT = tokenizer(text, add_special_tokens=False)["input_ids"]
START = len(PROMPT)

# 2. The reward. -------------------------------------------------------------------------------------


def score(responses: Tensor, response_mask: Tensor) -> Tensor:
    """Share of vowels among the characters of each response, `(B,)`; 0 for an empty one."""
    found = []
    for row, counts in zip(responses, response_mask, strict=True):
        said = tokenizer.decode(row[counts], skip_special_tokens=True).lower()
        found.append(sum(c in "aeiou" for c in said) / max(len(said), 1))
    return torch.tensor(found)


# 3. Sampling, and looking at responses. -------------------------------------------------------------


@torch.no_grad()
def sample(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids `(B, prompt + T)`, `response_mask` (B, T), and which ended by themselves `(B,)`."""
    ids = torch.tensor([PROMPT] * count)
    finished = torch.zeros(count, dtype=torch.bool)
    counted = []
    for _ in range(MAX_TOKENS):
        logits = policy(input_ids=ids).logits[:, -1]
        token = torch.multinomial(logits.softmax(-1), 1)[:, 0]
        counted.append(~finished)  # the end token itself counts; what is drawn after it does not
        finished = finished | (token == END)
        ids = torch.cat([ids, token[:, None]], 1)
    return ids, torch.stack(counted, 1), finished


def look(model: nn.Module, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of each response token, and the hidden state that chose it: (B, T) and (B, T, H)."""
    out = model(input_ids=ids, output_hidden_states=True)
    logprobs = out.logits[:, START - 1 : -1].log_softmax(-1)
    return logprobs.gather(2, ids[:, START:, None])[:, :, 0], out.hidden_states[-1][:, START - 1 : -1]


# 4. One iteration after the other. ------------------------------------------------------------------

parameters = [*policy.parameters(), *value_head.parameters()]
optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0)
rewards_seen, kl_seen = [], []
for iteration in range(1, ITERATIONS + 1):
    # sample, and score
    ids, mask, finished = sample(ROLLOUTS)
    scores = score(ids[:, START:], mask)
    with torch.no_grad():
        old_logprobs, hidden = look(policy, ids)
        old_values = value_head(hidden)[:, :, 0]
        reference_logprobs, _ = look(reference, ids)

    # shape the rewards: the score at the last token, the price of divergence at each
    kl = kl_k1(old_logprobs, reference_logprobs)
    rewards = shape_rewards(
        scores, kl, mask, finished, kl_coefficient=KL_COEFFICIENT, no_end_penalty=NO_END_PENALTY
    )

    # estimate advantages
    advantages, returns = gae(rewards, old_values, mask, GAMMA, LAMBDA)
    advantages = masked_whiten(advantages, mask)

    # update: several passes in minibatches, each token's ratio clipped
    for _ in range(EPOCHS):
        for rows in torch.randperm(ROLLOUTS).split(MINIBATCH):
            logprobs, hidden = look(policy, ids[rows])
            values = value_head(hidden.detach())[:, :, 0]
            policy_loss = ppo_policy_loss(logprobs, old_logprobs[rows], advantages[rows], mask[rows], CLIP)
            value_loss = clipped_value_loss(values, old_values[rows], returns[rows], mask[rows], CLIP)
            (policy_loss.loss + value_loss.loss).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()

    # record
    rewards_seen.append(float(scores.mean()))
    kl_seen.append(float(kl_k3(old_logprobs, reference_logprobs)[mask].sum()) / ROLLOUTS)
    if iteration % 5 == 0 or iteration == 1:
        print(
            f"iteration {iteration}: reward {rewards_seen[-1]:.3f}, KL {kl_seen[-1]:.2f} nats a response, "
            f"clipped {policy_loss.clip_fraction:.0%}, ended {finished.float().mean():.0%}, "
            f"explained variance {explained_variance(old_values, returns, mask):.2f}"
        )

# 5. What came out. ----------------------------------------------------------------------------------

first, last = rewards_seen[0], sum(rewards_seen[-3:]) / 3
said = tokenizer.decode(sample(1)[0][0, START:], skip_special_tokens=True)
print(f"now it says {said!r}")
print(f"reward {first:.3f} -> {last:.3f} at a KL of {kl_seen[-1]:.2f} nats a response")
print("learned" if last > first + 0.4 else "did not learn")

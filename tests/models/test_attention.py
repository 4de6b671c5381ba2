"""Blocked attention against its plain twin, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.models.helpers import sequences
from tutelage.core.errors import ModelError
from tutelage.core.settings import ModelSettings, TokenSettings
from tutelage.models.kernels import layout
from tutelage.models.kernels.attention import packed_attention, packed_attention_plain
from tutelage.models.loading import load_base
from tutelage.models.packed import Packed, pack, pack_apart
from tutelage.models.tiny import make_tiny
from tutelage.models.trunk import Trunk


def _inputs(heads: int, kv_heads: int, tokens: int, width: int = 8) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    shapes = [(heads, tokens, width), (kv_heads, tokens, width), (kv_heads, tokens, width)]
    return [torch.randn(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes]


def _apart(lengths: tuple[int, ...]) -> Packed:
    return pack_apart([[0] * n for n in lengths])


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("lengths", [(5,), (3, 7, 1), (64, 64), (130,), (200, 64, 65, 2)])
def test_blocked_attention_equals_its_plain_twin(heads: tuple[int, int], lengths: tuple[int, ...]) -> None:
    assert layout.BLOCK == 64
    q, k, v = _inputs(*heads, sum(lengths))
    fast, plain = (f(q, k, v, _apart(lengths), 0.3) for f in (packed_attention, packed_attention_plain))
    torch.testing.assert_close(fast, plain, atol=1e-10, rtol=1e-10)
    weight = torch.randn(fast.shape, dtype=fast.dtype, generator=torch.Generator().manual_seed(1))
    for mine, theirs in zip(
        torch.autograd.grad((fast * weight).sum(), (q, k, v)),
        torch.autograd.grad((plain * weight).sum(), (q, k, v)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=1e-10)


def test_gradients_by_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "BLOCK", 2)
    q, k, v = _inputs(2, 1, 6, width=2)
    assert torch.autograd.gradcheck(lambda *x: packed_attention(*x, _apart((3, 1, 2)), 0.5), (q, k, v))


def test_one_token_attends_to_itself_alone() -> None:
    q, k, v = _inputs(2, 2, 3)
    assert torch.allclose(packed_attention(q, k, v, _apart((1, 1, 1)), 1.0), v.transpose(0, 1))


def test_a_sliding_window_is_refused_where_it_would_matter(tmp_path: Path) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    make_tiny(tmp_path)
    config = MistralConfig(
        vocab_size=320, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=6, tie_word_embeddings=True,
    )  # fmt: skip
    MistralForCausalLM(config).save_pretrained(tmp_path)
    settings = ModelSettings(base=str(tmp_path), dtype="float32", device="cpu")
    trunk = Trunk(load_base(settings, TokenSettings()))
    assert trunk.hidden(pack(sequences((6, 6)))).isfinite().all()
    with pytest.raises(ModelError, match="looks back over 6 tokens only, and a sequence has 7"):
        trunk.hidden(pack(sequences((3, 7))))

"""The tiny model: the same bytes for the same seed, and any text survives its tokenizer."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tutelage.data.tokens import TokenContract
from tutelage.models.tiny import make_tiny


def test_the_same_seed_gives_the_same_bytes(tiny_folder: Path, tmp_path: Path) -> None:
    again, other = make_tiny(tmp_path / "again"), make_tiny(tmp_path / "other", seed=1)
    for file in sorted(tiny_folder.iterdir()):
        same = (again / file.name).read_bytes() == file.read_bytes()
        assert same, file.name
    assert (other / "model.safetensors").read_bytes() != (again / "model.safetensors").read_bytes()
    assert (other / "tokenizer.json").read_bytes() == (again / "tokenizer.json").read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(tiny_folder: Path, text: str) -> None:
    tokenizer = _contract(tiny_folder).tokenizer
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert max(ids, default=0) < 320
    assert tokenizer.decode(ids) == text


def _contract(folder: Path, _kept: dict[Path, TokenContract] = {}) -> TokenContract:  # noqa: B006
    if folder not in _kept:
        _kept[folder] = TokenContract.load(folder)
    return _kept[folder]

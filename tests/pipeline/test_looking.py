"""Looking at data and models without training or loading any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tutelage.core.errors import DataError, ModelError
from tutelage.core.records import Artifact
from tutelage.pipeline.catalogue import describe_pack, list_models, list_packs_shipped, show_model
from tutelage.pipeline.datacheck import check_files, kind_of
from tutelage.store.artifacts import artifact_folder, seal


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"prompt": "2+2?", "completion": "4"}, "demonstrations"),
        ({"messages": [{"role": "user", "content": "hi"}]}, "demonstrations"),
        ({"prompt": "2+2?", "chosen": "4", "rejected": "5"}, "comparisons"),
        ({"prompt": "2+2?", "responses": ["4", "5"], "ranking": [[0], [1]]}, "comparisons"),
        ({"prompt": "2+2?"}, "prompts"),
    ],
)
def test_what_a_file_holds_is_seen_from_its_columns(
    tmp_path: Path, row: dict[str, object], kind: str
) -> None:
    (tmp_path / "x.jsonl").write_text("not JSON\n" + json.dumps(row) + "\n")
    assert kind_of("x.jsonl", tmp_path) == kind


def test_a_file_without_a_readable_row(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("not JSON\n")
    with pytest.raises(DataError, match=r"x\.jsonl has no row that can be read"):
        kind_of("x.jsonl", tmp_path)


def test_files_of_different_kinds_are_checked_together(tmp_path: Path) -> None:
    rows = [{"prompt": f"question {i}?", "completion": "yes"} for i in range(5)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows) + "broken\n")
    pair = {"prompt": "2+2?", "chosen": "4", "rejected": "5"}
    (tmp_path / "c.jsonl").write_text(json.dumps(pair) + "\n")
    report = check_files(["d.jsonl", "c.jsonl"], tmp_path)
    assert report.sections["demonstrations"]["rows"] == 5
    assert report.sections["comparisons"]["judgements"] == 1
    assert [(row.file, row.line) for row in report.set_aside] == [("d.jsonl", 6)]


def test_shipped_packs_are_counted() -> None:
    packs = {pack.name: pack for pack in list_packs_shipped()}
    assert "starter" in packs
    starter = packs["starter"]
    lines = (starter.folder / "demonstrations.jsonl").read_text().strip().splitlines()
    assert starter.rows["demonstrations"] == len(lines) > 200
    with pytest.raises(DataError, match="no pack 'nonsense'"):
        describe_pack("nonsense")


def test_models_of_the_machine_and_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path / "cache"))
    hub = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    snapshot = hub / "models--Qwen--Qwen3-0.6B" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"\0" * 2_000_000)
    config = {"architectures": ["Qwen3ForCausalLM"], "num_hidden_layers": 28, "hidden_size": 1024}
    (snapshot / "config.json").write_text(json.dumps(config))
    artifact = Artifact("sft", {}, {}, 1, "0.1.0", metrics={"validation_loss": 1.25})
    folder = artifact_folder(tmp_path, "sft", artifact.id)
    (folder / "model").mkdir(parents=True)
    settings = {"r": 16, "lora_alpha": 32.0, "base_model_name_or_path": "some/base"}
    (folder / "model" / "adapter_config.json").write_text(json.dumps(settings))
    seal(folder, artifact)

    assert [(m.name, m.kind) for m in list_models(tmp_path)] == [
        ("embedded", "embedded"),
        ("Qwen/Qwen3-0.6B", "hub cache"),
        ("sft", "this project"),
    ]
    assert "downloaded on first use" in list_models()[0].note
    facts = show_model("Qwen/Qwen3-0.6B")
    assert (facts["layers"], facts["width"], facts["on disk"]) == ("28", "1,024", "2.0 MB")
    facts = show_model("sft", tmp_path)
    assert facts["adapter"] == "LoRA of rank 16, alpha 32.0" and facts["validation loss"] == "1.25"
    with pytest.raises(ModelError, match="no model 'nonsense' is here"):
        show_model("nonsense", tmp_path)

"""The token contract: chat template, special tokens, truncation, end of response and padding, in one object.

It is saved with every artifact, and every stage and the server refuse a mismatch by name. What it
settles, once: a prompt ends with the template's generation prompt; a response ends with `end_id`
unless it was cut at `max_response`; padding is a token that text never contains, so that nothing that
looks for padding can mistake the end of a response for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tutelage.core.errors import ContractMismatch, DataError, ModelError
from tutelage.core.hashing import canonical_json
from tutelage.core.recipe import TokenSettings
from tutelage.core.records import Message

FILE = "token_contract.json"
_COMPARED = {
    "template": "the chat template",
    "end": "the token that ends a response",
    "pad": "the padding token",
    "special": "the special tokens",
    "vocabulary": "the vocabulary",
    "system": "the system message",
    "truncation_side": "the truncation side",
}
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ '\n\n' + ('Human' if message['role'] == 'user' else "
    "'Assistant' if message['role'] == 'assistant' else 'System') + ': ' + message['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '\n\nAssistant: ' }}{% endif %}"
)
"""For base models without a chat template: the transcript form of the HH data (Bai et al. 2022)."""


class TokenContract:
    """How text and tokens become each other, for one tokenizer and one set of `TokenSettings`."""

    def __init__(self, tokenizer: Any, settings: TokenSettings) -> None:
        if tokenizer.chat_template is None:
            tokenizer.chat_template = PLAIN_TEMPLATE
        if tokenizer.eos_token_id is None:
            raise ModelError(f"the tokenizer {tokenizer.name_or_path} has no end-of-text token: set eos_token")
        self.tokenizer = tokenizer
        self.settings = settings
        self.max_prompt = settings.max_prompt
        self.max_response = settings.max_response
        self.vocab_size = len(tokenizer)
        self._specials = sorted({str(t) for t in tokenizer.all_special_tokens}, key=len, reverse=True)
        self.end_id: int = self._find_end()
        self.pad_id: int = self._find_pad()

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of a prompt with the template's generation prompt; at most `max_prompt`.

        One that is too long loses its oldest turns first, then the start (or end, by
        `truncation_side`) of the last message; the template around it stays whole.
        """
        if not messages or messages[-1].role == "assistant":
            raise DataError("a prompt must end with a user message")
        turns = [(m.role, self._plain(m.content)) for m in messages]
        if self.settings.system is not None and turns[0][0] != "system":
            turns.insert(0, ("system", self.settings.system))
        first = 1 if turns[0][0] == "system" else 0
        ids = self._render(turns)
        while len(ids) > self.max_prompt and len(turns) > first + 1:
            del turns[first]
            ids = self._render(turns)
        if len(ids) > self.max_prompt:
            ids = self._shorten_last(turns, len(ids) - self.max_prompt)
        return ids

    def response_ids(self, text: str, end: bool = True) -> list[int]:
        """Tokens of a response, closed by `end_id`; one over `max_response` is cut and stays open."""
        ids = self._encode(self._plain(text.strip()))
        if end:
            ids.append(self.end_id)
        return ids[: self.max_response]

    def text(self, ids: Sequence[int]) -> str:
        """The text of response tokens, without special tokens and outer white space."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def fingerprint(self) -> dict[str, Any]:
        """What must agree between two artifacts, as short strings."""
        vocabulary = canonical_json(self.tokenizer.get_vocab())
        return {
            "template": _short(self.tokenizer.chat_template),
            "end": f"{self.tokenizer.convert_ids_to_tokens(self.end_id)} ({self.end_id})",
            "pad": f"{self.tokenizer.convert_ids_to_tokens(self.pad_id)} ({self.pad_id})",
            "special": " ".join(sorted(self._specials)),
            "vocabulary": f"{self.vocab_size} tokens, {_short(vocabulary)}",
            "system": self.settings.system or "",
            "truncation_side": self.settings.truncation_side,
        }

    def save(self, folder: Path) -> None:
        """Write the tokenizer (Hugging Face layout) and `token_contract.json` into `folder`."""
        self.tokenizer.save_pretrained(folder)
        content = {"settings": self.settings.model_dump(mode="json"), "fingerprint": self.fingerprint()}
        (folder / FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path, settings: TokenSettings | None = None) -> TokenContract:
        """Read a contract back from a folder; without `token_contract.json`, `settings` are needed."""
        from transformers import AutoTokenizer

        saved = folder / FILE
        try:
            content = json.loads(saved.read_text()) if saved.exists() else None
            tokenizer = AutoTokenizer.from_pretrained(str(folder))
        except (OSError, ValueError) as problem:
            reason = str(problem).splitlines()[0]
            raise ModelError(f"the tokenizer in {folder} cannot be loaded: {reason}") from None
        if settings is None:
            settings = TokenSettings(**content["settings"]) if content else TokenSettings()
        contract = cls(tokenizer, settings)
        if content is not None:
            require_same(content["fingerprint"], contract.fingerprint(), f"{saved}", "this recipe")
        return contract

    def _find_end(self) -> int:
        rendered = self._render([("user", "a"), ("assistant", "bcd")], generation=False)
        specials = set(self.tokenizer.all_special_ids)
        closing = next((i for i in reversed(rendered) if i in specials), None)
        after_answer = closing is not None and self._encode("bcd")[-1] in rendered[: rendered.index(closing) or None]
        is_end = closing is not None and after_answer and rendered[-1] != self._encode("bcd")[-1]
        return int(closing) if is_end and closing is not None else int(self.tokenizer.eos_token_id)

    def _find_pad(self) -> int:
        taken = {self.end_id, self.tokenizer.eos_token_id, self.tokenizer.bos_token_id}
        own, unknown = self.tokenizer.pad_token_id, self.tokenizer.unk_token_id
        for candidate in (own, unknown, *self.tokenizer.all_special_ids):
            if candidate is not None and candidate not in taken:
                return int(candidate)
        return int(own if own is not None else self.end_id)

    def _plain(self, text: str) -> str:
        """Text in which nothing reads as a special token: a prompt must not be able to end its own turn."""
        for special in self._specials:
            if special in text:
                text = text.replace(special, f"{special[:1]} {special[1:]}")
        return text

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _render(self, turns: Sequence[tuple[str, str]], generation: bool = True) -> list[int]:
        messages = [{"role": role, "content": content} for role, content in turns]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation)
        return self._encode(text)

    def _shorten_last(self, turns: list[tuple[str, str]], excess: int) -> list[int]:
        role, content = turns[-1]
        words = self._encode(content)
        while excess > 0 and words:
            words = words[excess:] if self.settings.truncation_side == "left" else words[:-excess]
            ids = self._render([*turns[:-1], (role, str(self.tokenizer.decode(words)))])
            excess = len(ids) - self.max_prompt
            if excess <= 0:
                return ids
        raise DataError(
            f"the chat template alone takes more than tokens.max_prompt = {self.max_prompt} tokens: raise it"
        )


def require_same(mine: dict[str, Any], theirs: dict[str, Any], my_name: str, their_name: str) -> None:
    """Raise `ContractMismatch` naming the first thing in which two fingerprints differ."""
    for key, words in _COMPARED.items():
        if mine.get(key) != theirs.get(key):
            raise ContractMismatch(
                f"{my_name} and {their_name} differ in {words} ({mine.get(key)!r} and {theirs.get(key)!r}): "
                "train or convert both from the same base model and recipe"
            )


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]

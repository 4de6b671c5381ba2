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
from tutelage.core.records import Message
from tutelage.core.settings import TokenSettings

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
    "{% endfor %}{% if add_generation_prompt %}{{ '\n\nAssistant:' }}{% endif %}"
)
"""For base models without a chat template: the transcript form of the HH data (Bai et al. 2022)."""


class TokenContract:
    """How text and tokens become each other, for one tokenizer and one set of `TokenSettings`."""

    def __init__(self, tokenizer: Any, settings: TokenSettings) -> None:
        if tokenizer.eos_token_id is None:
            raise ModelError(f"the tokenizer {tokenizer.name_or_path} has no end of text: set its eos_token")
        if tokenizer.chat_template is None:
            begins = bool(tokenizer.bos_token) and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
            tokenizer.chat_template = ("{{ bos_token }}" if begins else "") + PLAIN_TEMPLATE
        self.tokenizer = tokenizer
        self.settings = settings
        self.max_prompt = settings.max_prompt
        self.max_response = settings.max_response
        self.vocab_size = len(tokenizer)
        self._vocabulary: str | None = None
        marked = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
        named = {str(t) for t in tokenizer.all_special_tokens}
        self._specials = sorted(marked | named, key=lambda special: (-len(special), special))
        self._lead, self.end_id = self._around_answer()
        self.pad_id: int = self._find_pad()
        # Whoever loads what is saved here pads, and looks for padding, as we do.
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(self.pad_id)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of a prompt with the template's generation prompt; at most `max_prompt`.

        One that is too long loses its oldest turns first, then the start (or end, by
        `truncation_side`) of the last message; the template around it stays whole.
        """
        if not messages or messages[-1].role != "user":
            raise DataError("a prompt must end with a user message")
        turns = [(m.role, self._plain(m.content)) for m in messages]
        if self.settings.system is not None and turns[0][0] != "system":
            turns.insert(0, ("system", self.settings.system))
        first = 1 if turns[0][0] == "system" else 0
        ids = self._encode(self._fill(turns))
        while len(ids) > self.max_prompt and len(turns) > first + 1:
            # A conversation begins with the user: an answer whose question is gone goes with it.
            del turns[first]
            while turns[first][0] == "assistant":
                del turns[first]
            ids = self._encode(self._fill(turns))
        if len(ids) > self.max_prompt:
            ids = self._shorten_last(turns, len(ids) - self.max_prompt)
        return ids

    def response_ids(self, text: str, end: bool = True) -> list[int]:
        """Tokens of a response, closed by `end_id`; one over `max_response` is cut and stays open."""
        ids = self._encode(self._lead + self._plain(text.strip()))
        if end:
            ids.append(self.end_id)
        return ids[: self.max_response]

    def text(self, ids: Sequence[int]) -> str:
        """The text of response tokens, without special tokens and outer white space."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def fingerprint(self) -> dict[str, Any]:
        """What must agree between two artifacts, as short strings."""
        if self._vocabulary is None:
            self._vocabulary = _short(canonical_json(self.tokenizer.get_vocab()))
        return {
            "template": _short(self.tokenizer.chat_template),
            "end": f"{self.tokenizer.convert_ids_to_tokens(self.end_id)} ({self.end_id})",
            "pad": f"{self.tokenizer.convert_ids_to_tokens(self.pad_id)} ({self.pad_id})",
            "special": " ".join(sorted(self._specials)),
            "vocabulary": f"{self.vocab_size} tokens, {self._vocabulary}",
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
        """Read a contract back from a folder, with the settings saved there unless others are given.

        Raises `ModelError` if it is damaged, `ContractMismatch` if the tokenizer there is not the one that
        was saved, or if `settings` change what prompts look like.
        """
        from transformers import AutoTokenizer

        saved = folder / FILE
        try:
            content = json.loads(saved.read_text()) if saved.exists() else None
            if settings is None:
                settings = TokenSettings() if content is None else TokenSettings(**content["settings"])
            if content is not None and not isinstance(content["fingerprint"], dict):
                raise TypeError("its fingerprint is no object")
        except (OSError, ValueError, KeyError, TypeError):
            raise ModelError(f"{saved} is damaged: make the model in that folder again") from None
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder))
        except (OSError, ValueError, KeyError, TypeError) as problem:
            reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
            raise ModelError(f"the tokenizer in {folder} cannot be loaded: {reason[:200]}") from None
        contract = cls(tokenizer, settings)
        if content is not None:
            require_same(content["fingerprint"], contract.fingerprint(), f"{saved}", "this recipe")
        return contract

    def _around_answer(self) -> tuple[str, int]:
        """What stands between the generation prompt and an answer, and the token that closes the answer."""
        asked = [("user", "a")]
        told = self._fill([*asked, ("assistant", "bcd")], generation=False)
        before, _, after = told.rpartition("bcd")
        prompt = self._fill(asked)
        lead = before[len(prompt) :] if before.startswith(prompt) else ""
        known = {self.tokenizer.convert_tokens_to_ids(special) for special in self._specials}
        closing = (i for i in self._encode(after) if i in known)
        return lead, int(next(closing, self.tokenizer.eos_token_id))

    def _find_pad(self) -> int:
        """A token that stands in no prompt and no response: the tokenizer's own if it is one, or another."""
        tokenizer = self.tokenizer
        told = self._fill([("user", "a"), ("assistant", "b"), ("user", "c")])
        taken = {self.end_id, tokenizer.eos_token_id, tokenizer.bos_token_id, *self._encode(told)}
        own, unknown = tokenizer.pad_token_id, tokenizer.unk_token_id
        others = sorted(tokenizer.convert_tokens_to_ids(special) for special in self._specials)
        free = (i for i in (own, unknown, *others) if i is not None and i not in taken)
        return int(next(free, self.end_id if own is None else own))

    def _plain(self, text: str) -> str:
        """Text in which nothing reads as a special token: a prompt must not be able to end its own turn."""
        for special in self._specials:
            text = text.replace(special, f"{special[:1]} {special[1:]}")
        return text

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _fill(self, turns: Sequence[tuple[str, str]], generation: bool = True) -> str:
        from jinja2 import TemplateError

        messages = [{"role": role, "content": content} for role, content in turns]
        try:
            return str(
                self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation)
            )
        except TemplateError as problem:
            roles = ", ".join(role for role, _ in turns)
            raise DataError(
                f"the model's chat template refuses a conversation of {roles} ({problem}): "
                "change the conversation, or tokens.system"
            ) from None

    def _shorten_last(self, turns: list[tuple[str, str]], excess: int) -> list[int]:
        role, content = turns[-1]
        words = self._encode(content)
        while len(words) > excess:
            words = words[excess:] if self.settings.truncation_side == "left" else words[:-excess]
            ids = self._encode(self._fill([*turns[:-1], (role, str(self.tokenizer.decode(words)))]))
            excess = len(ids) - self.max_prompt
            if excess <= 0:
                return ids
        raise DataError(
            "the chat template and system message leave no room for a question in tokens.max_prompt = "
            f"{self.max_prompt} tokens: raise it"
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

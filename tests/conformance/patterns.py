"""What an answer has to look like: plain JSON to be equal to, and a few patterns where that says too much."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeGuard


class Pattern(Protocol):
    """What a value may be."""

    def differences(self, value: Any, at: str) -> Iterator[str]:
        """Tells, a line each, where a value is not so."""


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = _Missing()
"""Stands for a field that is not there."""


@dataclass(frozen=True)
class Absent:
    """The field is not there."""

    def differences(self, value: Any, at: str) -> Iterator[str]:
        """As in Pattern."""
        if value is not MISSING:
            yield f"{at} is {value!r}, and should not be there"


@dataclass(frozen=True)
class Text:
    """A string that matches a regular expression as a whole."""

    regex: str

    def differences(self, value: Any, at: str) -> Iterator[str]:
        """As in Pattern."""
        if not isinstance(value, str) or not re.fullmatch(self.regex, value, re.DOTALL):
            yield f"{at} is {value!r}, and not a text like {self.regex}"


@dataclass(frozen=True)
class Number:
    """A JSON number within bounds."""

    low: float
    high: float

    def differences(self, value: Any, at: str) -> Iterator[str]:
        """As in Pattern."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            yield f"{at} is {value!r}, and not a number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Exactly:
    """An object with these fields and no other; an object by itself says only what is among its fields."""

    fields: Mapping[str, Any]

    def differences(self, value: Any, at: str) -> Iterator[str]:
        """As in Pattern."""
        yield from differences(self.fields, value, at)
        if isinstance(value, Mapping):
            yield from (f"{at}.{name} should not be there" for name in value.keys() - self.fields.keys())


@dataclass(frozen=True)
class Each:
    """A list of so many elements, each like this; a list by itself says what each element is, in order."""

    pattern: Any
    least: int = 0
    most: int = 1_000_000

    def differences(self, value: Any, at: str) -> Iterator[str]:
        """As in Pattern."""
        if not isinstance(value, Sequence) or isinstance(value, str) or not self.least <= len(value) <= self.most:
            yield f"{at} is {_short(value)}, and not a list of {self.least} to {self.most}"
            return
        for index, each in enumerate(value):
            yield from differences(self.pattern, each, f"{at}[{index}]")


@dataclass(frozen=True)
class Including:
    """A list that has, among others, an element like each of these."""

    patterns: tuple[Any, ...]

    def differences(self, value: Any, at: str) -> Iterator[str]:
        """As in Pattern."""
        if not isinstance(value, Sequence) or isinstance(value, str):
            yield f"{at} is {_short(value)}, and not a list"
            return
        for pattern in self.patterns:
            if not any(_fits(pattern, each) for each in value):
                yield f"{at} is {_short(value)}, and has nothing like {pattern!r}"


@dataclass(frozen=True)
class OneOf:
    """One of several."""

    patterns: tuple[Any, ...]

    def differences(self, value: Any, at: str) -> Iterator[str]:
        """As in Pattern."""
        if not any(_fits(pattern, value) for pattern in self.patterns):
            yield f"{at} is {_short(value)}, and none of {self.patterns!r}"


ANYTHING: Final = object()


def differences(pattern: Any, value: Any, at: str = "answer") -> Iterator[str]:
    """Tells, a line each, where a value differs from a pattern.

    Args:
        pattern: A Pattern, ANYTHING, or JSON: an object names fields that must be there, a list all its elements.
        value: Parsed JSON.
        at: What the value is called.
    """
    if pattern is ANYTHING:
        return
    if _is_pattern(pattern):
        yield from pattern.differences(value, at)
    elif isinstance(pattern, Mapping):
        if not isinstance(value, Mapping):
            yield f"{at} is {_short(value)}, and not an object"
            return
        for name, each in pattern.items():
            yield from differences(each, value.get(name, MISSING), f"{at}.{name}")
    elif isinstance(pattern, list):
        if not isinstance(value, list) or len(value) != len(pattern):
            yield f"{at} is {_short(value)}, and not a list of {len(pattern)}"
            return
        for index, (wanted, each) in enumerate(zip(pattern, value, strict=True)):
            yield from differences(wanted, each, f"{at}[{index}]")
    elif type(pattern) is not type(value) or pattern != value:
        # 1, 1.0, true and "1" are four things in JSON.
        yield f"{at} is {_short(value)}, and not {pattern!r}"


def _is_pattern(pattern: Any) -> TypeGuard[Pattern]:
    return hasattr(pattern, "differences")


def _fits(pattern: Any, value: Any) -> bool:
    return next(differences(pattern, value), None) is None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."

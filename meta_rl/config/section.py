"""How a setting is declared: once, beside what it sets, with its meaning, range and effect."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticUndefined

from meta_rl.reading.numbers import MAX_INTEGER

MAX_COUNT = 2**31 - 1
"""Most of anything: the product of two counts still fits into 64 bits."""

Count = Annotated[int, Field(le=MAX_COUNT)]
PositiveInt = Annotated[int, Field(ge=1, le=MAX_COUNT, strict=True)]
Seed = Annotated[int, Field(le=MAX_INTEGER)]


class Effect(StrEnum):
    """What another value of a setting changes."""

    PROBLEM = "problem"
    """What is learned, and by what: a resumed run cannot change it."""
    NUMBERS = "numbers"
    """The numbers of training, and what a validation score means."""
    TRAINING = "training"
    """The numbers of training alone."""
    SPEED = "speed"
    """Where and how fast a run computes, or how much of it is kept."""
    LABELS = "labels"
    """What things are called and where they are shown."""


class Section(BaseModel):
    """A group of settings that cannot be changed once they are made.

    Strict: an unknown key, a number in quotes, ``4.5`` where an integer belongs, ``true`` where a
    number belongs, and nan or infinity are all errors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def setting(
    default: Any = PydanticUndefined,
    *,
    meaning: str,
    effect: Effect = Effect.NUMBERS,
    **limits: Any,
) -> Any:
    """Declares a setting.

    Args:
        default: its value where nothing is said; without it, the setting is required.
        meaning: one line, shown by ``--print-config``.
        effect: what another value changes.
        **limits: as pydantic's ``Field`` takes them, for example ``gt=0``.
    """
    return Field(
        default=default, description=meaning, json_schema_extra={"effect": effect.value}, **limits
    )

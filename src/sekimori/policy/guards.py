"""The parts of a Guard document: the checks of each direction, and what each does about what it finds.

Modes: `off` does not look. `shadow` looks, and the verdict says what would have been done. `flag` says that the check
did not pass and lets the call go on. `mask` replaces what was found. `block` refuses the call, or ends the stream.

The defaults are what holds for an agent without a Guard document.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from sekimori.policy.base import Part

Watch = Literal["off", "shadow", "flag", "block"]
Mode = Literal["off", "shadow", "flag", "mask", "block"]
OnFailure = Literal["open", "closed"]
PiiType = Literal["EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "SSN", "IP", "NAME", "ADDRESS"]
STRUCTURED: Final[tuple[PiiType, ...]] = ("EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "SSN", "IP")
"""Types that are told by their form and a checksum; NAME and ADDRESS take a model, some 20 ms a kilobyte."""
Score = Annotated[float, Meta(ge=0.0, le=1.0, description="a score from 0 to 1")]
Tokens = Annotated[int, Meta(ge=1, le=100_000_000, description="a whole number of tokens, at least 1")]
HostName = Annotated[
    str,
    Meta(
        pattern=r"^(?:\*\.)?[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z",
        description="a DNS name in lower case, with *. before it for any name below",
    ),
]
ModelName = Annotated[str, Meta(min_length=1, max_length=200, description="a model's name")]
Milliseconds = Annotated[int, Meta(ge=10, le=60_000, description="milliseconds, a whole number from 10 to 60000")]
Calls = Annotated[int, Meta(ge=1, le=64, description="a whole number from 1 to 64")]
JudgeUrl = Annotated[str, Meta(min_length=1, max_length=500, description="a base URL such as http://127.0.0.1:8000/v1")]


class InjectionCheck(Part, frozen=True, kw_only=True):
    """Text that tries to give the model other orders than its owner's."""

    mode: Watch = "block"
    threshold: Score | None = None
    """From which score a text of the conversation fails; without it, the one that the weights were shipped with."""
    retrieved: Score | None = None
    """The same for what tools and documents said, which is judged more strictly."""
    on_failure: OnFailure = "closed"


class ToxicCheck(Part, frozen=True, kw_only=True):
    """Insults and profanity, by their words: a screen, and no judge of what is meant."""

    mode: Watch = "flag"
    threshold: Score | None = None
    on_failure: OnFailure = "open"


class EncodingCheck(Part, frozen=True, kw_only=True):
    """Characters that a reader does not see, or takes for others: control, bidirectional, zero-width, tags."""

    mode: Mode = "flag"
    on_failure: OnFailure = "closed"


class InputPii(Part, frozen=True, kw_only=True):
    """Personal data in what is asked."""

    mode: Mode = "flag"
    types: tuple[PiiType, ...] = STRUCTURED
    restore: bool = True
    """Masks are put back into what they stood for in the reply, which the provider never saw."""
    on_failure: OnFailure = "closed"


class OutputPii(Part, frozen=True, kw_only=True):
    """Personal data in what is answered."""

    mode: Mode = "flag"
    types: tuple[PiiType, ...] = STRUCTURED
    on_failure: OnFailure = "closed"


class InputSecrets(Part, frozen=True, kw_only=True):
    """Keys, tokens and private keys in what is asked."""

    mode: Mode = "flag"
    restore: bool = True
    on_failure: OnFailure = "closed"


class OutputSecrets(Part, frozen=True, kw_only=True):
    """Keys, tokens and private keys in what is answered."""

    mode: Mode = "mask"
    on_failure: OnFailure = "closed"


class InputLength(Part, frozen=True, kw_only=True):
    """How much text a call may hold."""

    mode: Literal["shadow", "flag", "mask", "block"] = "block"
    """`mask` leaves out the oldest messages until the rest fits."""
    tokens: Tokens


class OutputLength(Part, frozen=True, kw_only=True):
    """How much a reply may say. The provider is asked for no more, and ends the reply with its own reason to finish."""

    tokens: Tokens


class OutputInjection(Part, frozen=True, kw_only=True):
    """What a reply would do to whoever shows it: markup that runs, or fetches what tells a stranger something."""

    mode: Mode = "flag"
    consumer: Literal["html", "markdown", "terminal"] = "markdown"
    """Who shows the reply."""
    hosts: tuple[HostName, ...] = ()
    """Hosts to which links and images may lead."""
    on_failure: OnFailure = "closed"


class GuardInput(Part, frozen=True, kw_only=True):
    """Checks of what is asked."""

    prompt_injection: InjectionCheck = InjectionCheck()
    pii_detection: InputPii = InputPii()
    secrets: InputSecrets = InputSecrets()
    toxic_content: ToxicCheck = ToxicCheck()
    encoding: EncodingCheck = EncodingCheck()
    length: InputLength | None = None


class GuardOutput(Part, frozen=True, kw_only=True):
    """Checks of what is answered."""

    pii_detection: OutputPii = OutputPii()
    secrets: OutputSecrets = OutputSecrets()
    toxic_content: ToxicCheck = ToxicCheck()
    output_injection: OutputInjection = OutputInjection()
    length: OutputLength | None = None


class Judge(Part, frozen=True, kw_only=True):
    """A language model in the cell that speaks the OpenAI dialect."""

    url: JudgeUrl
    """A loopback or private address that the operator allows (`allowPrivate`): what is judged never leaves the cell."""
    model: ModelName
    deadline: Milliseconds = 2000
    concurrency: Calls = 2
    """Questions at once; with more, the check says that the judge did not run."""
    on_failure: OnFailure = "open"
    """`closed`: where the judge does not answer, what the classifier was not sure of fails."""


class Guarded(Struct, frozen=True):
    """What one agent's calls are screened by."""

    input: GuardInput = GuardInput()
    output: GuardOutput = GuardOutput()
    stream: Literal["window", "hold-all"] = "window"
    judge: Judge | None = None


DEFAULT: Final = Guarded()

"""What can go wrong, by who must act.

    Refusal
    ├── Refused    the caller must change something (4xx)
    ├── Upstream   the provider failed (502, 504, or its own status passed on)
    └── Fault      we failed, or cannot prove that we would not (500, 503)

A denial is a value: `reason` (a word of the numbered registry below) feeds record, metric and message alike.
`text` and `advice` are safe to show to the caller: never a secret, another tenant's name, or the provider's raw words.
"""

from __future__ import annotations

from typing import Final

REASONS: Final[dict[str, tuple[int, int]]] = {
    # reason: (registry number, HTTP status). Append-only: a number is never reused, for it stands in ledgers.
    "bad_request": (1, 400),
    "malformed_json": (2, 400),
    "unknown_field": (3, 400),
    "body_too_large": (4, 413),
    "unsupported_encoding": (5, 415),
    "unsupported_operation": (6, 404),
    "method_not_allowed": (7, 405),
    "credential_missing": (10, 401),
    "credential_ambiguous": (11, 401),
    "credential_malformed": (12, 401),
    "credential_unknown": (13, 401),
    "credential_expired": (14, 401),
    "credential_revoked": (15, 401),
    "scope_missing": (20, 403),
    "capability_missing": (21, 403),
    "model_not_allowed": (22, 403),
    "model_not_found": (23, 404),
    "model_ambiguous": (24, 400),
    "model_wrong_dialect": (25, 400),
    "no_route": (26, 403),
    "operator_key_forbidden": (27, 403),
    "tenant_suspended": (28, 403),
    "agent_suspended": (29, 403),
    "url_forbidden": (30, 403),
    "object_not_found": (31, 404),
    "rate_limited": (40, 429),
    "concurrency_limited": (41, 429),
    "output_cap_exceeded": (44, 400),
    "tag_not_allowed": (45, 403),
    "budget_exhausted": (46, 429),
    "budget_unpriced": (47, 403),
    "tokens_limited": (48, 429),
    "budget_unknown": (49, 503),
    "screen_blocked": (50, 400),
    "guard_busy": (51, 429),
    "upstream_rate_limited": (60, 429),
    "upstream_overloaded": (61, 529),
    "upstream_refused": (62, 400),
    "upstream_unauthorized": (63, 502),
    "upstream_error": (64, 502),
    "upstream_malformed": (65, 502),
    "upstream_timeout": (66, 504),
    "upstream_unreachable": (67, 502),
    "upstream_address_forbidden": (68, 502),
    "upstream_truncated": (69, 502),
    "upstream_too_large": (70, 502),
    "ledger_unavailable": (80, 503),
    "key_unavailable": (81, 503),
    "policy_unavailable": (82, 503),
    "draining": (83, 503),
    "overloaded": (84, 503),
    "internal": (85, 500),
    # Control verbs (90–99): what the CLI and the owner's socket answer.
    "wrong_use": (90, 400),
    "not_found": (91, 404),
    "conflict": (92, 409),
    "document_invalid": (93, 422),
    "verification_failed": (94, 409),
    "forbidden": (95, 403),
    "home_in_use": (96, 503),
    "home_damaged": (97, 500),
    "store_unavailable": (98, 503),
}


class Refusal(Exception):
    """A call that is not answered, and why. Each root below says who must act."""

    def __init__(
        self,
        reason: str,
        text: str,
        *,
        advice: str = "",
        retry_after: float | None = None,
        status: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.number, registered = REASONS[reason]
        self.status = registered if status is None else status
        self.text = text
        self.advice = advice
        self.retry_after = retry_after
        """Seconds after which the same call may succeed; None where a retry is pointless."""
        self.headers = headers
        """Further reply headers, e.g. the rate-limit figures."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.text}" + (f" {self.advice}" if self.advice else "")


class Refused(Refusal):
    """The caller must change something."""


class Upstream(Refusal):
    """The provider failed."""

    sent: bool = False
    """Whether any byte of the request may have left; only where not may it be sent again without asking."""


class Fault(Refusal):
    """We failed; nothing left unrecorded."""

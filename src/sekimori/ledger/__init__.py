"""The transparency ledger: what happened, in logs that cannot be altered unseen. Formats: docs/spec/."""

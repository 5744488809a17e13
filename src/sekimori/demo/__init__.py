"""The main job, shown and checked step by step against a real language model. `sekimori demo`."""

from __future__ import annotations


def run(*, serve: bool = False, keep: bool = False, as_json: bool = False) -> int:
    """Run the demo and return its exit status: 0 as expected, 1 a surprise, 3 it could not be run.

    `serve` leaves the demo's deployment running instead; `keep` leaves its folder behind; `as_json` prints one JSON
    object a step.
    """
    from sekimori.demo.stage import run as play  # the SDKs are imported only where they are used

    return play(serve=serve, keep=keep, as_json=as_json)

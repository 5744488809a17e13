"""Log and metrics: never a secret, never in the way, never a series that a caller made."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.identity import apikey
from sekimori.telemetry import QUEUE_LINES, AgentMeter, CallLine, Log, Metrics, redact, stamp
from sekimori.terms import Usage
from sekimori.vault.secret import Secret

KEYS = {
    "ours": apikey.mint(bytes(range(32))),
    "openai": "sk-proj-AbCdEf0123456789AbCdEf0123456789",
    "anthropic": "sk-ant-api03-AbCdEf0123456789_AbCdEf-0123456789",
    "google": "AIzaSyA0123456789abcdefghijklmnopqrstuv",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "github": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "slack": "xoxb-0123456789-abcdefghij",
    "groq": "gsk_0123456789abcdefghijABCDEF",
    "hf": "hf_0123456789abcdefghijABCDEF",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    "around", ["{}", "key={} ", '{{"key": "{}"}}', "https://x/?key={}&a=b", "Bearer {}", "a\n{}\nb", "({})"]
)
def test_what_looks_like_a_key_is_cut_wherever_it_stands(name: str, around: str) -> None:
    assert KEYS[name][8:] not in redact(around.format(KEYS[name]))


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hunter2hunter2",
        "authorization: Basic dXNlcjpodW50ZXIyaHVudGVyMg==hunter2",
        "x-api-key: hunter2hunter2",
        '{"password": "hunter2hunter2"}',
        "api_key='hunter2hunter2'",
        "https://user:hunter2hunter2@host/path",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2\nhunter2\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nhunter2 cut off",
    ],
)
def test_credentials_without_a_form_are_known_by_what_stands_before_them(text: str) -> None:
    assert "hunter2" not in redact(text)


def test_plain_words_stay() -> None:
    text = (
        "model claude-sonnet-4 of acme/analyst at https://api.example.com/v1 answered 200 in 12.5 ms (gpt-4o-mini), "
        "credential key-48ejs27y9q1bs6p1b72v93d2vz, key clients/acme/own"
    )
    assert redact(text) == text


@given(st.text(max_size=200))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert not set(redact(text)) & {chr(code) for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0x202E)}


@given(st.text(max_size=40), st.binary(min_size=32, max_size=32), st.text(max_size=40))
def test_our_own_keys_are_cut_out_of_anything(before: str, random: bytes, after: str) -> None:
    key = apikey.mint(random)
    if before[-1:].isalnum() or before[-1:] == "_":
        before += " "
    assert key not in redact(before + key + after)


def lines(out: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_events_are_one_json_object_a_line_without_secrets() -> None:
    out = io.BytesIO()
    log = Log(out, now_ms=lambda: 1_795_000_000_123)
    log.info(
        "thing\nhappened",
        text="a\nb\x1b[31m\x9b\u2028",
        key=KEYS["openai"],
        secret=Secret(b"hunter2"),
        data=b"hunter2",
        nested={"list": [KEYS["aws"], 1, None, 2.5, True]},
        level="error",
        time_ms=3,
    )
    log.debug("below the threshold")
    log.close()
    [line] = lines(out)
    assert (line["at"], line["time_ms"], line["level"]) == ("2026-11-18T11:06:40.123Z", 1_795_000_000_123, "info")
    assert line["nested"]["list"] == ["[secret]", 1, None, 2.5, True]
    assert (line["data"], line["secret"]) == ("[7 bytes]", "[secret]")
    assert b"hunter2" not in out.getvalue()
    assert len(out.getvalue().splitlines()) == 1
    assert b"\x1b" not in out.getvalue()


def test_an_unexpected_error_leaves_its_place_and_no_values() -> None:
    out = io.BytesIO()
    log = Log(out)

    def breaks(secret: str) -> None:
        raise RuntimeError(f"cannot use {secret}")

    try:
        breaks(KEYS["anthropic"])
    except RuntimeError as error:
        log.exception("broke", error, call="c1")
    log.close()
    [line] = lines(out)
    assert (line["error"], line["text"], line["call"]) == ("RuntimeError", "cannot use [secret]", "c1")
    assert line["where"][-1].endswith("breaks")


def test_calls_are_logged_unless_switched_off() -> None:
    for given_, expected in (({"calls": True}, 1), ({"calls": False}, 0), ({"level": "warning"}, 0)):
        out = io.BytesIO()
        log = Log(out, **given_)  # type: ignore[arg-type]
        log.call(CallLine(time_ms=0, tenant="acme", model=KEYS["ours"], status=200))
        log.close()
        assert len(lines(out)) == expected
        assert KEYS["ours"].encode() not in out.getvalue()
    assert stamp(0) == b"1970-01-01T00:00:00.000Z"


class Stalled(io.BytesIO):
    """A reader that takes nothing until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, data: Any, /) -> int:
        self.go.wait(20)
        return super().write(data)


def test_a_reader_that_stalls_costs_lines_and_not_calls() -> None:
    out = Stalled()
    log = Log(out)
    for number in range(QUEUE_LINES + 2_000):
        log.info("event", number=number)
    out.go.set()
    log.info("last")
    log.close()
    found = lines(out)
    dropped = sum(line["lines"] for line in found if line["event"] == "log.dropped")
    assert dropped > 0
    assert len([line for line in found if line["event"] == "event"]) + dropped >= QUEUE_LINES + 2_000


def test_a_closed_pipe_ends_the_log_and_nothing_else() -> None:
    out = io.BytesIO()
    out.close()
    log = Log(out)
    log.info("unheard")
    log.close()


# -- metrics -----------------------------------------------------------------------------------------------------------


def scraped(metrics: Metrics) -> dict[str, float]:
    kind, body = metrics.render()
    assert kind.startswith("text/plain")
    samples = {}
    for line in body.decode().splitlines():
        if line.startswith("sekimori_"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
    return samples


def test_figures_of_configured_agents_and_one_series_for_all_others() -> None:
    metrics = Metrics()
    metrics.configure([("u1", "acme", "analyst")])
    meter = metrics.agent("u1")
    meter.settled("answered", 0.02, Usage(input=10, output=3, cached=4), 0.004)
    meter.settled("aborted", 400.0)
    meter.refuse("rate_limited")
    for number in range(1000):
        metrics.agent(f"unknown-{number}").refuse("model_not_found")
    metrics.stranger("credential_unknown")
    found = scraped(metrics)
    assert found['sekimori_hops_total{agent="analyst",outcome="answered",tenant="acme"}'] == 1.0
    assert found['sekimori_tokens_total{agent="analyst",kind="input",tenant="acme"}'] == 10.0
    assert found['sekimori_hop_seconds_bucket{agent="analyst",le="0.025",tenant="acme"}'] == 1.0
    assert found['sekimori_hop_seconds_bucket{agent="analyst",le="+Inf",tenant="acme"}'] == 2.0
    assert found['sekimori_hop_seconds_sum{agent="analyst",tenant="acme"}'] == pytest.approx(400.02)
    assert found['sekimori_refusals_total{agent="other",reason="model_not_found",tenant="other"}'] == 1000.0
    assert found['sekimori_strangers_total{reason="credential_unknown"}'] == 1.0
    assert not [name for name in found if "unknown-" in name]


def test_figures_stay_over_a_change_and_go_with_the_agent() -> None:
    metrics = Metrics()
    metrics.configure([("u1", "acme", "analyst"), ("u2", "acme", "writer")])
    metrics.agent("u1").settled("answered", 0.1)
    metrics.agent("u2").settled("answered", 0.1)
    metrics.configure([("u1", "acme", "analyst"), ("u3", "globex", "x")])
    found = scraped(metrics)
    assert found['sekimori_hops_total{agent="analyst",outcome="answered",tenant="acme"}'] == 1.0
    assert not [name for name in found if "writer" in name]


def test_a_stranger_counts_under_a_reason_of_the_registry() -> None:
    with pytest.raises(AssertionError):
        Metrics().stranger("whatever-the-caller-says")


def test_a_gauge_is_read_at_the_scrape() -> None:
    metrics, value = Metrics(), [1.0]
    metrics.gauge("open_connections", "Connections.", lambda: value[0])
    value[0] = 7.0
    assert scraped(metrics)["sekimori_open_connections"] == 7.0


def test_the_prometheus_library_is_loaded_by_the_first_scrape_alone() -> None:
    script = (
        "import sys; from sekimori.telemetry import Metrics; m = Metrics(); m.agent('x').refuse('internal');"
        "assert 'prometheus_client' not in sys.modules; m.render(); assert 'prometheus_client' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_meter_has_no_dictionary_of_its_own() -> None:
    with pytest.raises(AttributeError):
        AgentMeter("a", "b").surprise = 1  # type: ignore[attr-defined]


def test_a_histogram_of_somebody_else_is_read_at_each_scrape() -> None:
    class Commits:
        bounds = (0.001, 0.01)
        counts = [3, 2, 1]
        total = 0.5

    metrics = Metrics()
    metrics.histogram("commit_seconds", "Commits.", Commits)
    found = scraped(metrics)
    assert found['sekimori_commit_seconds_bucket{le="0.001"}'] == 3.0
    assert found['sekimori_commit_seconds_bucket{le="0.01"}'] == 5.0
    assert found['sekimori_commit_seconds_bucket{le="+Inf"}'] == 6.0
    assert found["sekimori_commit_seconds_sum"] == 0.5

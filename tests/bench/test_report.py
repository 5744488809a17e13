"""From rounds to rows, from scrapes to commits, from stacks to steps."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from bench import report, targets
from bench.commits import HISTOGRAM, commit_p50_us
from bench.disk import Disk
from bench.measures import MEMORY, PEERS, SPEED
from bench.results import Profile, Run, Section, Step, judged, peer_row, row
from bench.rounds import Sample
from bench.sampler import BETWEEN, Sampler
from bench.steps import OTHER, STEPS, Stacks, step_of

PLAIN, ADDED = SPEED[0], SPEED[-1]


def scrape(*cumulative: tuple[str, int]) -> str:
    lines = [f'{HISTOGRAM}_bucket{{le="{bound}"}} {float(count)}' for bound, count in cumulative]
    return "\n".join(["# TYPE x histogram", *lines, f"{HISTOGRAM}_sum 1.0", ""])


def test_commit_is_the_median_of_what_lies_between_two_scrapes() -> None:
    before = scrape(("0.0001", 100), ("0.0002", 100), ("0.0004", 100), ("+Inf", 100))
    after = scrape(("0.0001", 100), ("0.0002", 110), ("0.0004", 120), ("+Inf", 120))
    assert commit_p50_us(before, after) == pytest.approx(200.0)
    assert commit_p50_us("", before) == pytest.approx(50.0)


def test_no_commits_are_no_figure() -> None:
    text = scrape(("0.0001", 5), ("+Inf", 5))
    for before, after in ((text, text), ("", ""), (text, "")):
        with pytest.raises(LookupError):
            commit_p50_us(before, after)


def test_a_ratio_is_taken_round_by_round() -> None:
    base = [Sample(cpu, 100.0, 200.0, 1.0) for cpu in (10.0, 20.0, 40.0) * 3]
    ours = [Sample(5 * sample.cpu_us, 100.0, 200.0, 1.0) for sample in base]
    found = row(PLAIN, base, ours)
    assert (found.value.median, found.value.upper, found.verdict, found.moonshot) == (5.0, 5.0, "pass", "missed")


def test_added_latency_is_less_two_commits() -> None:
    base = [Sample(10.0, 60.0, 90.0, 1.0)] * 9
    ours = [Sample(90.0, 500.0, 900.0, 1.0, commit_us=120.0)] * 9
    found = row(ADDED, base, ours)
    assert (found.value.median, found.commit_us, found.verdict) == (200.0, 120.0, "pass")


def test_few_rounds_give_no_verdict() -> None:
    assert judged(PLAIN, [1.0] * 8).verdict is None
    assert judged(PLAIN, [1.0] * 9).verdict == "pass"


def test_how_many_times_more_a_peers_call_costs_is_to_be_large() -> None:
    ours = [Sample(cpu, 100.0, 200.0, 1.0) for cpu in (50.0, 60.0, 70.0) * 3]
    portkey, litellm = (
        peer_row(measure, [Sample(times * one.cpu_us, 900.0, 999.0, 1.0) for one in ours], ours)
        for measure, times in zip(PEERS, (15.0, 59.0), strict=True)
    )
    assert (portkey.value.median, portkey.verdict, portkey.moonshot) == (15.0, "pass", "missed")
    assert (litellm.value.median, litellm.verdict) == (59.0, "missed")
    wild = [Sample(600.0, 1.0, 1.0, 1.0)] * 4 + [Sample(900.0, 1.0, 1.0, 1.0)] * 5
    assert peer_row(PEERS[0], wild, [Sample(60.0, 1.0, 1.0, 1.0)] * 9).verdict == "undecided"
    assert report.cells(portkey)[:7] == (
        "Portkey 1.15.2",
        "900 µs",
        "60.0 µs",
        "15.0 ×",
        "15.0 to 15.0",
        "≥ 12 ×",
        "pass",
    )


def test_peers_stand_in_a_table_of_their_own_where_they_ran() -> None:
    run = example()
    assert report.PEERS_NOTE not in report.fragment(run)
    ours = [Sample(70.0, 300.0, 900.0, 9_000.0)] * 9
    run.sections[0].peers = [peer_row(PEERS[0], [Sample(1_400.0, 3_000.0, 9_000.0, 700.0)] * 9, ours)]
    text = report.fragment(run)
    assert report.PEERS_NOTE in text
    assert "| Portkey 1.15.2 | 1,400 µs | 70.0 µs | 20.0 × | 20.0 to 20.0 | ≥ 12 × | pass | pass (≥ 20) |  |" in text
    again = msgspec.json.decode(msgspec.json.encode(run), type=Run)
    assert report.fragment(again) == text


def example() -> Run:
    samples = [Sample(14.0, 100.0, 200.0, 20_000.0)] * 9, [Sample(70.0, 300.0, 900.0, 9_000.0, 90.0)] * 9
    rows = [*(row(measure, *samples) for measure in SPEED), *(judged(measure, [80.0] * 9) for measure in MEMORY)]
    profile = Profile("plain", 70.0, 10, 60.0, {"commit": 10.0}, [Step("decide", 0.5, 30.0)], [])
    disk = Disk("ext4", 80.0, 160.0)
    return Run(
        "2026-01-02T03:04:05Z", {"cpu": "some"}, "nginx", "sekimori", [Section("home on disk", disk, rows)], [profile]
    )


def test_docs_keep_what_people_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tmp_path / "docs" / "benchmarks.md"
    monkeypatch.setattr(report, "DOCS", docs)
    report.write_docs(example())
    docs.write_text(docs.read_text() + "\nWords of a person.\n")
    report.write_docs(example())
    text = docs.read_text()
    assert text.endswith("Words of a person.\n")
    assert text.count(report.BEGIN) == text.count("plain call, 64 connections | 14.0 µs | 70.0 µs | 5.00 ×") == 1
    assert "Measured 2026-01-02" in text
    assert "| decide | 50.0% | 30.0 |" in text
    docs.write_text("no marks")
    with pytest.raises(ValueError, match="lost the lines"):
        report.write_docs(example())


def test_what_was_not_measured_is_said() -> None:
    run = example()
    run.sections[0].not_run.append("NOT RUN: added p50: no histogram")
    assert "NOT RUN: added p50: no histogram" in report.fragment(run)


def test_a_machine_without_nginx_and_root_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "NGINX", "/nowhere/nginx")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(targets.NotRun, match="apt-get install nginx-light"):
        targets.find_nginx()


def test_a_quick_run_says_that_it_is_no_verdict() -> None:
    run = example()
    assert "not a verdict" not in report.fragment(run)
    run.quick = True
    assert "not a verdict" in report.fragment(run)


def test_a_stack_counts_for_the_innermost_step() -> None:
    walk = ["sekimori.gateway.walk:walk", "sekimori.http.server:Connection.run", "asyncio.runners:Runner.run"]
    assert step_of(["msgspec:x", "sekimori.policy.decide:decide", *walk]) == "decide"
    assert step_of(walk) == "the walk itself"
    assert step_of(["asyncio.runners:Runner.run"]) == OTHER
    assert step_of([BETWEEN, *walk]) == OTHER
    assert step_of(["asyncio.runners:Runner.run", "sekimori.cli:serve"]) == OTHER
    stacks = Stacks(f"thread\t12\tjournal\n3\t{';'.join(walk)}\n1\tasyncio.runners:Runner.run\n")
    assert stacks.threads == {12: "journal"}
    assert stacks.steps == {"the walk itself": 3, OTHER: 1}
    assert stacks.priced(stacks.hot, 1, 40.0) == [Step(walk[0], 0.75, 30.0)]


def test_no_step_is_hidden_by_an_earlier_prefix() -> None:
    for position, (prefix, _) in enumerate(STEPS):
        assert not [earlier for earlier, _ in STEPS[:position] if prefix.startswith(earlier)]


def test_sampler_counts_the_stack_it_interrupts(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path / "stacks")
    sampler.on = True
    for _ in range(3):
        sampler.sample(0, sys._getframe())
    sampler.toggle(0, None)
    *threads, stack = (tmp_path / "stacks").read_text().splitlines()
    assert any(line.endswith("MainThread") for line in threads)
    count, _, frames = stack.partition("\t")
    assert count == "3"
    assert frames.split(";")[0].endswith("test_sampler_counts_the_stack_it_interrupts")

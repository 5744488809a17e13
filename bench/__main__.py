"""`python -m bench`: what a call costs, against nginx and other gateways, in one run."""

from __future__ import annotations

import argparse
import datetime
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec
from rich.console import Console

from bench import disk, measures, report, results
from bench.machine import machine
from bench.measures import Measure
from bench.peers import PEERS, Peer
from bench.process import ROOT, Broken, Load, Upstream, resident_mb
from bench.results import Row, Run, Section
from bench.rounds import Runner
from bench.steps import profile
from bench.targets import Home, Nginx, NotRun, Sekimori, Target, find_nginx

ROUNDS = 11
QUICK_ROUNDS = 3
TRIAL = Measure("trial", "a stream before anything is measured", "burst", 4, 8, 0.0, None)
EQUAL = (0.8, 1.25)
"""What nginx may cost against itself before the harness is not believed."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} small rounds; not a verdict")
    parser.add_argument("--only", action="append", choices=measures.NAMES, help="this measure only; may be repeated")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="interleaved rounds of a measure (default %(default)s)"
    )
    parser.add_argument("--home", choices=("disk", "tmpfs"), help="only with the home there; default both")
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=("all", "none", *PEERS),
        default=["none"],
        help="other gateways to compare a plain call with, installed where they are missing (default: none)",
    )
    parser.add_argument("--guards", action="store_true", help="with the guards on that need no document; not a verdict")
    parser.add_argument("--no-profile", action="store_true", help="leave out the cost per step")
    parser.add_argument("--self-test", action="store_true", help="nginx against nginx: every ratio must be about 1")
    parser.add_argument("--write-docs", action="store_true", help="write the result into docs/benchmarks.md")
    parser.add_argument(
        "--from", dest="stored", type=Path, metavar="FILE", help="show a stored result, measure nothing"
    )
    return parser.parse_args()


class Bench:
    """One run. Everything it starts is on its stack and gone at the end."""

    def __init__(self, options: argparse.Namespace, console: Console, stack: ExitStack) -> None:
        self.options = options
        self.console = console
        self.stack = stack
        self.rounds = QUICK_ROUNDS if options.quick else options.rounds
        self.nginx = find_nginx()
        scratch = ROOT / ".scratch"
        scratch.mkdir(exist_ok=True)
        self.scratch = self.folder(scratch)
        self.upstream = stack.enter_context(Upstream(self.scratch))
        self.load = stack.enter_context(Load(self.scratch))
        self.runner = Runner(self.load, self.upstream, say=self.say)

    def folder(self, parent: Path) -> Path:
        return Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=parent)))

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def wanted(self, group: tuple[Measure, ...]) -> list[Measure]:
        return [one for one in group if not self.options.only or one.name in self.options.only]

    def requests(self, measure: Measure) -> int:
        return max(measure.connections * 2, measure.requests // 5) if self.options.quick else measure.requests

    def row(self, measure: Measure, base: Target, ours: Target) -> Row:
        size = self.requests(measure)
        samples = self.runner.compare(measure, [(base, size), (ours, size)], rounds=self.rounds)
        return results.row(measure, *samples)

    def rows_with_peers(self, measure: Measure, base: Target, ours: Target, section: Section) -> None:
        """The same, with the peers that were asked for in the same rounds."""
        with ExitStack() as stack:
            peers = self.peers(stack, section)
            size = self.requests(measure)
            sizes = [(base, size), (ours, size), *((peer, self.requests(of)) for of, peer in peers)]
            first, own, *others = self.runner.compare(measure, sizes, rounds=self.rounds)
            section.rows.append(results.row(measure, first, own))
            section.peers += [results.peer_row(of, found, own) for (of, _), found in zip(peers, others, strict=True)]

    def peers(self, stack: ExitStack, section: Section) -> list[tuple[Measure, Peer]]:
        """The peers that were asked for, up and answering rightly; why not is said in the section."""
        asked = set(PEERS) if "all" in self.options.peers else set(self.options.peers)
        found = []
        for measure in measures.PEERS:
            if measure.name not in asked:
                section.not_run.append(f"NOT RUN: {measure.title}: not asked for (--peers {measure.name})")
                continue
            kind = PEERS[measure.name]
            try:
                kind.install()
                self.say(f"starting {measure.title}")
                peer = stack.enter_context(kind(self.scratch, self.upstream.port))
                self.runner.round(peer, TRIAL, TRIAL.requests)
            except (NotRun, Broken) as reason:
                section.not_run.append(f"NOT RUN: {measure.title}: {reason}")
            else:
                found.append((measure, peer))
        return found

    def memory(self, measure: Measure, target: Target) -> Row:
        """Resident memory, read after each of as many rounds of plain calls."""
        readings = []
        for _ in range(self.rounds):
            self.runner.round(target, measure, self.requests(measure) // 5)
            readings.append(resident_mb(target.child.pid))
        self.say(f"{measure.name}: done")
        return results.judged(measure, readings)

    def against_nginx(self) -> Run:
        began = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        run = Run(began, machine(self.nginx), "nginx", "sekimori", [], quick=self.options.quick)
        nginx = self.stack.enter_context(Nginx(self.scratch, self.upstream.port))
        places = {"disk": self.scratch, "tmpfs": Path("/dev/shm")}
        for name, parent in places.items():
            if self.options.home not in (None, name):
                continue
            if not parent.is_dir():
                self.say(f"NOT RUN: home on {name}: there is no {parent}")
                continue
            run.sections.append(self.section(name, self.folder(parent), nginx, run))
        return run

    def section(self, name: str, folder: Path, nginx: Nginx, run: Run) -> Section:
        section = Section(f"home on {name}", disk.probe(folder), [])
        if name == "disk" and section.disk.filesystem == "tmpfs":
            section.place = "home on what should be a disk and is memory"
        self.say(f"making a home on {name}")
        home = Home(folder / "home", self.upstream.port, guards=self.options.guards)
        with Sekimori(home) as sekimori:
            for measure in self.wanted(measures.SPEED):
                try:
                    # Peers are compared where the gates are: on disk.
                    if measure.name == "plain" and name == "disk":
                        self.rows_with_peers(measure, nginx, sekimori, section)
                    else:
                        section.rows.append(self.row(measure, nginx, sekimori))
                except LookupError as missing:
                    section.not_run.append(f"NOT RUN: {measure.title}: {missing}")
            section.rows += [self.memory(measure, sekimori) for measure in self.wanted(measures.MEMORY[:1])]
        for measure in self.wanted(measures.MEMORY[1:]):
            with Sekimori(home, plane="gateway") as sekimori:
                section.rows.append(self.memory(measure, sekimori))
        if name == "disk" and not self.options.no_profile:
            self.say("sampling the cost per step")
            out = folder / "stacks"
            with Sekimori(home, wrapper=[sys.executable, "-m", "bench.sampler", str(out)]) as sekimori:
                for measure in self.wanted(measures.SPEED[:4]):
                    counts = self.requests(measure), 1 if self.options.quick else 5
                    run.profiles.append(
                        profile(self.runner, sekimori, out, measure, requests=counts[0], rounds=counts[1])
                    )
        return section

    def self_test(self) -> Run:
        """nginx against nginx, so that what the harness shows of two equal targets is known."""
        began = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        run = Run(began, machine(self.nginx), "nginx", "nginx", [], quick=self.options.quick)
        first = self.stack.enter_context(Nginx(self.scratch, self.upstream.port))
        second = self.stack.enter_context(Nginx(self.scratch, self.upstream.port, "nginx-again"))
        rows = [
            msgspec.structs.replace(self.row(measure, first, second), verdict=None, moonshot=None)
            for measure in self.wanted(measures.SPEED)
        ]
        run.sections.append(Section("nginx against nginx", disk.probe(self.scratch), rows))
        return run


def equal(row: Row) -> bool:
    """Whether two nginx came out alike: CPU within `EQUAL`, or medians within a fifth of nginx's own."""
    if row.measure.unit == "×":
        return EQUAL[0] <= row.value.median <= EQUAL[1]
    return row.base is not None and abs(row.value.median) <= row.base.p50_us / 5


def main() -> int:
    options = arguments()
    console = Console(width=None if sys.stdout.isatty() else 160)
    # So that SIGTERM unwinds like Ctrl-C does, and everything started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if options.stored:
            run = msgspec.json.decode(options.stored.read_bytes(), type=Run)
        else:
            with ExitStack() as stack:
                bench = Bench(options, console, stack)
                run = bench.self_test() if options.self_test else bench.against_nginx()
    except NotRun as reason:
        console.print(f"bench: NOT RUN: {reason}")
        return 0
    except Broken as error:
        console.print(f"bench: broken: {error}", markup=False)
        return 3
    report.show(run, console)
    if options.self_test:
        odd = [row.measure.name for section in run.sections for row in section.rows if not equal(row)]
        console.print(f"bench: self-test: {'unequal: ' + ', '.join(odd) if odd else 'ok'}")
        return 1 if odd else 0
    if not options.stored:
        console.print(f"written: {report.write_json(run).relative_to(ROOT)}")
    if options.write_docs:
        console.print(f"written: {report.write_docs(run).relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

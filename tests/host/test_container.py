"""The image of deploy/container, built and run for real: as its own user, on a read-only root, without privileges.

Base images are pulled from somewhere, which a test must not: the base is made of this machine's own Debian packages
(their files, as dpkg lists them) and of pip. Everything else is what anyone would do: `buildah bud` of the
Containerfile, and a run by what the image says of itself (user, entry point, environment, health check).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sekimori.demo.model import free_port

ROOT = Path(__file__).parent.parent.parent
TOOLS = ("buildah", "dpkg-query", "unshare", "setpriv", "chroot", "mount")
PACKAGES = ("python3", "coreutils", "dash", "libstdc++6", "libgcc-s1")
"""What the base needs beside what these need themselves."""
NOT_FOLLOWED = {"debconf", "perl-base", "dpkg", "tar", "media-types", "mailcap", "init-system-helpers"}
USER = 10001
LIMIT = 300


def lacking() -> str:
    """Why the image cannot be built here; empty where it can."""
    if os.geteuid() != 0:
        return "needs root, to build and to become another user"
    if not Path("/usr/bin/python3").exists() or not Path("/etc/debian_version").exists():
        return "needs Debian and its Python, of which the base is made"
    if shutil.which("buildah") is None and shutil.which("apt-get") is not None:
        subprocess.run(["apt-get", "install", "-y", "-qq", "buildah"], capture_output=True, timeout=LIMIT, check=False)
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"needs {', '.join(absent)}" if absent else ""


pytestmark = pytest.mark.host


def run(*command: str | Path, **more: Any) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=LIMIT, check=False, **more)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def closure(names: tuple[str, ...]) -> set[str]:
    """The packages and all that they depend on, of those that are installed."""
    asked = run("dpkg-query", "-W", "-f", "${Package}\t${Provides}\t${Pre-Depends}, ${Depends}\n")
    needs: dict[str, list[str]] = {}
    for line in asked.splitlines():
        name, _, depends = line.split("\t")
        needs[name] = [found[0] for part in depends.split(",") if (found := re.search(r"[a-z0-9][a-z0-9+.-]+", part))]
    chosen: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in needs and name not in chosen | NOT_FOLLOWED:
            chosen.add(name)
            pending += needs[name]
    return chosen


def make_base(root: Path) -> None:
    """A root folder of this machine's packages, with pip."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "proc", "run", "etc/ssl/certs", "var/lib"):
        (root / name).mkdir(parents=True)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    for listed in run("dpkg-query", "-L", *sorted(closure(PACKAGES))).splitlines():
        if not listed.startswith("/") or listed.startswith(("/usr/share/doc", "/usr/share/man", "/usr/share/locale")):
            continue
        source = Path(listed)
        # Through our own links (/bin is usr/bin), never through the machine's.
        target = root / Path(*source.parts[1:])
        if source.is_symlink() and not target.is_symlink() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.readlink(source))
        elif source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    if not (root / "usr/bin/sh").exists():
        (root / "usr/bin/sh").symlink_to("dash")
    pip = Path(run("python3", "-c", "import pip; print(pip.__path__[0])").strip())
    shutil.copytree(pip, root / "usr/lib/python3/dist-packages/pip", ignore=shutil.ignore_patterns("__pycache__"))


class Image:
    """A built image, mounted."""

    def __init__(self, folder: Path) -> None:
        self._storage = ["--root", f"{folder}/store", "--runroot", f"{folder}/store-run", "--storage-driver"]
        self._environment = {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(folder)}
        # Overlay where the folder's file system can carry it: vfs copies every layer.
        self._driver = "overlay"
        if subprocess.run(self._buildah("from", "scratch"), capture_output=True, timeout=LIMIT).returncode != 0:
            self._driver = "vfs"
        with self._wheels(folder):
            base = folder / "base"
            make_base(base)
            scratch = self("from", "scratch").strip()
            self("copy", "-q", scratch, base, "/")
            self("commit", "-q", scratch, "localhost/base")
        self(
            *("bud", "-q", "--format", "docker", "--isolation", "chroot", "--timestamp", "1700000000"),
            *("--build-arg", "BASE=localhost/base", "--secret", f"id=pip.conf,src={folder}/pip.conf"),
            *("--volume", f"{folder}/wheels:/wheels:ro"),
            *("-f", "deploy/container/Containerfile", "-t", "localhost/sekimori", "."),
        )
        self.config = json.loads(self("inspect", "--type", "image", "localhost/sekimori"))["Docker"]["config"]
        self.container = self("from", "localhost/sekimori").strip()
        self.root = Path(self("mount", self.container).strip())

    @contextmanager
    def _wheels(self, folder: Path) -> Iterator[None]:
        """Fetches them by this machine's pip meanwhile: the build itself asks nobody."""
        version = run("/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
        (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
        fetching = subprocess.Popen(
            [
                *("python3", "-m", "pip", "download", "-q", "--require-hashes", "--only-binary", ":all:", "--no-deps"),
                *("--python-version", version, "-d", f"{folder}/wheels"),
                *("-r", "requirements/runtime.txt", "-r", "requirements/build.txt"),
            ],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield
            _, said = fetching.communicate(timeout=LIMIT)
            assert fetching.returncode == 0, said
        finally:
            fetching.kill()
            fetching.wait()

    def _buildah(self, *words: str | Path) -> list[str]:
        return ["buildah", *self._storage, self._driver, *map(str, words)]

    def __call__(self, *words: str | Path) -> str:
        return run(*self._buildah(*words), cwd=ROOT, env=self._environment)

    def close(self) -> None:
        self("umount", self.container)
        self("rm", self.container)

    def start(
        self, state: Path, words: list[str], *, command: list[str] | None = None, user: int = USER, **settings: str
    ) -> Any:
        """Run the image's entry point (or another command) with these words: read-only root, no capabilities."""
        assert self.config["User"] == f"{USER}:{USER}"
        script = (
            "set -e; root=$1; state=$2; user=$3; shift 3\n"
            'mount --bind "$root" "$root"\n'
            'mount --bind "$state" "$root/var/lib/sekimori"\n'
            'mount --bind /dev "$root/dev"; mount --bind /proc "$root/proc"\n'
            'mount -t tmpfs -o size=16m,mode=1777,noexec,nosuid,nodev none "$root/tmp"\n'
            'mount -o remount,bind,ro "$root"\n'
            "exec setpriv --no-new-privs --inh-caps -all --bounding-set -all,+sys_chroot,+setuid,+setgid "
            'chroot --userspec="$user:$user" --groups="" "$root" "$@"'
        )
        environment = dict(entry.split("=", 1) for entry in self.config["Env"])
        inside = [*(self.config["Entrypoint"] if command is None else command), *words]
        return subprocess.Popen(
            ["unshare", "--mount", "bash", "-c", script, "-", str(self.root), str(state), str(user), *inside],
            env={**environment, "PATH": environment["PATH"] + ":/usr/sbin:/sbin", **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def type(self, state: Path, *words: str, **more: Any) -> tuple[int, str]:
        with self.start(state, list(words), **more) as process:
            said, _ = process.communicate(timeout=60)
            return process.returncode, said


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    why = lacking()
    if why:
        pytest.skip(f"NOT RUN: {why}")
    with tempfile.TemporaryDirectory(prefix="sekimori-image-") as folder:
        Path(folder).chmod(0o755)
        made = Image(Path(folder))
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def state(image: Image) -> Iterator[Path]:
    """A volume as the image's own folder would make it."""
    with tempfile.TemporaryDirectory(prefix="sekimori-state-") as folder:
        path = Path(folder) / "volume"
        path.mkdir(mode=0o700)
        os.chown(path, USER, USER)
        Path(folder).chmod(0o755)
        yield path


def answers(url: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_the_image_holds_what_runs_and_nothing_else(image: Image) -> None:
    top = {path.name for path in (image.root / "opt/sekimori").iterdir()}
    assert {"bin", "lib", "enter.py", "ready.py", "pyvenv.cfg"} <= top
    assert not (image.root / "build").exists(), "the tools of the build stay behind"
    packages = {path.name for path in (image.root / "opt/sekimori/lib").glob("python3*/site-packages/*")}
    assert "sekimori" in packages
    assert not packages & {"pip", "hatchling", "pytest"}
    assert not (image.root / "etc/pip.conf").exists(), "where wheels came from is in no layer"
    state = (image.root / "var/lib/sekimori").stat()
    assert (state.st_uid, state.st_gid, state.st_mode & 0o777) == (USER, USER, 0o700)
    assert (image.root / "var/lib").stat().st_uid == 0
    for path in (image.root / "opt/sekimori").rglob("*"):
        status = path.lstat()
        assert status.st_uid == 0, f"{path} can be replaced by its user"
        assert path.is_symlink() or status.st_mode & 0o022 == 0, f"{path} can be written by others"


def test_it_says_its_version_and_wants_a_home_and_no_root(image: Image, state: Path) -> None:
    assert image.type(state, "--version") == (0, "0.1.0\n")
    status, said = image.type(state, "serve")
    assert status == 1
    assert "init --name" in said
    status, said = image.type(state, "serve", user=0)
    assert status == 2
    assert "does not run as root" in said
    status, said = image.type(state, "-c", "open('/opt/sekimori/x', 'w')", command=["/opt/sekimori/bin/python"])
    assert status == 1
    assert "Read-only file system" in said


def test_it_serves_as_its_own_user_on_a_read_only_root_and_drains(image: Image, state: Path) -> None:
    status, said = image.type(state, "init", "--name", "gateway.example.com")
    assert status == 0, said
    for path in (state / "home").rglob("*"):
        assert path.lstat().st_uid == USER
    gateway, control = free_port(), free_port()
    settings = {"SEKIMORI_GATEWAY_PORT": str(gateway), "SEKIMORI_CONTROL_PORT": str(control)}
    healthy = image.config["Healthcheck"]["Test"]
    assert healthy[0] == "CMD"
    assert image.type(state, command=healthy[1:], **settings)[0] == 1, "nobody serves yet"
    process = image.start(state, image.config["Cmd"], **settings)
    try:
        until = time.monotonic() + 60
        while answers(f"http://127.0.0.1:{gateway}/healthz") != 200:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < until
            time.sleep(0.05)
        assert answers(f"http://127.0.0.1:{control}/readyz") == 200
        assert answers(f"http://127.0.0.1:{gateway}/v1/models") == 401
        assert image.type(state, command=healthy[1:], **settings)[0] == 0
        status, said = image.type(state, "--json", "key", "list")
        assert (status, json.loads(said)) == (0, []), "a second process in the container asks the first"
        facts = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert facts["Uid"].split() == [str(USER)] * 4
        assert facts["NoNewPrivs"] == "1"
        assert int(facts["CapEff"], 16) == 0
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert '"drained"' in said
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert image.type(state, "ledger", "verify")[0] == 0

"""The direction of imports and the one place of each dangerous thing, as docs/architecture.md states them.

Read from the source by `ast`; nothing is imported.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "sekimori"

LAYERS: list[set[str]] = [
    {"terms", "errors"},
    # Pure: no clock, network, environment or database. Time and randomness are arguments.
    {
        "dialects",
        "policy",
        "guard.examine",
        "guard.injection",
        "guard.length",
        "guard.linear",
        "guard.mask",
        "guard.output",
        "guard.phrases",
        "guard.phrases_common",
        "guard.rules",
        "guard.sanitise",
        "guard.names",
        "guard.people",
        "guard.phone",
        "guard.pii",
        "guard.scan",
        "guard.secrets",
        "guard.screen",
        "guard.spans",
        "guard.stream",
        "guard.toxic",
        "guard.unescape",
        "guard.views",
        "upstream.catalog",
        "upstream.entries",
        "upstream.eventstream",
        "upstream.shapes",
        "upstream.route",
        "upstream.conversation",
        "upstream.health",
        "upstream.hedges",
        "egress.address",
        "meter.usage",
        "meter.prices",
        "meter.window",
        "meter.spend",
        "meter.refusals",
        "meter.reservation",
        "ledger.entry",
        "ledger.merkle",
        "ledger.note",
        "identity.names",
        "identity.apikey",
        "identity.authenticate",
        "vault.clock",
        "vault.credentials",
        "vault.federated",
        "vault.secret",
        "migrate",
    },
    {"config", "telemetry", "db", "http", "egress.dial"},
    {"ledger"},
    {
        "guard.judge",
        "guard.load",
        "guard.pool",
        "vault",
        "upstream.call",
        "upstream.objects",
        "meter.budget",
        "meter.usage_report",
        "meter.history",
    },
    {"gateway", "control", "sandbox"},
    {"serve", "doctor"},
    {"cli", "demo"},
]
PURE = LAYERS[0] | LAYERS[1]
SIBLINGS = [("gateway", "control"), ("gateway", "sandbox"), ("control", "sandbox")]

FORBIDDEN_IN_PURE = {
    "asyncio", "socket", "ssl", "os", "time", "datetime.now", "random", "secrets", "sqlite3", "sqlalchemy",
    "subprocess", "threading", "http", "urllib.request", "httptools", "uvloop",
}  # fmt: skip


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path
    return found


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> list[tuple[str, int]]:
    """Every imported module name with its line, imports for type checking and inside functions included."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            base = node.module or ""
            found += [(f"{base}.{alias.name}", node.lineno) for alias in node.names]
    return found


def layer(module: str) -> int | None:
    """The layer of the longest prefix that is listed."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        for number, names in enumerate(LAYERS):
            if prefix in names:
                return number
    return None


def ours(imported: str) -> str | None:
    return imported.removeprefix("sekimori.") if imported.startswith("sekimori.") else None


@pytest.mark.parametrize("name", [name for name in modules() if name])
def test_every_module_has_a_place(name: str) -> None:
    path = modules()[name]
    if path.name == "__init__.py" and len(tree(path).body) <= 1:
        return
    assert layer(name) is not None, f"{name} stands in no layer"


@pytest.mark.parametrize("name", [name for name in modules() if name])
def test_imports_point_down(name: str) -> None:
    own = layer(name)
    if own is None:
        return
    for imported, line in imports(modules()[name]):
        target = ours(imported)
        if target is None or target.split(".")[0] == "__version__":
            continue
        other = layer(target)
        assert other is not None, f"{name}:{line} imports {target}, which stands in no layer"
        assert other <= own, f"{name}:{line} imports {target}, which lies above it"


@pytest.mark.parametrize(("left", "right"), SIBLINGS)
def test_siblings_never_import_each_other(left: str, right: str) -> None:
    for name, path in modules().items():
        for here, there in ((left, right), (right, left)):
            if name.split(".")[0] == here:
                for imported, line in imports(path):
                    assert not (ours(imported) or "").startswith(there + "."), f"{name}:{line} imports {imported}"


@pytest.mark.parametrize("name", [name for name in modules() if name and layer(name) in (0, 1)])
def test_pure_modules_touch_nothing(name: str) -> None:
    for imported, line in imports(modules()[name]):
        head = imported.split(".")[0]
        assert head not in FORBIDDEN_IN_PURE, f"{name}:{line} imports {imported}"
    for node in ast.walk(tree(modules()[name])):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "exec", "eval"}, f"{name}:{node.lineno}"


def calls(path: Path, wanted: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Name) and node.func.id == wanted)
            or (isinstance(node.func, ast.Attribute) and node.func.attr == wanted)
        )
    ]


def only(wanted: str, allowed: set[str]) -> None:
    for name, path in modules().items():
        if name not in allowed:
            assert not calls(path, wanted), f"{name}: {wanted}() belongs to {sorted(allowed)}"


def test_one_place_makes_grants() -> None:
    only("Grant", {"policy.decide"})


def test_one_place_reveals_keys() -> None:
    """`Secret.reveal` is the only way to the plaintext; who may call it is listed here, each with its reason."""
    only(
        "reveal",
        {
            "vault.secret",  # defines it
            "vault.embedded",  # encrypts what is put
            "vault.keys",  # checks what is put
            "vault.lend",  # the loan: makes header fields, a token or a signature of it
        },
    )


def test_one_place_reads_the_environment() -> None:
    for name, path in modules().items():
        if name == "config" or name.startswith("demo."):
            continue
        for imported, line in imports(path):
            assert imported not in {"os.environ", "os.getenv"}, f"{name}:{line}: the environment is read in config"
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"environ", "environb", "getenv"}, f"{name}:{node.lineno}"


def test_one_place_drives_sql() -> None:
    for name, path in modules().items():
        if name == "db" or name.startswith("db."):
            continue
        for imported, line in imports(path):
            assert imported.split(".")[0] not in {"sqlalchemy", "sqlite3", "aiosqlite"}, f"{name}:{line}"


def test_one_place_dials() -> None:
    """Sockets to an address that a tenant can influence are made in egress/dial alone."""
    for wanted in ("create_connection", "open_connection"):
        only(wanted, {"egress.dial"})
    only("sock_connect", {"egress.dial", "control.owner"})  # the owner's own Unix socket
    only("getaddrinfo", {"egress.dial", "http.server"})  # the server's own listening address


def test_files_stay_readable() -> None:
    for name, path in modules().items():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 600, f"{name} is over 600 lines"


def test_names_say_what_is_inside() -> None:
    for name in modules():
        assert not {"utils", "util", "helpers", "helper", "manager", "common", "misc"} & set(name.split("."))


def test_no_pattern_that_early_releases_of_python_3_11_get_wrong() -> None:
    """CPython before 3.11.5 (Debian 12 has 3.11.2) miscompiles possessive quantifiers and atomic groups in alternations
    and repeats (gh-106052): a path filter that used them let dot segments through there."""
    import importlib
    import re
    from re import _parser  # type: ignore[attr-defined]

    def operations(parsed: object) -> set[str]:
        if isinstance(parsed, _parser.SubPattern | list | tuple):
            return set().union(*(operations(one) for one in parsed))
        return {str(parsed)} if type(parsed).__name__ == "_NamedIntConstant" else set()

    seen = 0
    for name in modules():
        if not name or name.startswith(("demo", "sandbox.__main__", "cli.__main__")):
            continue
        for value in vars(importlib.import_module(f"sekimori.{name}")).values():
            if isinstance(value, re.Pattern):
                seen += 1
                flags = value.flags & ~re.UNICODE if isinstance(value.pattern, bytes) else value.flags
                found = operations(_parser.parse(value.pattern, flags))
                assert not found & {"POSSESSIVE_REPEAT", "ATOMIC_GROUP"}, f"{name}: {value.pattern!r}"
    assert seen > 20

"""Secrets: what is one, what only documents one, and not a byte of a key released however long and however cut."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json

import pytest
from hypothesis import given, settings

from sekimori.guard.secrets import LONGEST, SECRETS, entropy, unreal
from sekimori.guard.spans import REACH, Growing, find_all, joined, replaced
from sekimori.identity import apikey
from tests.guard.contract import cuts_of, hold, texts_of


def letters(count: int, seed: str = "a") -> str:
    """Characters of base62 that look random, the same in every run. No key of anybody."""
    made = base64.b64encode(hashlib.shake_256(seed.encode()).digest(count * 2)).decode()
    return made.replace("+", "").replace("/", "").replace("=", "")[:count]


def digits(count: int, base: int = 16) -> str:
    return (
        hashlib.shake_256(b"d").hexdigest(count)[:count]
        if base == 16
        else str(int(hashlib.sha512(b"d").hexdigest(), 16))[:count]
    )


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


JWT = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': 'u-77', 'n': 4})}.{letters(43)}"
OURS = apikey.mint(hashlib.sha256(b"k").digest())
ARMOUR = f"-----BEGIN RSA PRIVATE KEY-----\n{letters(64)}\n{letters(64, 'b')}\n{letters(20)}==\n"
ARMOUR += "-----END RSA PRIVATE KEY-----"

VALID = [
    ("SEKIMORI_KEY", OURS),
    ("ANTHROPIC_KEY", f"sk-ant-api03-{letters(86)}-{letters(6)}AA"),
    ("OPENAI_KEY", f"sk-{letters(20)}T3BlbkFJ{letters(20, 'b')}"),
    ("OPENAI_KEY", f"sk-proj-{letters(74)}_{letters(60, 'b')}"),
    ("OPENROUTER_KEY", f"sk-or-v1-{digits(64)}"),
    ("GOOGLE_KEY", f"AIza{letters(35)}"),
    ("AWS_KEY", f"AKIA{letters(60).upper()[:16]}"),
    ("GITHUB_TOKEN", f"ghp_{letters(36)}"),
    ("GITHUB_TOKEN", f"github_pat_{letters(22)}_{letters(59, 'b')}"),
    ("GITLAB_TOKEN", f"glpat-{letters(20)}"),
    ("SLACK_TOKEN", f"xoxb-{digits(12, 10)}-{digits(12, 10)}-{letters(24)}"),
    ("SLACK_TOKEN", f"hooks.slack.com/services/T{letters(8)}/B{letters(8, 'b')}/{letters(24)}"),
    ("STRIPE_KEY", f"sk_live_{letters(24)}"),
    ("TWILIO_KEY", f"SK{digits(32)}"),
    ("SENDGRID_KEY", f"SG.{letters(22)}.{letters(43, 'b')}"),
    ("NPM_TOKEN", f"npm_{letters(36)}"),
    ("PYPI_TOKEN", f"pypi-AgEIcHlwaS5vcmcC{letters(120)}"),
    ("HUGGINGFACE_TOKEN", f"hf_{letters(34)}"),
    ("TELEGRAM_TOKEN", f"{digits(10, 10)}:AA{letters(33)}"),
    ("DISCORD_TOKEN", f"M{letters(23)}.G{letters(5)}.{letters(38, 'b')}"),
    ("JWT", JWT),
    ("PROVIDER_KEY", f"gsk_{letters(52)}"),
    ("PROVIDER_KEY", f"dop_v1_{digits(64)}"),
    ("PRIVATE_KEY", ARMOUR),
]
SAID = [
    (f"AWS_SECRET_ACCESS_KEY={letters(38)}/x", f"{letters(38)}/x"),
    (f'api_key = "{letters(20)}"', letters(20)),
    (f'{{"client_secret": "{letters(24)}"}}', letters(24)),
    (f"Authorization: Bearer {letters(30)}", letters(30)),
    (f"AccountKey={letters(86)}==;EndpointSuffix=x", f"{letters(86)}=="),
    ('password = "Tr0ub4dor&3x"', "Tr0ub4dor&3x"),
    ("пароль: Zx9kLm2qW", "Zx9kLm2qW"),
    ("postgres://app:s3cr3tPw@db.internal/x", "s3cr3tPw"),
    ("redis://:hG7tq2@cache:6379/0", "hG7tq2"),
]  # fmt: skip


def found(text: str) -> list[tuple[str, str]]:
    return [(match.type, text[match.start : match.end]) for match in joined(find_all(SECRETS, text))]


@pytest.mark.parametrize(("type", "value"), VALID)
@pytest.mark.parametrize("around", ["{}", "use {}, please.", "k={}&x=1", '{{"v":"{}"}}', "<{}>", "钥匙{}。"])
def test_a_key_is_found_with_its_type_whatever_stands_around_it(type: str, value: str, around: str) -> None:
    assert found(around.format(value)) == [(type, value)]


@pytest.mark.parametrize(("text", "value"), SAID)
def test_what_is_assigned_to_a_secret_s_name_is_found_and_not_the_name(text: str, value: str) -> None:
    assert [said for _, said in found(text)] == [value]


@pytest.mark.parametrize(
    "text",
    [
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "sk-your-api-key-goes-here-1234", "AKIAIOSFODNN7EXAMPLE",
        "sk-" + "1" * 40,
        "AKIA" + "A" * 16, "ghp_" + "x" * 36, "task-force-assessment-framework-2024-08", "sk-learn-contrib-models-2024",
        "xAKIA" + letters(60).upper()[:16], "AKIA" + letters(60).upper()[:17], "AKIA" + letters(60).upper()[:15],
        "9fceb02d0ae598e95dc970b74767f19372d61af8", "sha256:" + digits(64), "7f0c9a2e-51bd-4a3c-9e77-0b6d2f1c8a44",
        "token: 7f0c9a2e-51bd-4a3c-9e77-0b6d2f1c8a44", "eyJ" + letters(30) + "." + letters(30) + "." + letters(30),
        "eyJhIjox.eyJiIjoy.abc", "password: hunter2", "password = os.environ['DB_PASSWORD']", "token = get_token()",
        "secret: ${{ secrets.DEPLOY_KEY }}", 'api_key = "your-api-key-123456"', "the secret is out",
        "the token expired",
        "postgres://user:password@localhost/x", "https://host:8443/a@b", "http://a/b:c@d", "postgres://u:${PW}@h/x",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----\n" + letters(64),
        "-----BEGIN PUBLIC KEY-----\n" + letters(64), "the -----BEGIN PRIVATE KEY----- line opens it, see RFC 7468.",
        "hf_transformers_library_documentation", "npm_config_registry_and_other_settings_of", "key-value-store",
        "data:image/png;base64," + letters(400),
    ],
)  # fmt: skip
def test_what_only_looks_like_a_secret_is_none(text: str) -> None:
    assert found(text) == []


def test_a_checksum_that_is_right_makes_sure() -> None:
    body = letters(30)
    right, wrong = f"ghp_{body}{apikey.checksum(body)}", f"ghp_{body}aaaaaa"
    assert [match.confidence for match in find_all(SECRETS, f"{right} {wrong}")] == [0.99, 0.8]
    assert [match.confidence for match in find_all(SECRETS, f"{OURS} {OURS[:-1]}0")] == [0.99, 0.8]


def test_measures_of_a_value() -> None:
    assert entropy("aaaa") == 0
    assert entropy("abcd") == 2
    assert unreal("xxxxxxxxxxxx")
    assert unreal("my-example-key")
    assert not unreal(letters(20))


PLANTED = [value for _, value in VALID] + [text for text, _ in SAID] + [
    "sk-", "sk-ant-", "eyJ", "password", "token = ", "://u:", "-----BEGIN ", "-----BEGIN RSA PRIVATE KEY-----",
    "ghp_", "SG.",
    "Bearer ", "-----END RSA PRIVATE KEY-----", "AKIA", letters(90, "c"),
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(texts_of(PLANTED, "sk-_=:./@ \"'aZ9\n-é电"), cuts_of)
def test_the_same_is_found_at_any_cut(text: str, cuts: list[int]) -> None:
    hold(SECRETS, text, cuts)


@pytest.mark.parametrize("opening", ["sk-ant-api03-", "ghp_", JWT.rpartition(".")[0] + "."])
@pytest.mark.parametrize("step", [997, 5000, 16_001, 60_000])
def test_of_a_key_without_end_no_byte_is_released(opening: str, step: int) -> None:
    key = opening + letters(50_000, opening)
    text = f"It is {key} and no more."
    growing = Growing(SECRETS)
    told, final = [], []
    for start in range(0, len(text), step):
        told += growing.grow(text[start : start + step])
        assert growing.length - growing.settled <= REACH
        final += growing.final
    growing.grow("", True)
    final += growing.final
    assert replaced(text, final, [""] * len(final)) == "It is  and no more."
    assert all(match.end - match.start <= REACH for match in final)
    assert final == joined(find_all(SECRETS, text))


@pytest.mark.parametrize("step", [333, 5000, 60_000])
def test_a_long_run_that_is_no_key_stays_none_at_any_cut(step: int) -> None:
    """An image in base64 is settled piece by piece, and no piece is taken for the rest of a key."""
    for run in (letters(60_000, "image"), "a" * 60_000, "0" * 60_000, "ab-" * 20_000, "A1" * 30_000):
        growing = Growing(SECRETS)
        for start in range(0, len(run), step):
            assert growing.grow(run[start : start + step]) == []
        assert growing.grow("", True) == []
        assert find_all(SECRETS, run) == []


def test_armour_that_does_not_end_is_suppressed_as_far_as_one_match_goes() -> None:
    text = ARMOUR.partition("-----END")[0] + f"{letters(64)}\n" * 400
    told = [match for match in find_all(SECRETS, text) if match.type == "PRIVATE_KEY"]
    assert told[0].start == 0
    assert told[0].end == LONGEST


@pytest.mark.parametrize(
    "unit", ["a", "7", "@", "sk-", "sk-ant-", "eyJ", "ghp_", "-", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----",
    "token", "token=",
             "://a:", "://", ".", "password is ", "SG.", "1234567890:AA", "é", "SK0"],
)  # fmt: skip
def test_hostile_texts_end_and_leave_little_unsettled(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    assert [match for match in find_all(SECRETS, text) if match.type not in ("PASSWORD", "PRIVATE_KEY")] == []
    for detector in SECRETS:
        _, settled = detector.find(text, 0, False)
        assert len(text) - settled <= REACH


def test_pairs_of_secrets_in_one_text_are_each_found() -> None:
    for (first, one), (second, other) in itertools.pairwise(VALID):
        assert [type for type, _ in found(f"{one} {other}")] == [first, second]

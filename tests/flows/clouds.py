"""A deployment whose tenant has a contract with every kind of provider, all of them played by the sandbox."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sekimori.control.arguments import Put
from sekimori.sandbox.app import serve_sandbox
from sekimori.sandbox.provider import Provider as Sandbox
from tests.flows.place import Place, place, sweep

MAIL = "caller@my-project.iam.gserviceaccount.example"
ACCOUNT = rsa.generate_private_key(65537, 2048)
PEM = ACCOUNT.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
IDENTITY = rsa.generate_private_key(65537, 2048)
"""Of another identity provider, which a workload identity pool trusts."""
ISSUER = "https://cluster.example"
WORKLOAD = "system:serviceaccount:gateway:sekimori"
AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x"
ENTRA_SECRET = "Zx8~entra.client-secret_41c0a97be35d4f"
AWS_ID = "EXAMPLEACCESSKEY0001"
AWS_SECRET = "q7Lr/exampleaws+secretaccess/key40charslong"
AWS_SESSION = "FwoGexamplesessiontoken//////////wEaDHa8b3c1f2"
PLAIN = "plain-cloud-key-77c1d04e5b9a4e8f93b7d6"

SECRETS: dict[str, bytes] = {
    "entra": json.dumps({"tenant_id": "contoso.example", "client_id": "app-1", "client_secret": ENTRA_SECRET}).encode(),
    "google_service_account": json.dumps(
        {
            "type": "service_account",
            "project_id": "my-project",
            "private_key_id": "k1",
            "private_key": PEM,
            "client_email": MAIL,
            "client_id": "1",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": "https://oauth2.googleapis.com/token",
        },
        indent=2,
    ).encode(),
    "aws": json.dumps(
        {"access_key_id": AWS_ID, "secret_access_key": AWS_SECRET, "session_token": AWS_SESSION}
    ).encode(),
    "api_key": PLAIN.encode(),
}
SUBJECTS: list[str] = []
"""Subject tokens that a test made."""
HIDDEN = [ENTRA_SECRET, AWS_SECRET, AWS_SESSION, PLAIN, PEM[40:120].replace("\n", "")]

# name -> (catalogue entry, base path, credential, further fields, dialects)
CONTRACTS: dict[str, tuple[str, str, str, str, tuple[str, ...]]] = {
    "az": ("azure", "", "api_key", "", ("openai", "anthropic")),
    "azd": ("azure", "", "api_key", "apiVersion: 2024-10-21", ("openai", "anthropic")),
    "aze": ("azure", "/openai/v1", "entra", "", ("openai", "anthropic")),
    "vx": (
        "vertex",
        "",
        "google_service_account",
        "project: my-project\nlocation: europe-west4\ndialects: [openai, anthropic, gemini]",
        ("openai", "anthropic"),
    ),
    "br": ("bedrock", "", "aws", "location: us-east-1", ("openai", "anthropic")),
    "brk": ("bedrock", "", "api_key", "location: us-east-1", ("openai", "anthropic")),
    "mt": ("bedrock_mantle", "", "aws", "location: us-west-2", ("openai", "anthropic")),
    "mi": ("mistral", "/mistral/v1", "api_key", "", ("openai",)),
    "gq": ("groq", "/openai/v1", "api_key", "", ("openai",)),
    "ort": ("openrouter", "/api/v1", "api_key", "", ("openai", "anthropic")),
    "ds": ("deepseek", "", "api_key", "", ("openai", "anthropic")),
    "xa": ("xai", "/v1", "api_key", "", ("openai", "anthropic")),
    "oa": ("openai", "/v1", "api_key", "organization: org-mine\nproject: proj_mine", ("openai",)),
    "an": ("anthropic", "", "api_key", "dialects: [anthropic, openai]", ("openai", "anthropic")),
}


def documents(provider_port: int, sandbox_port: int) -> str:
    """Operator, agent, and for each contract a provider, a key and a route of acme's."""
    written = [
        f"kind: Operator\nallowPrivate: [{{host: 127.0.0.1, port: {provider_port}}},"
        f" {{host: 127.0.0.1, port: {sandbox_port}}}]",
        'kind: Agent\ntenant: acme\nname: cloudy\nmodels: ["*"]',
    ]
    for name, (catalog, path, credential, more, dialects) in CONTRACTS.items():
        written.append(
            f"kind: Provider\ntenant: acme\nname: {name}\ncatalog: {catalog}\n"
            f'baseUrl: http://127.0.0.1:{sandbox_port}{path}\nmodels: ["sandbox-*", gpt-renamed]\n{more}'
            + ("" if "dialects" in more else f"\ndialects: [{', '.join(dialects)}]")
            + ("\ndeployments: [{model: gpt-renamed, deployment: sandbox-echo}]" if catalog == "azure" else "")
        )
        written.append(f"kind: Key\npath: clients/acme/{name}\nprovider: {name}\ncredential: {credential}")
        written.append(f"kind: Route\ntenant: acme\nprovider: {name}\nkey: clients/acme/{name}")
    return "\n---\n".join(written)


def external(file: str, *, acts: bool = True, **more: Any) -> bytes:
    """An `external_account` file as Google gives it out."""
    account = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{MAIL}:generateAccessToken"
    made = {
        "universe_domain": "googleapis.com",
        "type": "external_account",
        "audience": AUDIENCE,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "token_info_url": "https://sts.googleapis.com/v1/introspect",
        "credential_source": {"file": file, "format": {"type": "text"}},
        **({"service_account_impersonation_url": account} if acts else {}),
        **more,
    }
    return json.dumps(made, indent=2).encode()


def subject_token(sub: str = WORKLOAD, *, key: Any = IDENTITY, **claims: Any) -> str:
    """A token of the other identity provider, signed for the pool."""
    now = int(time.time())
    told = {"iss": ISSUER, "aud": "https:" + AUDIENCE, "sub": sub, "iat": now, "exp": now + 600, **claims}
    parts = ({"alg": "RS256", "typ": "JWT"}, told)
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = key.sign(signed, PKCS1v15(), SHA256())
    token = (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()
    SUBJECTS.append(token)
    return token


@asynccontextmanager
async def cloudy(folder: Path) -> AsyncIterator[tuple[Place, Sandbox]]:
    """The deployment, its keys put, its sandbox knowing who may come in. Leaving sweeps for the secrets and tokens."""
    sandbox = Sandbox()
    server, port = await serve_sandbox(provider=sandbox)
    clouds = sandbox.clouds
    SUBJECTS.clear()
    clouds.pools[AUDIENCE] = (ISSUER, IDENTITY.public_key())
    clouds.actors[MAIL] = {WORKLOAD}
    clouds.clients["contoso.example", "app-1"] = ENTRA_SECRET
    clouds.accounts[MAIL] = ACCOUNT.public_key()
    clouds.access_keys[AWS_ID] = (AWS_SECRET, AWS_SESSION)
    url = f"http://127.0.0.1:{port}"
    clouds.audience = f"{url}/token"
    settings = (
        f'[upstream]\nentra_authority = "{url}"\ngoogle_token_url = "{url}/token"\n'
        f'google_sts_url = "{url}/v1/token"\ngoogle_iam_url = "{url}"\nsubject_tokens = "{folder}/tokens"\n'
    )
    tokens: list[str] = []
    try:
        async with place(folder, settings=settings) as here:
            await here.apply(documents(here.provider_port, port))
            for name, (_, _, credential, _, _) in CONTRACTS.items():
                await here.verb("key put", Put(path=f"clients/acme/{name}", secret=SECRETS[credential]))
            await here.issue("acme", "cloudy")
            yield here, sandbox
            tokens = [*clouds.tokens, *SUBJECTS]
            await here.settled()
            sweep(here, [*HIDDEN, *tokens])
    finally:
        await server.drain(0.0)


def message(dialect: str, model: str, **more: Any) -> dict[str, Any]:
    """A call in a dialect."""
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hello there"}], **more}
    return asked if dialect == "openai" else {"max_tokens": 64, **asked}


PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}

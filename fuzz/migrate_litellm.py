"""Any bytes are a LiteLLM configuration or are refused; what is written of one can be checked and is read back."""

from sekimori.migrate.litellm import import_litellm
from sekimori.policy.checks import check
from sekimori.policy.documents import Documents, parse
from sekimori.policy.problems import Invalid

SEEDS = [
    b"model_list:\n  - model_name: m\n    litellm_params: {model: openai/gpt-5-mini, api_key: os.environ/A_KEY}\n",
    b"model_list: [{model_name: a, litellm_params: &a {model: azure/x, api_base: 'https://x.openai.azure.com'}}]\n",
    b"model_list: [{model_name: a, litellm_params: {model: ollama/x, api_base: 'http://localhost:11434', rpm: 3}}]\n"
    b"router_settings: {model_group_alias: {b: a}, fallbacks: [{a: [b]}]}\n",
    b"credential_list: [{credential_name: c, credential_values: {api_key: k}}]\nmodel_list: ['*']\n",
]


def target(data: bytes) -> None:
    try:
        made = import_litellm(data, "fuzz", today="2026-11-25")
    except Invalid:
        return
    documents = Documents(parse(made.text.encode(), "fuzz"))
    assert len(documents) == len(made.documents)
    assert not [problem for problem in check(documents) if problem.level == "error"]
    assert made.documents or made.notes

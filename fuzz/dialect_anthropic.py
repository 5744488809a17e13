"""Asks with their headers, replies and errors of the Anthropic dialect."""

from __future__ import annotations

from fuzz._asks import check
from sekimori.dialects import anthropic

SEEDS = [
    b'pdfs-2024-09-25\n{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}],"stream":true}',
    b'\n{"model":"m","messages":[{"role":"user","content":[{"type":"document","source":{"type":"content","content":'
    b'[{"type":"image","source":{"type":"url","url":"http://x"}}]}},{"type":"tool_result","tool_use_id":"t","content":'
    b'[{"type":"image","source":{"type":"file","file_id":"f"}}]}]}],"system":[{"type":"text","text":"a"}]}',
    b'mcp-client-2025-11-20,x\n{"model":"m","messages":[{"role":"system","content":[{"type":"tool_addition","tool":{"type":'
    b'"tool_definition","definition":{"type":"web_fetch_20260318"}}}]}],"tools":[{"name":"n","input_schema":{}},'
    b'{"type":"advisor_20260301"}],"container":{"id":"c"},"mcp_servers":[]}',
    b'\n{"content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2,"iterations":[{},{}]}}',
    b'\n{"type":"error","error":{"type":"overloaded_error","message":"org-1234567890"}}',
    b'\n{"model":"m","messages":[{"role":"assistant","content":[{"type":"server_tool_use","name":"code_execution"}]}]}',
]


def target(data: bytes) -> None:
    betas, _, body = data.partition(b"\n")
    headers = [(b"anthropic-beta", betas)] if betas else []
    check(anthropic, "chat", body, headers)
    check(anthropic, "count_tokens", body, [])

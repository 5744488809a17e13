"""Asks, replies and errors of the OpenAI dialect."""

from __future__ import annotations

from fuzz._asks import check
from sekimori.dialects import openai

SEEDS = [
    b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":5,"n":2}',
    b'{ "model" : "p/m", "messages" : [ {"role":"user","content":[{"type":"text","text":"a\\u00e4"},{"type":'
    b'"image_url","image_url":{"url":"data:image/png;base64,AA"}},{"type":"file","file":{"file_id":"f"}}]} ],'
    b'"stream_options": null }',
    b'{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f",'
    b'"arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"x"}],"tools":[{"type":"function","function":'
    b'{"name":"f"}},{"type":"web_search_2026_01_01"},{"type":"mcp","server_url":"http://x"}],"store":true}',
    b'{"model":"m","messages":[],"Model":"x","temperature":1e0,"logit_bias":{"5":-1},"extra":{"a":[{"a":{}}]}}',
    b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}',
    b'{"error":{"message":"Incorrect API key: sk-abc***xyz","code":429}}',
    b'{"model":"m","model":"n","messages":[]}',
]


def target(data: bytes) -> None:
    check(openai, "chat", data, [])

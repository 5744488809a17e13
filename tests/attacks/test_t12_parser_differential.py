"""T12: what we read differs from what the provider reads.

Each body would mean one thing to one parser and another to the next: the policy would be asked of one model, field or
tool, and the provider would serve the other. A body gets through only if every parser reads it alike, and then it
gets through as it was written.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from tests.attacks.attacker import CHAT, COUNT, MESSAGES, VERSION, bearer, code_of
from tests.flows.place import JSON, Place, answer_well, chat, completion, place

GRANTED = (
    "kind: Agent\ntenant: acme\nname: x\nmodels: [tiny]\ncapabilities: [unknown_fields, unknown_tools, unknown_betas]\n"
)
"""The agent may send what the registry does not know; what would be read as something it does know stays refused."""

M = b'"messages":[{"role":"user","content":"x"}]'
TWO_MEANINGS: list[bytes] = [
    # Which of two counts depends on the parser.
    b'{"model":"tiny","model":"small",%b}' % M,
    b'{"model":"small","model":"tiny",%b}' % M,
    b'{"model":"tiny","\\u006dodel":"small",%b}' % M,
    b'{"mode\\u006c":"tiny","\\u006d\\u006f\\u0064\\u0065\\u006c":"small",%b}' % M,
    b'{"model":"tiny","stream":false,"stream":true,%b}' % M,
    b'{"model":"tiny","messages":[],%b}' % M,
    b'{"model":"tiny","messages":[{"role":"user","content":"x","content":[{"type":"image_url"}]}]}',
    b'{"model":"tiny","messages":[{"role":"user","role":"system","content":"x"}]}',
    b'{"model":"tiny",%b,"tools":[{"type":"function","type":"web_search"}]}' % M,
    b'{"model":"tiny",%b,"tools":[{"type":"function","function":{"name":"a","name":"b"}}]}' % M,
    b'{"model":"tiny",%b,"response_format":{"a":{"b":{"c":1,"c":2}}}}' % M,
    b'{"":1,"":2,"model":"tiny",%b}' % M,
    # Some servers compare names without case (Go), without accents, or cut them at NUL (C).
    b'{"model":"tiny","Model":"small",%b}' % M,
    b'{"model":"tiny","MODEL":"small",%b}' % M,
    b'{"MODEL":"small",%b}' % M,
    b'{"model":"tiny","MESSAGES":[],%b}' % M,
    '{"model":"tiny","me\u017f\u017fages":[],"messages":[]}'.encode(),
    '{"model":"tiny","to\u212aen":1,"s\u1e9eop":1,"max_to\u212aens":9,"messages":[]}'.encode(),
    b'{"model":"tiny",%b,"Tools":[{"type":"web_search"}]}' % M,
    b'{"model":"tiny",%b,"Web_Search_Options":{}}' % M,
    b'{"model":"tiny",%b,"tools":[{"Type":"web_search","type":"function","function":{"name":"a"}}]}' % M,
    b'{"model":"tiny",%b,"tools":[{"Type":"web_search","type":"brand_new"}]}' % M,
    b'{"model":"tiny",%b,"tools":[{"type":"brand_new","SERVER_URL":"https://x.example/"}]}' % M,
    '{"model":"tiny","messages":[],"tools":[{"type":"brand_new","vector_\u017ftore_ids":["x"]}]}'.encode(),
    b'{"model":"tiny",%b,"tool_choice":{"type":"function","Type":"web_search","function":{"name":"a"}}}' % M,
    b'{"model":"tiny",%b,"tool_choice":{"type":"brand_new","TYPE":"mcp"}}' % M,
    b'{"model":"tiny","messages":[{"role":"user","Content":[{"type":"image_url"}],"content":"x"}]}',
    b'{"model":"tiny","messages":[{"role":"user","content":[{"type":"text","text":"x","Text":"y"}]}]}',
    # Numbers and words that are not JSON, or not everywhere.
    b'{"model":"tiny","temperature":NaN,%b}' % M,
    b'{"model":"tiny","temperature":Infinity,%b}' % M,
    b'{"model":"tiny","temperature":-Infinity,%b}' % M,
    b'{"model":"tiny","temperature":1e999,%b}' % M,
    b'{"model":"tiny","seed":0x10,%b}' % M,
    b'{"model":"tiny","seed":010,%b}' % M,
    b'{"model":"tiny","seed":+1,%b}' % M,
    b'{"model":"tiny","seed":.5,%b}' % M,
    b'{"model":"tiny","seed":1.,%b}' % M,
    b'{"model":"tiny","seed":1_000,%b}' % M,
    b'{"model":"tiny","stream":True,%b}' % M,
    b'{"model":"tiny","stream":"true",%b}' % M,
    b'{"model":"tiny","stream":1,%b}' % M,
    b'{"model":"tiny","stream":[],%b}' % M,
    # Text that some read and some do not.
    b"{'model':'tiny',%b}" % M,
    b'{model:"tiny",%b}' % M,
    b'{"model":"tiny",%b,}' % M,
    b'{"model":"tiny",,%b}' % M,
    b'{"model":"tiny"/*,"model":"small"*/,%b}' % M,
    b'{"model":"tiny",%b} // {"model":"small"}' % M,
    b'#{}\n{"model":"tiny",%b}' % M,
    b'{"model":"tiny",%b}{"model":"small",%b}' % (M, M),
    b'{"model":"tiny",%b}\x00' % M,
    b'{"model":"tiny",%b}\n]' % M,
    b')]}\'\n{"model":"tiny",%b}' % M,
    b'\xef\xbb\xbf{"model":"tiny",%b}' % M,
    b'{"model":"tiny\x00",%b}' % M,
    b'{"model":"ti\nny",%b}' % M,
    b'{"model":"tiny\\x41",%b}' % M,
    b'{"model":"tiny","messages":[{"role":"user","content":"\xff\xfe"}]}',
    b'{"model":"tiny","messages":[{"role":"user","content":"\xc0\xae"}]}',
    b'{"model":"tiny","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
    b'{"model":"tiny","messages":[{"role":"user","content":"\\ud800"}]}',
    b'{"model":"tiny","messages":[{"role":"user","content":"\\udc00\\ud800"}]}',
    b'{"model":"tiny","\\ud800":1,%b}' % M,
    json.dumps(chat()).encode("utf-16"),
    json.dumps(chat()).encode("utf-16-le"),
    json.dumps(chat()).encode("utf-32"),
    # No object of a call at all.
    b"", b" ", b"null", b"true", b'"model"', b"[]", b'[{"model":"tiny"}]', b"{}", b"0", b"model=tiny",
    b'{"model":["tiny","small"],%b}' % M,
    b'{"model":{"name":"tiny"},%b}' % M,
    b'{"model":null,%b}' % M,
    b'{"model":7,%b}' % M,
    b'{"model":"tiny","messages":{"0":{"role":"user"}}}',
    b'{"model":"tiny","messages":"x"}',
    b'{"model":"tiny","messages":[["user","x"]]}',
    b'{"model":"tiny","messages":[null]}',
    b'{"model":"tiny","messages":[{"role":["user"],"content":"x"}]}',
    b'{"model":"tiny","messages":[{"role":"user","content":{"type":"text"}}]}',
    b'{"model":"tiny",%b,"tools":{"type":"web_search"}}' % M,
    b'{"model":"tiny",%b,"tools":["web_search"]}' % M,
    b'{"model":"tiny",%b,"tools":[{"type":["function","web_search"]}]}' % M,
    # Fields that would have another model answer than the one that was decided on.
    b'{"model":"tiny","models":["small"],%b}' % M,
    b'{"model":"tiny","fallbacks":[{"model":"small"}],%b}' % M,
    b'{"model":"tiny","route":"fallback",%b}' % M,
]  # fmt: skip

OPENAIS_OWN = (b'"Web_Search_Options"', b'"models"', b'"route"', b'"type":"function"')
"""What is nothing to the other dialect: there it is an unknown field or tool, which this agent may send."""


async def raw(here: Place, body: bytes, path: str = CHAT, *more: tuple[bytes, bytes]) -> tuple[int, bytes]:
    code, _, reply = await here.send("POST", path, [bearer(here.keys["acme/x"]), *(more or (JSON,))], body)
    return code, reply


async def test_a_body_with_two_meanings_reaches_nobody(tmp_path: Path) -> None:
    async with place(tmp_path, documents=GRANTED) as here:
        assert len(TWO_MEANINGS) >= 70
        for body in TWO_MEANINGS:
            code, reply = await raw(here, body)
            assert code == 400, body
            assert code_of(reply) in ("malformed_json", "bad_request", "unknown_field"), body
            if any(name in body for name in OPENAIS_OWN):
                continue
            for path in (MESSAGES, COUNT):
                code, _ = await raw(here, body, path, VERSION)
                assert code == 400, (path, body)
        assert here.provider.seen == []
        assert await here.of_kind("acme", entry.DECIDED) == []


async def test_what_gets_through_is_what_was_written_to_the_byte(tmp_path: Path) -> None:
    """Odd but of one meaning: values arrive as the caller's own bytes, so no re-encoding can change what they say."""
    bodies: list[bytes] = []

    async def keeps(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        bodies.append(await request.body())
        await answer_well(request, reply, body)

    values = [
        b'"temperature":1.0000000000000000000001',
        b'"seed":9007199254740993',
        b'"temperature":1E0',
        b'"temperature":-0.0',
        b'"stop":["\\u0000","\\u2028","\\ud83d\\ude00","\\/"]',
        b'"user":"\\u003cscript\\u003e"',
        b'"logit_bias":{"1":1,"01":2,"1.0":3}',
        b'"response_format" : { "type" :\n"json_schema", "json_schema" : {"model":"small","Model":1,"":{}} }',
        b'"metadata2":{"model":"small"}',
        b'"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"model":{},"Model":{}}}}}]',
    ]
    async with place(tmp_path, documents=GRANTED) as here:
        for value in values:
            here.provider.script = [keeps]
            code, reply = await raw(here, b'{ "model":"tiny",%b , %b\t}' % (M, value))
            assert (code, reply) == (200, completion()), value
            name, _, rest = value.partition(b":")
            assert name.strip() + b":" + rest.strip() in bodies[-1].replace(b'" :', b'":').replace(
                b": {", b":{", 0
            ) or (rest.strip() in bodies[-1]), bodies[-1]
            assert bodies[-1].count(b'"model":"tiny"') == 1
            assert json.loads(bodies[-1])["model"] == "tiny"


async def test_depth_size_and_number_of_values_have_bounds_that_cost_little(tmp_path: Path) -> None:
    deep = [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"model":"tiny","messages":' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"model":"tiny",%b,"response_format":' % M + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}",
        b'{"model":"tiny","messages":[' + b"{}," * 300_000 + b"{}]}",
        b'{"model":"tiny","messages":[' + b"0," * 1_000_000 + b"0]}",
        b'{"model":"tiny",' + b",".join(b'"k%d":0' % number for number in range(210_000)) + b"}",
        b'{"model":"tiny","a":"' + b"\\" * 999_999,
        b'{"model":"' + b"a" * 1_000_000 + b'",%b}' % M,
        b'{"model":"tiny","seed":' + b"9" * 500_000 + b",%b}" % M,
    ]
    async with place(tmp_path) as here:
        for body in deep:
            code, reply = await raw(here, body)
            assert code in (400, 404), body[:60]
            assert len(reply) < 2000, "the reply repeats what was sent"
        at_the_bound = b'{"model":"tiny",%b,"response_format":' % M + b'{"a":' * 62 + b"1" + b"}" * 62 + b"}"
        assert (await raw(here, at_the_bound))[0] == 200
        assert len(here.provider.seen) == 1


CLAIMED = (
    b"application/x-www-form-urlencoded",
    b"text/plain",
    b"multipart/form-data; boundary=x",
    b"application/json; charset=utf-16",
    b"application/yaml",
    b"application/msgpack",
    b"",
)


async def test_the_media_type_and_encoding_a_caller_claims_change_nothing(tmp_path: Path) -> None:
    body = json.dumps(chat()).encode()
    async with place(tmp_path) as here:
        for claimed in CLAIMED:
            code, _ = await raw(here, body, CHAT, (b"content-type", claimed))
            assert code == 200, claimed
            sent = [value for name, value in here.provider.seen[-1][1] if name == b"content-type"]
            assert sent == [b"application/json"], "the provider was told what the caller claimed"
        for encoding in (b"gzip", b"deflate", b"br", b"zstd", b"gzip, identity", b"x-gzip", b"utf-8"):
            code, reply = await raw(here, gzip.compress(body), CHAT, (b"content-encoding", encoding))
            assert (code, code_of(reply)) == (415, "unsupported_encoding"), encoding
        assert (await raw(here, b"model=tiny&messages=x", CHAT, (b"content-type", b"text/plain")))[0] == 400
        assert len(here.provider.seen) == 7


async def test_what_the_registry_does_not_know_is_refused_by_name_and_needs_leave(tmp_path: Path) -> None:
    strange: list[dict[str, Any]] = [
        {"agentic_mode": True},
        {"extra_body": {"tools": [{"type": "web_search"}]}},
        {"tools": [{"type": "super_search_20270101"}]},
        {"tools": [{"type": "function_20270101", "function": {"name": "f"}}]},
        {"tools": [{"type": "Web_Search"}]},
        {"tools": [{"type": "web_search\u200b"}]},
        {"messages": [{"role": "user", "content": [{"type": "hologram", "url": "http://x"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "fetch": "http://x"}]}]},
        {"messages": [{"role": "user", "content": "x", "attachments": [{"url": "http://x"}]}]},
    ]
    async with place(tmp_path) as here:
        for more in strange:
            code, reply = await raw(here, json.dumps(chat(**more)).encode())
            assert code in (400, 403), more
            assert b"unknown_" in reply or b"capab" in reply, "the refusal names the setting that allows it"
        code, reply = await raw(
            here, b'{"model":"tiny","max_tokens":1,%b}' % M, MESSAGES, VERSION, (b"anthropic-beta", b"mystery-2027")
        )
        assert code in (400, 403)
        assert here.provider.seen == []


async def test_a_reply_is_read_once_and_handed_on_as_it_came(tmp_path: Path) -> None:
    """The way back: what we metered is what the caller reads, or he does not get it."""
    usage = b'"usage":{"prompt_tokens":7,"completion_tokens":3}'
    odd = [
        completion() + b"\n\n",
        b' \n{ "choices":[{"index":0,"message":{"content":"\\u0000"}}],%b}' % usage,
    ]
    none = [b"\xef\xbb\xbf" + completion(), completion() + b"x", completion()[:-1], b'{"choices":NaN}', b"[]", b"\xff"]

    def says(body: bytes) -> Any:
        async def answer(request: Request, reply: Reply, asked: dict[str, Any]) -> None:
            await reply.send(200, [JSON], body)

        return answer

    async with place(tmp_path) as here:
        for body in odd:
            here.provider.script = [says(body)]
            assert await raw(here, json.dumps(chat()).encode()) == (200, body)
        for body in none:
            here.provider.script = [says(body)]
            code, reply = await raw(here, json.dumps(chat()).encode())
            assert (code, code_of(reply)) == (502, "upstream_malformed"), body
        settled = await here.of_kind("acme", entry.SETTLED)
        assert [one.usage.input for one in settled[:2]] == [7, 7]


HIDDEN: list[str] = [
    # One of two spellings decides at Google's servers; neither is let through.
    '"tools":[{"googleSearch":null,"google_search":{}}]',
    '"tools":[{"functionDeclarations":[],"code_execution":null,"codeExecution":{}}]',
    '"generationConfig":{"responseModalities":["TEXT"],"response_modalities":["AUDIO"]}',
    '"generationConfig":{},"generation_config":{"speechConfig":{}}',
    '"cachedContent":null,"cached_content":"cachedContents/of-another"',
    '"systemInstruction":{"parts":[{"fileData":{"fileUri":"files/a","file_uri":"gs://b/o"}}]}',
    # Hosted tools and what is fetched, in either spelling, alone or many, at every depth.
    '"tools":[{"google_search":{}}]',
    '"tools":{"url_context":{}}',
    '"tools":[[{"codeExecution":{}}]]',
    '"tools":[{"function_declarations":[],"mcp_servers":{"streamable_http_transport":{"url":"http://evil/"}}}]',
    '"tools":[{"retrieval":{"vertex_ai_search":{"datastore":"projects/x"}}}]',
    '"tools":[{"google_maps":{"auth_config":{"api_key":"k"}}}]',
    '"systemInstruction":{"parts":{"file_data":{"fileUri":"http://169.254.169.254/"}}}',
    '"system_instruction":{"parts":[[{"executable_code":{"code":"1"}}]]}',
    '"generation_config":{"response_schema":{"properties":{"a":{"\\u0024ref":"http://evil/"}}}}',
    '"generation_config":{"_responseJsonSchema":{"items":{"$ref":"http://evil/"}}}',
    '"generation_config":{"response_modalities":3}',
    '"generation_config":{"routing_config":{"manualMode":{"modelName":"small"}}}',
    '"model":"models/small"',
    '"output_config":{"output_uri_prefix":"gs://evil"}',
    '"continuation_token":"AA=="',
    '"service_tier":"PRIORITY"',
    # Spellings that some parser takes for a listed one.
    '"Tools":[{"googleSearch":{}}]',
    '"tools":[{"GoogleSearch":{}}]',
    '"tools":[{"google-search":{}}]',
    '"tools":[{"google_Search":{}}]',
    '"tools":[{"google\u017fearch":{}}]',
    '"cached_Content":"x"',
    '"t\\u006fols":[{"url_conte\\u0078t":{}}]',
]
BESIDE: list[str] = [
    # Another model, method or answer than the one decided on, by path and query.
    "/v1beta/models/small:generateContent",
    "/v1beta/models/tiny%3AgenerateContent",
    "/v1beta/models/tiny:generateContent:generateContent",
    "/v1beta/models/tiny:generateContent/",
    "/v1beta/models/x/../tiny:generateContent",
    "/v1beta/models/tiny:generateContent?alt=media",
    "/v1beta/models/tiny:generateContent?fields=candidates",
    "/v1beta/models/tiny:generateContent?%61lt=sse",
    "/v1beta/models/tiny:generateContent?$fields=candidates",
    "/v1beta/models/tiny:predict",
    "/v1beta/models/tiny:batchGenerateContent",
    "/v1beta/tunedModels/tiny:generateContent",
    "/v1beta/cachedContents",
    "/v1beta/files/abc",
    "/v1alpha/models/tiny:generateContent",
    "/v1/projects/p/locations/l/publishers/google/models/tiny:generateContent",
]
SPEAKS_GEMINI = (
    "kind: Provider\nname: house\ncatalog: compatible\nbaseUrl: http://127.0.0.1:{port}\n"
    "dialects: [openai, anthropic, gemini]\nmodels: [tiny, small, 'gpt-*']\n"
)


async def test_no_spelling_of_the_gemini_dialect_hides_anything(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.apply(SPEAKS_GEMINI.format(port=here.provider_port))
        good = '"contents":[{"parts":[{"text":"x"}]}]'
        path = "/v1beta/models/tiny:generateContent"
        for vector in HIDDEN:
            status, answer = await raw(here, f"{{{good},{vector}}}".encode(), path)
            assert status in (400, 403), (vector, answer)
            assert json.loads(answer)["error"]["status"] in ("INVALID_ARGUMENT", "PERMISSION_DENIED")
        # `y` may call `tiny` alone.
        for beside in BESIDE:
            status, _, answer = await here.post("acme/y", f"{{{good}}}".encode(), beside)
            assert status in (400, 403, 404), (beside, answer)
        assert here.provider.seen == []

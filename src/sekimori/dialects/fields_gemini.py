"""The dated field registry of the Gemini dialect: every message a body may hold, and what each member would do.

Google's servers read proto JSON: each member has two spellings (`fileData`, `file_data`), and whatever is repeated may
stand alone. So the registry is a table of messages, members under their camel-case names, and the reader judges both
spellings of each. The classes are those of `fields`; what is not listed needs `unknown_fields`, or `unknown_tools` in a
tool.

Messages are named as in the SDK of `SOURCE`; tests/dialects/test_fields_gemini.py walks its types and fails when one
of them can send something that has no class here. docs/dialects.md shows these tables; a test keeps it complete.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from msgspec import Struct

from sekimori.dialects.fields import INERT, Rule, needs

DATE: Final = "2026-11-25"
"""The day on which these tables were last compared with their source."""
SOURCE: Final = "google-genai 2.34.0"

Reads = Literal["", "fetch", "file", "modality", "model", "object", "schema", "tool_type", "video"]
"""How a value is judged beyond its presence:

fetch      a URL that the provider fetches
file       the URI of a file: one kept at the provider, or one that it fetches
modality   kinds of answer
model      the model's name, which must be the path's
object     the name of an object kept at the provider, or several
schema     a JSON Schema, whose references a server may follow
tool_type  which of the provider's tools was called
video      an answer with moving images and sound
"""


class Member(Struct, frozen=True):
    """One member of a message."""

    rule: Rule = INERT
    inside: str = ""
    """The message that it holds, one or several; its members are judged as well."""
    reads: Reads = ""


def _message(inert: str = "", /, **members: Member) -> Mapping[str, Member]:
    """The members of a message: the inert ones by name, the others with what they are."""
    plain = inert.split()
    assert not set(plain) & members.keys()
    return MappingProxyType({**dict.fromkeys(plain, Member()), **members})


def _in(message: str) -> Member:
    return Member(inside=message)


def _need(capability: str, *harmless: Any, inside: str = "", reads: Reads = "", note: str = "") -> Member:
    return Member(needs(capability, *harmless, note=note), inside, reads)


def _never(why: str) -> Member:
    return Member(Rule(refused=why))


_OTHER_MODELS: Final = _never("it lets the provider answer with another model than the one that was decided on")
_CREDENTIALS: Final = _never("it holds credentials that the provider would use")
_WRITES: Final = _never("it has the provider write to storage that the agent names")
_SCHEMA: Final = Member(reads="schema")
_MODEL: Final = Member(reads="model")
_SEARCH: Final = "web_search"
_CODE: Final = "code_interpreter"
_INLINE: Final = ("INLINE", "DELIVERY_UNSPECIFIED")

GEMINI: Final[Mapping[str, Mapping[str, Member]]] = MappingProxyType(
    {
        "GenerateContentRequest": _message(
            "labels",
            model=_MODEL,
            contents=_in("Content"),
            systemInstruction=_in("Content"),
            tools=_in("Tool"),
            toolConfig=_in("ToolConfig"),
            safetySettings=_in("SafetySetting"),
            generationConfig=_in("GenerationConfig"),
            cachedContent=_need("stored_state", reads="object"),
            serviceTier=_need(
                "priority_tier",
                *("unspecified", "standard", "flex", "UNSPECIFIED", "STANDARD", "FLEX"),
                *("SERVICE_TIER_UNSPECIFIED", "SERVICE_TIER_STANDARD", "SERVICE_TIER_FLEX"),
            ),
            store=_need("stored_state", False),
            continuationToken=_need("stored_state"),
            modelArmorConfig=_never("it names screening templates in the account of the key's owner"),
            outputConfig=_WRITES,
        ),
        "CountTokensRequest": _message(
            model=_MODEL,
            contents=_in("Content"),
            systemInstruction=_in("Content"),
            tools=_in("Tool"),
            generationConfig=_in("GenerationConfig"),
            generateContentRequest=_in("GenerateContentRequest"),
        ),
        "BatchEmbedContentsRequest": _message(model=_MODEL, requests=_in("EmbedContentRequest")),
        "EmbedContentRequest": _message(
            "taskType title outputDimensionality",
            model=_MODEL,
            content=_in("Content"),
            embedContentConfig=_in("EmbedContentConfig"),
        ),
        "EmbedContentConfig": _message(
            "taskType title outputDimensionality mimeType autoTruncate documentOcr audioTrackExtraction"
        ),
        # What is said.
        "Content": _message("role", parts=_in("Part")),
        "Part": _message(
            "text thought thoughtSignature partMetadata mediaProcessing",
            inlineData=_in("Blob"),
            fileData=_in("FileData"),
            functionCall=_in("FunctionCall"),
            functionResponse=_in("FunctionResponse"),
            executableCode=_need(_CODE, inside="ExecutableCode"),
            codeExecutionResult=_need(_CODE, inside="CodeExecutionResult"),
            toolCall=_in("ToolCall"),
            toolResponse=_in("ToolResponse"),
            videoMetadata=_in("VideoMetadata"),
            mediaResolution=_in("PartMediaResolution"),
            audioTranscription=_in("Transcription"),
            speechMetadata=_in("SpeechMetadata"),
        ),
        "Blob": _message("data mimeType displayName"),
        "FileData": _message("mimeType displayName", fileUri=Member(reads="file")),
        "FunctionCall": _message("id name args willContinue", partialArgs=_in("PartialArg")),
        "PartialArg": _message("boolValue jsonPath nullValue numberValue stringValue willContinue"),
        "FunctionResponse": _message("id name response scheduling willContinue", parts=_in("FunctionResponsePart")),
        "FunctionResponsePart": _message(
            "mediaProcessing", inlineData=_in("FunctionResponseBlob"), fileData=_in("FunctionResponseFileData")
        ),
        "FunctionResponseBlob": _message("data mimeType displayName"),
        "FunctionResponseFileData": _message("mimeType displayName", fileUri=Member(reads="file")),
        "ExecutableCode": _message("id code language"),
        "CodeExecutionResult": _message("id outcome output"),
        "ToolCall": _message("id args", toolType=Member(reads="tool_type")),
        "ToolResponse": _message("id response", toolType=Member(reads="tool_type")),
        "VideoMetadata": _message("startOffset endOffset fps"),
        "PartMediaResolution": _message("level numTokens"),
        "Transcription": _message(
            "text finished languageCode speakerLabel startOffset endOffset", words=_in("WordInfo")
        ),
        "WordInfo": _message("word startOffset endOffset"),
        "SpeechMetadata": _message("speaker style"),
        # Tools.
        "Tool": _message(
            functionDeclarations=_in("FunctionDeclaration"),
            googleSearch=_need(_SEARCH, inside="GoogleSearch"),
            googleSearchRetrieval=_need(_SEARCH, inside="GoogleSearchRetrieval"),
            enterpriseWebSearch=_need(_SEARCH, inside="EnterpriseWebSearch"),
            parallelAiSearch=_need(_SEARCH, inside="ToolParallelAiSearch"),
            exaAiSearch=_need(_SEARCH, inside="ToolExaAiSearch"),
            googleMaps=_need(_SEARCH, inside="GoogleMaps", note="searches Google Maps"),
            urlContext=_need("web_fetch", inside="UrlContext"),
            codeExecution=_need(_CODE, inside="ToolCodeExecution"),
            computerUse=_need("computer_use", inside="ComputerUse"),
            fileSearch=_need("file_search", inside="FileSearch"),
            retrieval=_need("file_search", inside="Retrieval"),
            mcpServers=_need("remote_mcp", inside="McpServer"),
        ),
        "FunctionDeclaration": _message(
            "name description behavior",
            parameters=_SCHEMA,
            parametersJsonSchema=_SCHEMA,
            response=_SCHEMA,
            responseJsonSchema=_SCHEMA,
        ),
        "GoogleSearch": _message(
            "blockingConfidence excludeDomains", searchTypes=_in("SearchTypes"), timeRangeFilter=_in("Interval")
        ),
        "SearchTypes": _message(webSearch=_in("WebSearch"), imageSearch=_in("ImageSearch")),
        "WebSearch": _message(),
        "ImageSearch": _message(),
        "Interval": _message("startTime endTime"),
        "GoogleSearchRetrieval": _message(dynamicRetrievalConfig=_in("DynamicRetrievalConfig")),
        "DynamicRetrievalConfig": _message("dynamicThreshold mode"),
        "EnterpriseWebSearch": _message("blockingConfidence excludeDomains"),
        "ToolParallelAiSearch": _message(
            "customConfigs enableZeroDataRetention",
            apiKey=_CREDENTIALS,
            enableDataRetention=_need("stored_state", False),
        ),
        "ToolExaAiSearch": _message("customConfigs", apiKey=_CREDENTIALS),
        "GoogleMaps": _message("enableWidget", groundingTypes=_in("GoogleMapsGroundingTypes"), authConfig=_CREDENTIALS),
        "GoogleMapsGroundingTypes": _message(places=_in("GoogleMapsPlaces"), routing=_in("GoogleMapsRouting")),
        "GoogleMapsPlaces": _message(),
        "GoogleMapsRouting": _message(),
        "UrlContext": _message(),
        "ToolCodeExecution": _message(),
        "ComputerUse": _message(
            "environment excludedPredefinedFunctions enablePromptInjectionDetection disabledSafetyPolicies"
        ),
        "FileSearch": _message("topK metadataFilter", fileSearchStoreNames=Member(reads="object")),
        "Retrieval": _message(
            "disableAttribution",
            vertexAiSearch=_in("VertexAISearch"),
            vertexRagStore=_in("VertexRagStore"),
            externalApi=_never("it holds addresses and credentials that the provider would use"),
        ),
        "VertexAISearch": _message(
            "filter maxResults",
            datastore=Member(reads="object"),
            engine=Member(reads="object"),
            dataStoreSpecs=_in("VertexAISearchDataStoreSpec"),
        ),
        "VertexAISearchDataStoreSpec": _message("filter", dataStore=Member(reads="object")),
        "VertexRagStore": _message(
            "similarityTopK vectorDistanceThreshold",
            ragCorpora=Member(reads="object"),
            ragResources=_in("VertexRagStoreRagResource"),
            ragRetrievalConfig=_in("RagRetrievalConfig"),
            storeContext=_need("stored_state", False),
        ),
        "VertexRagStoreRagResource": _message(ragCorpus=Member(reads="object"), ragFileIds=Member(reads="object")),
        "RagRetrievalConfig": _message(
            "topK",
            filter=_in("RagRetrievalConfigFilter"),
            hybridSearch=_in("RagRetrievalConfigHybridSearch"),
            ranking=_OTHER_MODELS,
        ),
        "RagRetrievalConfigFilter": _message("metadataFilter vectorDistanceThreshold vectorSimilarityThreshold"),
        "RagRetrievalConfigHybridSearch": _message("alpha"),
        "McpServer": _message("name", streamableHttpTransport=_in("StreamableHttpTransport")),
        "StreamableHttpTransport": _message(
            "headers sseReadTimeout terminateOnClose timeout", url=Member(reads="fetch")
        ),
        "ToolConfig": _message(
            "includeServerSideToolInvocations",
            functionCallingConfig=_in("FunctionCallingConfig"),
            retrievalConfig=_in("RetrievalConfig"),
        ),
        "FunctionCallingConfig": _message("mode allowedFunctionNames streamFunctionCallArguments"),
        "RetrievalConfig": _message("languageCode", latLng=_in("LatLng")),
        "LatLng": _message("latitude longitude"),
        # How to answer.
        "SafetySetting": _message("category method threshold"),
        "GenerationConfig": _message(
            "temperature topP topK candidateCount maxOutputTokens stopSequences seed presencePenalty frequencyPenalty"
            " responseLogprobs logprobs responseMimeType mediaResolution audioTimestamp enableEnhancedCivicAnswers"
            " enableAffectiveDialog",
            responseSchema=_SCHEMA,
            responseJsonSchema=_SCHEMA,
            _responseJsonSchema=_SCHEMA,
            responseFormat=_in("ResponseFormat"),
            responseModalities=Member(reads="modality"),
            speechConfig=_need("audio_out", inside="SpeechConfig"),
            imageConfig=_need("image_generation", inside="ImageConfig"),
            thinkingConfig=_in("ThinkingConfig"),
            translationConfig=_in("TranslationConfig"),
            audioTranscriptionConfig=_in("AudioTranscriptionConfig"),
            routingConfig=_OTHER_MODELS,
            modelConfig=_OTHER_MODELS,
            modelSelectionConfig=_OTHER_MODELS,
        ),
        "ThinkingConfig": _message("includeThoughts thinkingBudget thinkingLevel"),
        "TranslationConfig": _message("echoTargetLanguage targetLanguageCode"),
        "AudioTranscriptionConfig": _message(
            "languageCodes customVocabulary adaptationPhrases wordTimestamp diarization mode",
            languageAuto=_in("LanguageAuto"),
            languageHints=_in("LanguageHints"),
        ),
        "LanguageAuto": _message(),
        "LanguageHints": _message("languageCodes"),
        "ResponseFormat": _message(
            text=_in("TextResponseFormat"),
            audio=_need("audio_out", inside="AudioResponseFormat"),
            image=_need("image_generation", inside="ImageResponseFormat"),
            video=Member(inside="VideoResponseFormat", reads="video"),
        ),
        "TextResponseFormat": _message("mimeType", schema=_SCHEMA, jsonSchema=_SCHEMA),
        "AudioResponseFormat": _message("bitRate mimeType sampleRate", delivery=_need("stored_state", *_INLINE)),
        "ImageResponseFormat": _message("aspectRatio imageSize mimeType", delivery=_need("stored_state", *_INLINE)),
        "VideoResponseFormat": _message(
            "aspectRatio duration resolution", delivery=_need("stored_state", *_INLINE), gcsUri=_WRITES
        ),
        "SpeechConfig": _message(
            "languageCode",
            voiceConfig=_in("VoiceConfig"),
            multiSpeakerVoiceConfig=_in("MultiSpeakerVoiceConfig"),
        ),
        "MultiSpeakerVoiceConfig": _message(speakerVoiceConfigs=_in("SpeakerVoiceConfig")),
        "SpeakerVoiceConfig": _message("speaker", voiceConfig=_in("VoiceConfig")),
        "VoiceConfig": _message(
            prebuiltVoiceConfig=_in("PrebuiltVoiceConfig"),
            replicatedVoiceConfig=_in("ReplicatedVoiceConfig"),
            voice=_need("stored_state", reads="object", note="may be a voice kept at the provider"),
        ),
        "PrebuiltVoiceConfig": _message("voiceName"),
        "ReplicatedVoiceConfig": _message(
            "mimeType voiceSampleAudio consentAudio", voiceConsentSignature=_in("VoiceConsentSignature")
        ),
        "VoiceConsentSignature": _message("signature"),
        "ImageConfig": _message(
            "aspectRatio imageSize personGeneration prominentPeople outputMimeType outputCompressionQuality",
            imageOutputOptions=_in("ImageConfigImageOutputOptions"),
        ),
        "ImageConfigImageOutputOptions": _message("compressionQuality mimeType"),
    }
)
"""Message -> member in camel case -> what it is."""

MODALITIES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "TEXT": (),
        "MODALITY_UNSPECIFIED": (),
        "IMAGE": ("image_generation",),
        "AUDIO": ("audio_out",),
        "VIDEO": ("image_generation", "audio_out"),
    }
)
"""Kind of answer -> the capabilities it needs. Another, or a number in the place of a name, needs `unknown_fields`."""

TOOL_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "TOOL_TYPE_UNSPECIFIED": "",
        "GOOGLE_SEARCH_WEB": "web_search",
        "GOOGLE_SEARCH_IMAGE": "web_search",
        "GOOGLE_MAPS": "web_search",
        "URL_CONTEXT": "web_fetch",
        "FILE_SEARCH": "file_search",
        "MEDIA_PROCESSING": "",
    }
)
"""Tool of the provider that the history names -> the capability it needs; another needs `unknown_tools`."""

FILE: Final = re.compile(
    r"(?:https://generativelanguage\.googleapis\.com/v1(?:beta|alpha)?/)?(files/[a-z0-9][a-z0-9-]{0,62})", re.ASCII
)
"""The URI of a file kept at the provider; the group is its name."""


def snake(name: str) -> str:
    """The other spelling of a camel-case name, as protobuf makes it."""
    return re.sub("[A-Z]", lambda capital: "_" + capital[0].lower(), name)


def _spellings(members: Mapping[str, Member]) -> Mapping[str, tuple[Member, str]]:
    spelled: dict[str, tuple[Member, str]] = {}
    for name, member in members.items():
        other = snake(name)
        spelled[name] = (member, other if other != name else "")
        spelled.setdefault(other, (member, name))
    return MappingProxyType(spelled)


SPELLED: Final = MappingProxyType({message: _spellings(members) for message, members in GEMINI.items()})
"""Message -> member in either spelling -> (what it is, the other spelling or "")."""


def folded(name: str) -> str:
    """What is left of a name when case, `_` and `-` are set aside: names alike in it may be one name to a server."""
    return name.casefold().replace("_", "").replace("-", "")


FOLDED: Final = MappingProxyType(
    {message: MappingProxyType({folded(name): name for name in members}) for message, members in GEMINI.items()}
)
"""Message -> folded name -> the listed name."""

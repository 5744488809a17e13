"""Names and addresses by rules: what stands behind a word that introduces a name, and what is built like an address.

Made to be right where they speak, not to find all: alone they are the light way for who cannot have the model
(`names`),
beside it they know the languages that it does not. All of it is bounded: a rule reads at most a few words. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from sekimori.guard.scan import Scan, listed


class Span(NamedTuple):
    start: int
    end: int
    type: str
    confidence: float


_TITLES: Final = (
    "mr mrs ms miss mx dr prof professor sir madam herr herrn frau hr fr dipl-ing mme mlle maître dre señor señora"
    " sr sra srta"
    " don doña dona lic ing doctor doctora signor signora sig dott dottoressa dhr mevrouw mevr fam familie famiglia"
    " familia família"
    " pan pani pán paní özv господин госпожа г-н г-жа bay bayan opa oma onkel tante tía tío anh chị kurir kurýr"
    " si kak pak bu ibu bapak encik puan cik"
)
_SAID: Final = (
    "my name is|her name is|his name is|legal name|mein name ist|je m'appelle|me llamo|mi nombre es|meu nome é"
    "|me chamo"
    "|aqui é [oa]|mi chiamo|mijn naam is|ik ben|hallo, met|jag heter|jeg hedder|jeg heter|nimeni on|nazywam się"
    "|jmenuji se|volám sa|mă numesc|zovem se|зовем се|казвам се|меня зовут|мене звати|με λένε|ονομάζομαι|adım"
    "|merhaba ben"
    "|nama saya|naitwa|jina langu ni|mano vardas|mani sauc|minu nimi on|em dic|soc (?:en|la|na)|tôi là"
    "|tên tôi là|held by"
    "|au nom de|en nombre de|em nome de|t\\.n\\.v\\.|pregunta por|ask for"
)
_WEAK: Final = (
    "je suis|soy|sono|olen|jestem|sunt|saya|esu|demander|meet|tell|dejar con|entregar a|m\\.|from|to|de|von"
    "|name|full name|nombre|nome|nom|contact"
    "|contacto|kontakt|client|customer|agent|owner|cc|sender|author|name of"
)
_ROLES: Final = (
    "surname|first name|last name|prénom|vorname|nachname|imię|nazwisko|имя|фио"
    "|driver|patient|paciente|cliente|tenant|landlord|cardholder|borrower|co-borrower|applicant|recipient"
    "|attn|reporter|caseworker|holder|beneficiary|bénéficiaire|beneficiario|beneficiário|titular|destinatario"
    "|destinatário|empfänger|absender|ansprechpartner|unterschrift|bewerberin|bewerber|karteninhaber"
    "|geschädigte|kunde|kundin|locataire"
    "|mottagare|modtager|mottaker|saaja|asiakas|odbiorca|klient|klientka|zarządca|stranka|gost|kedvezményezett"
    "|bejelentő|programare"
    "|получатель|держатель|клиент|отримувач|отримувачка|водій|водитель|δικαιούχος|alıcı|gavėja|gavėjas|klients"
    "|motorista|spedire a"
    "|witness|bride|groom|parent|child|titolare|intestatario|vaktmester|techniker|ficha|fn"
    "|next of kin"
)
_GREETED: Final = (
    "dear|hi|hello|hey|hallo|moin|liebe|lieber|kära|hej|hei|estimad[oa]|querid[oa]|cher|chère|ciao|caro|cara"
    "|salut c'est"
    "|dzień dobry|labdien|tere|merhaba|terve|добрый день|добрий день|здравствуйте|καλημέρα"
)
_SIGNED: Final = (
    "regards|best|thanks|cheers|sincerely|yours|gruß|grüße|grüßen|cordialement|saludos|atentamente|hälsningar|hilsen"
    "|pozdrawiam|pozdravem|děkuji|с уважением|thx"
)
_CUE: Final = (
    rf"(?:(?P<title>{_TITLES.replace(' ', '|')})(?:\.|:)?[ \u00a0]+"
    rf"|(?P<said>{_SAID})[ \u00a0]+|(?P<weak>{_WEAK})[ \u00a0:=\"'(]{{1,4}}"
    rf"|(?P<role>{_ROLES})[\"']?(?P<colon>[ \u00a0]?[:=：][ \u00a0]?[\"'(]{{0,2}}|[ \u00a0]+)"
    rf"|(?P<greeted>{_GREETED})[,!]?[ \u00a0]+|(?P<signed>{_SIGNED})[,.!]?[ \u00a0]?\n?)"
)
_INTRODUCED: Final = re.compile(rf"(?<![^\W\d_])(?<![.@-]){_CUE}", re.IGNORECASE)
_PLACES: Final = Scan(rf"(?:^|[^\pL.@\-])(?i:{_CUE.replace(chr(92) + 'u00a0', chr(92) + 'x{a0}')})\p{{L}}")
"""The same, where a letter follows, for the first look."""
_TOKEN: Final = re.compile(r"[^\W\d_](?:[^\W\d_]|['’](?=[^\W\d_])|-(?=[^\W\d_]))*(?![\w@])\.?")
_PARTICLES: Final = listed(
    "van von der den de da do dos das del della di la le el al bin binti bint ben ter ten af av zu zum y e freiherr"
    " ní ní"
)
_NO_NAMES: Final = listed(
    "customer customers neighbour neighbor sir madam all team support service sales office department everyone"
    " there hr it you we he"
    " she they the a an this that my our your i in on at for from to and or if not no yes please thanks thank best"
    " regards"
    " support monday tuesday wednesday thursday friday saturday sunday january february march april may june july"
    " august september"
    " october november december colleagues friends folks guys student students hiring manager sirs ladies gentlemen"
    " world claude"
    " gemini siri alexa ai bot chatbot chatbots assistant leser reader readers administrator registry legal clinic"
    " name email phone address number id date iban tel kunde kundin kunden damen herren alle zusammen"
    " welt nutzer user admin administrator company inc ltd gmbh bank street road python java pepper whippy google"
    " microsoft"
    " pushpin dry internal null none true false unknown request response data message hello hi dear hallo tous monde"
    " señores todos ihr ihre sie der die das den dem ein eine einen les le la el los las il lo gli"
)
_WHOLE_TITLES: Final = listed(
    "sir madam miss professor herr herrn frau mlle maître señor señora don doña dona doctor doctora signor signora"
)
_TITLE_WORDS: Final = frozenset(_TITLES.split())


def introduced(text: str) -> Iterator[Span]:
    """Names that stand behind a word which introduces one: a title, "my name is", a label, a greeting, a farewell."""
    places, done = _PLACES.places(text, 0), 0
    place = places.next(0)
    while place >= 0:
        cue = _INTRODUCED.match(text, place) or _INTRODUCED.match(text, place + 1)
        place = places.next(place + 1 if cue is None else max(cue.end() - 1, place + 1))
        if cue is None or cue.end() < done:
            continue
        kind = cue.lastgroup if cue.lastgroup != "colon" else "role"
        colon = cue.group("colon")
        if kind == "title" and "." in cue.group() and cue.group("title").lower() in _WHOLE_TITLES:
            continue  # the end of a sentence
        most = 4
        first, end, count = _name(text, cue.end(), most)
        if not count:
            continue
        if count < 2 and (kind == "weak" or (kind == "role" and not (colon or "").strip())):
            continue
        if count == 1 and end - first < 2:
            continue
        if kind in ("greeted", "signed") and count == 1 and text[end : end + 1] not in (",", "", "\n", "!", ".", ":"):
            continue
        done = end
        yield Span(first, end, "NAME", 0.8 if kind in ("title", "said") else 0.7)


def _name(text: str, at: int, most: int) -> tuple[int, int, int]:
    """(start, end, words) of the name that begins here; words is 0 where none does."""
    start = at
    end, count, place = at, 0, at
    for _ in range(most + 3):
        token = _TOKEN.match(text, place, place + 40)
        if token is None:
            break
        word = token.group()
        bare = word.rstrip(".")
        if not count and (bare.lower() in _TITLE_WORDS or word in ("Dipl.", "Dipl.-Ing.")):
            place = start = end = token.end() + (text[token.end() : token.end() + 1] == " ")
            continue
        capital = bare[0].isupper()
        if not capital and bare.lower() in _PARTICLES and text[token.end() : token.end() + 1] == " ":
            place = token.end() + 1
            continue
        if (
            not capital
            or (not count and bare.lower() in _NO_NAMES)
            or (len(bare) > 3 and bare.isupper() and count and not text[start:end].isupper())
        ):
            break
        if word.endswith(".") and len(bare) > 1:
            end, count = token.end() - 1, count + 1
            break
        end, count = token.end(), count + 1
        if count == most:
            break
        if text[end : end + 1] not in (" ", "\u00a0"):
            break
        place = end + 1
    if text[end - 2 : end] in ("'s", "’s"):
        end -= 2
    return start, end, count


_MAILED: Final = re.compile(r"(?P<name>[^\W\d_][\w'’.-]*(?: [^\W\d_][\w'’.-]*){0,3}) ?(?:<|\()(?=[\w.+%-]{1,64}@)")
_BESIDE: Final = re.compile(
    r"(?:[:;—–|] |\n|^|\d[,;] ?|, | for | за )(?P<name>(?:[^\W\d_]|['’.-])+(?: (?:[^\W\d_]|['’.-])+){1,3})"
    r"(?=[,;]? ?(?:\(?\+\d|\(0?\d|0\d[\d ./-]{6}|[\w.+%-]{1,40}@\w))"
)
_REACHED: Final = Scan(r"\(?\+\d|\(0?\d|0\d[\d ./\-]{6}")
_SCRIPTS: Final = Scan(r"[\p{Han}\p{Hangul}\p{Arabic}\p{Hebrew}\p{Devanagari}\p{Bengali}\p{Tamil}\p{Thai}]| vagyok")
_NATIVE: Final = (
    # Chinese, Japanese, Korean
    re.compile(
        r"(?:我叫|我是|收件人[：:]|联系人[：:]?|姓名[：:]?|户名|戶名"
        r"|(?<=[了，,])找)(?P<name>[\u4e00-\u9fff]{2,4})(?=[，,。；;、\s]|手|电|$)"
    ),
    re.compile(r"(?P<name>[\u4e00-\u9fff]{1,4}(?:[ \u3000][\u3040-\u30ff\u4e00-\u9fff]{1,5})?)(?=と申します|様)"),
    re.compile(
        r"(?:受取人は|担当は"
        r"|氏名[：:])(?P<name>[\u4e00-\u9fff]{1,4}(?:[ \u3000][\u3040-\u30ff\u4e00-\u9fff]{1,5})?)(?=です|、|。|が)"
    ),
    re.compile(
        r"(?:안녕하세요[ ,.]*|저는 |제 이름은 )(?P<name>[\uac00-\ud7a3]{2,5})(?=입니다|이라고|라고|예요|이에요)"
    ),
    re.compile(
        r"(?:받는 분|담당|수취인|고객|이름)[ :]+(?P<name>[\uac00-\ud7a3]{2,4})(?<![는은이가을를의])(?=[\s,.님씨]|$)"
    ),
    # Arabic, Persian, Hebrew
    re.compile(
        r"(?:(?<!\w)أنا|اسمي|باسم|السيد|السيدة|اسأل عن"
        r"|الاسم[:：]?)[ :]+(?P<name>[\u0621-\u064a]{2,}(?: [\u0621-\u064a]{2,}){0,2})(?=[،,.\n]|$)"
    ),
    re.compile(r"(?:شماره\u200c?|سلام، )(?P<name>[\u0621-\u06cc]{2,}(?: [\u0621-\u06cc]{2,}){1,2})(?= هستم)"),
    re.compile(r"(?:שמי|על שם|קוראים לי) (?P<name>[\u05d0-\u05ea]{2,}(?: [\u05d0-\u05ea-]{2,}){0,2})(?=[,.\n]|$)"),
    # Devanagari, Bengali, Tamil, Thai
    re.compile(r"(?:मैं|मेरा नाम|श्री|श्रीमती) (?P<name>[\u0900-\u097f]{2,}(?: [\u0900-\u097f]{3,})?)(?= बोल| है)"),
    re.compile(r"(?:আমার নাম) (?P<name>[\u0980-\u09ff]{2,}(?: [\u0980-\u09ff]{2,})?)(?=[,।]|$)"),
    re.compile(r"(?:என் பெயர் |வணக்கம், )(?P<name>[\u0b80-\u0bff]{4,}(?: [\u0b80-\u0bff]{3,})?)(?= பேசுகிறேன்|[,.])"),
    re.compile(r"(?:ดิฉัน|ผม|คุณ) ?(?P<name>[\u0e00-\u0e7f]{3,12}(?: [\u0e00-\u0e7f]{3,12})?)(?= โทร| ห้อง|,)"),
    re.compile(r"(?P<name>[A-ZÁÉÍÓÖŐÚÜŰ][\w]+ [A-ZÁÉÍÓÖŐÚÜŰ]\w+)(?= vagyok)"),
)


def native(text: str) -> Iterator[Span]:
    """Names in scripts without capitals, by the words around them; and those before an e-mail address in brackets."""
    beside = "@" in text or _REACHED.places(text, 0).next(0) >= 0
    for found in (*_MAILED.finditer(text), *_BESIDE.finditer(text)) if beside else ():
        first = found.start("name")
        words = found.group("name").split(" ")
        while words and (not words[0][0].isupper() or words[0].lower() in _NO_NAMES | _TITLE_WORDS):
            first += len(words.pop(0)) + 1
        if words and all(word[0].isupper() or word in _PARTICLES for word in words):
            yield Span(first, found.end("name"), "NAME", 0.85)
    if not text.isascii() and _SCRIPTS.places(text, 0).next(0) >= 0:
        for pattern in _NATIVE:
            for found in pattern.finditer(text):
                yield Span(found.start("name"), found.end("name"), "NAME", 0.7)


# Addresses.

_WORD: Final = r"[^\W\d_][\w'’.-]*"
_POST: Final = (
    r"(?:[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}|[A-Z]\d[A-Z] \d[A-Z]\d|\d{5}(?:-\d{3,4})?|\d{3} \d{2}|\d{2}-\d{3}"
    r"|\d{4}(?: [A-Z]{2}\b|-\d{3})?|[A-Z]\d{4}|\d{6})"
)
_KIND: Final = (
    r"street|st|road|rd|avenue|ave|lane|ln|drive|dr|close|court|ct|terrace|grove|rise|square|sq|boulevard|blvd"
    r"|way|crescent|parade|quay"
    r"|gardens|highway|hwy|parkway|mews|row|view|walk|hill|green|place"
)
_ENGLISH: Final = re.compile(
    rf"(?:(?:flat|unit|apt|apartment|suite|plot|office"
    rf"|no) ?(?:\d[\w/]{{0,5}}|[a-z]\b),? )?\d{{1,5}}[A-Za-z]?(?:[/-]\d{{1,5}})?"
    rf" (?:{_WORD} ){{1,4}}(?:{_KIND})\b\.?(?: (?:nw"
    rf"|ne|sw|se|n|s|e|w)\b)?"
    rf"|po box \d{{1,6}}|(?:{_WORD} ){{1,3}}(?:road|street|lane), (?={_WORD}(?: {_WORD})? {_POST})",
    re.IGNORECASE,
)
_BEHIND: Final = re.compile(
    rf"(?:{_WORD} )?{_WORD[:-1]}{{0,30}}(?:straße|strasse|str\.|weg|gasse|allee|platz|damm|ufer|gade|gatan"
    rf"|vägen|veien|gata|gaten|katu|straat|laan|gracht|plein|kade)"
    rf"[ ](?:\d{{1,4}}[A-Za-z]?\b(?:[/-]\d{{1,4}})?|[a-z]?\d)(?: bus \d+| lgh \d+)?|{_WORD} (?:utca|út|cesta"
    rf"|ulica|caddesi|sokak|blv\.|pr\.|gatvė) (?:no:? ?)?\d{{1,4}}\S{{0,4}}",
    re.IGNORECASE,
)
_BEFORE: Final = re.compile(
    r"(?:(?<=[\s:,(;])|^)(?:\d{1,4},? (?:bis |ter )?)?(?:ul\.|al\.|ulica|ул\.|улица|вул\.|бул\.|просп\.|rue"
    r"|av\.|bd|boulevard|impasse|chemin|quai|venelle|calle|carrera"
    r"|avenida|paseo|plaza|camino|bulevar|rua|travessa|ladeira|praça|via|viale|corso|piazza|contrada|vicolo"
    r"|str\.|strada|jl\.|jalan|carrer"
    r"|οδός|λεωφόρος|شارع|רחוב|mtaa wa|mtaa) [^\n,;:]{2,40}?(?:,? (?:no\.? |nr\.? |km "
    r"|# ?)?\d{1,5}[A-Za-z]?(?:[/-]\d{1,4})?\b|(?=, \d{4,5} )|(?=,? (?:app|apt)))",
    re.IGNORECASE,
)
_WITH_POST: Final = re.compile(
    rf"{_WORD}(?: {_WORD}){{0,3}},? (?:no:? ?)?\d{{1,5}}[A-Za-z]?(?:[/-]\d{{1,4}}[a-z]?)?"
    rf"(?: [A-Z](?: \d{{1,3}})?)?,? (?:[^\n,;]{{1,14}}, ){{0,2}}(?:{_POST}) {_WORD}(?: [A-Z]\w*)?"
)
_BUILT: Final = Scan(
    rf"(?i:[ .](?:{_KIND})\b|po box \d|(?:straße|strasse|str\.|weg|gasse|allee|platz|damm|ufer|gade|gatan|vägen"
    rf"|veien|gata|gaten|katu|straat|laan"
    r"|gracht|plein|kade|utca|út|cesta|ulica|caddesi|sokak|blv\.|pr\.|gatvė) (?:no:? ?)?[a-z]?\d"
    r"|\b(?:ul\.|al\.|rue|av\.|bd|boulevard|impasse|chemin|quai|venelle|calle|carrera|avenida|paseo|plaza"
    r"|camino|bulevar|rua|travessa|ladeira|praça"
    r"|via|viale|corso|piazza|contrada|vicolo|str\.|strada|jl\.|jalan|carrer|mtaa) "
    r"|(?:ул\.|улица|вул\.|бул\.|просп\.|οδός|λεωφόρος|شارع|רחוב) )|\d,? [\d\- A-Z]{4,8} \pL"
    r"|[市区區县縣都府県시도구군로길]"
)
"""Where an address may be, for the first look."""
_NUMBERED: Final = re.compile(r"[\d０-９]+ ?(?:[号號楼樓室座棟栋番호동]|\))?")
_STREET_FIRST: Final = listed(
    "ul. al. ulica rue av. bd chemin quai rua via viale corso str. strada jl. ул. улица вул. бул."
)
_UP_TO_DIGIT: Final = re.compile(r"\D*")
_EAST: Final = (
    re.compile(
        r"(?:〒\d{3}-\d{4} ?)?[\u4e00-\u9fff]{2,12}?[市区區县縣都府県]"
        r"[\u4e00-\u9fff0-9０-９\-－A-Za-z\u30a0-\u30ff]{2,60}"
        r"(?: [\u30a0-\u30ff\u4e00-\u9fff]{2,12}\d{1,4})?"
    ),
    re.compile(
        r"[\uac00-\ud7a3]{2,7}[시도] (?:[\uac00-\ud7a3]{1,6}[시군구] )?[\uac00-\ud7a30-9]{2,10}[로길]"
        r" ?\d{1,4}(?:-\d{1,4})?(?:, ?[\uac00-\ud7a3]{0,4}\d{0,4}[동호]?(?: \d{1,4}호)?)?(?: ?\(\d{5}\))?"
    ),
)
_NEXT: Final = re.compile(
    r"(?:,[ \n]?|[ \n])(?P<part>(?:apt|apto|ap|app|unit|suite|flat|piso|et|bl|bloc|кв|д|эт|ет|2n|1a|th|st|nr|no"
    r"|edif|bus|esq|lgh|дом|em)?\.? ?#?\d[\w°º.\-/]{0,8}(?: \d[A-Z\d]{1,2}\b)?(?: [^\W\d_][\w'’/-]*){0,3}"
    r"|[^\W\d_][\w'’./-]*(?: [^\W\d_][\w'’./-]*){0,3}(?: -)?(?: [A-Z]{2})?(?: \d[\d\-]{3,9}"
    r"| [A-Z]{1,3}\d[A-Z\d]{0,2} \d[A-Z]{2}| [A-Z]\d[A-Z] \d[A-Z]\d)?)"
)
_UNITS: Final = listed(
    "apt apto ap app unit suite flat piso et bl bloc кв д эт ет em edif bus esq lgh th st nr no дом г"
)
_NO_PART: Final = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{3}|\d{7}|\d[\d ]{9}|@")
_LABEL: Final = re.compile(
    r"(?:tel|phone|telefon|mobil|mob|cell|cel|email|mail|fax|iban|konto|compte|account|weight|recipient|ask"
    r"|attn|dob|ref|bic|call|ring|gsm|tlf|puh|hp|cep|cap|schlüssel|belopp)\b",
    re.IGNORECASE,
)


def addresses(text: str) -> Iterator[Span]:
    """What is built like a postal address: a street with a number, on to the town as far as it is written."""
    if any(map(str.isdigit, text)) and _BUILT.places(text, 0).next(0) >= 0:
        for pattern in (_WITH_POST, _ENGLISH, _BEHIND, _BEFORE):
            for found in pattern.finditer(text):
                if pattern is _ENGLISH and not _capital(found.group()):
                    continue
                if pattern is _WITH_POST and not _capital(_UP_TO_DIGIT.match(found.group()).group()):  # type: ignore[union-attr]
                    continue
                start = (
                    found.start() + _not_its_own(found.group()) if pattern in (_WITH_POST, _BEHIND) else found.start()
                )
                yield Span(start, extended(text, found.end()), "ADDRESS", 0.75)
        if not text.isascii():
            for pattern in _EAST:
                for found in pattern.finditer(text):
                    numbers = list(_NUMBERED.finditer(found.group()))
                    if numbers:
                        yield Span(found.start(), found.start() + numbers[-1].end(), "ADDRESS", 0.75)


def _not_its_own(said: str) -> int:
    """Characters of the words without a capital that stand before a street."""
    place = 0
    for word in said.split(" ")[:-1]:
        if not word[:1].islower() or word in _STREET_FIRST:
            break
        place += len(word) + 1
    return place


def _capital(said: str) -> bool:
    words = [word for word in said.split() if word[0].isalpha()]
    return bool(words) and all(word[0].isupper() for word in words if len(word) > 3)


def extended(text: str, end: int) -> int:
    """Where an address ends of which the street ends here: behind what is written of its parts, five at most."""
    for _ in range(5):
        following = _NEXT.match(text, end)
        if following is None:
            break
        part = following.group("part")
        words = part.split(" ")
        if (
            _LABEL.match(part) is not None
            or _NO_PART.search(part) is not None
            or text[following.end() : following.end() + 1] == "@"
        ):
            break
        if words[0][:1].islower() and words[0].rstrip(".") not in _UNITS and not words[0][-1:].isdigit():
            break
        kept = len(words)
        for number, word in enumerate(words):
            if number and word[:1].islower() and not any(map(str.isdigit, " ".join(words[number:]))):
                kept = number
                break
            if word.endswith(".") and len(word) > 5:
                kept = number + 1
                break
        size = len(" ".join(words[:kept]))
        end = following.start("part") + size
        if kept < len(words):
            break
    while text[end - 1] in " .,-/":
        end -= 1
    return end


def full_name(text: str, start: int, end: int) -> tuple[int, int]:
    """The name around words that were taken for one: words beside them with a capital are its, others are not.

    Empty where no word of it has one, in a script that has capitals.
    """
    while start < end:
        word = _TOKEN.match(text, start, end)
        if word is None or word.group()[0].isupper() or not word.group()[0].islower():
            break
        start = word.end()
        while start < end and text[start] in " \u00a0":
            start += 1
    if start >= end or not text[start].isalpha():
        return start, start
    if not text[start].isupper():
        return start, start if text[start].islower() else end
    first, last, count = _name(text, start, 4)
    if not count:
        return start, start
    return first, max(end, last)

"""Telephone numbers: which groups of digits are one, by the plans of the countries and by the words before them.

E.164 gives a country code one to three digits and a number fifteen at most; what a national number looks like is each
country's own. An international number is known by its code and length. A national one by its shape where no other use
of digits has it, and else only by a word that says what it is. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_PLANS: Final = """
1:10 7:10 20:8-10 27:9 30:10 31:9-11 32:8-9 33:9 34:9 36:8-9 39:6-12 40:9 41:9 43:4-13 44:9-10 45:8 46:7-10 47:8 48:9
49:6-12 51:8-9 52:10 53:8 54:10-11 55:10-11 56:9 57:10 58:10 60:8-10 61:9 62:8-12 63:8-10 64:8-10 65:8 66:8-9 81:9-10
82:8-10 84:9-10 86:10-11 90:10 91:10 92:9-10 93:9 94:9 95:7-10 98:10 211:9 212:9 213:8-9 216:8 218:9 220:7 221:9 222:8
223:8 224:9 225:10 226:8 227:8 228:8 229:8-10 230:7-8 231:7-9 232:8 233:9 234:8-10 235:8 236:8 237:9 238:7 239:7 240:9
241:7-9 242:9 243:9 244:9 245:7-9 248:7 249:9 250:9 251:9 252:7-9 253:8 254:9 255:9 256:9 257:8 258:8-9 260:9 261:9
262:9 263:8-10 264:8-9 265:7-9 266:8 267:7-8 268:8 269:7 290:4-5 291:7 297:7 298:6 299:6 350:8 351:9 352:6-11 353:7-9
354:7-9 355:8-9 356:8 357:8 358:5-12 359:7-9 370:8 371:8 372:7-8 373:8 374:8 375:9 376:6-9 377:8-9 378:6-10 380:9
381:8-9 382:8 383:8 385:8-9 386:8 387:8-9 389:8 420:9 421:9 423:7-9 500:5 501:7 502:8 503:8 504:8 505:8 506:8 507:7-8
508:6 509:8 590:9 591:8 592:7 593:8-9 594:9 595:9 596:9 597:6-7 598:8 599:7-8 670:7-8 672:6 673:7 674:7 675:7-8 676:5-7
677:5-7 678:5-7 679:7 680:7 682:5 685:5-7 686:5-8 687:6 689:6-8 691:7 692:7 850:8-10 852:8 853:8 855:8-9 856:8-10
870:9 880:8-10 886:8-9 960:7 961:7-8 962:8-9 963:8-9 964:8-10 965:8 966:8-9 967:7-9 968:8 970:8-9 971:8-9 972:8-9 973:8
974:8 975:7-8 976:8 977:8-10 992:9 993:8 994:9 995:9 996:9 998:9
"""
COUNTRIES: Final = {
    code: (int(low), int(high or low))
    for code, _, span in (plan.partition(":") for plan in _PLANS.split())
    for low, _, high in (span.partition("-"),)
}
"""Country code -> the fewest and most digits of a national number, without its trunk prefix."""

_CALL: Final = """
tel tel# tell# telefon telefono teléfono telefone telefonnummer telefoon téléphone telephone telefonszám telefonom
telefonu telefoni telefonas telemóvel telefonnr telefax tlf tlf# tfn tél fon fone fono phone phones phoned phon fax
mobile
mobil mobilnummer mobiltelefon mobiel mob móvil mòbil mòbils handy handynummer handynr cell cellphone cellulare cell
celular cel celu gsm natel call calls called calling callback ring rings rang dial text txt sms whatsapp wa zap viber
signal telegram reach reachable erreichbar rückruf ruf anruf anrufen rufen durchwahl festnetz privat dienstlich
portable fixe appeler appelez appelle rappeler llámame llama llame llamar ligue ligar chiamare chiama chiamo chiamato
bel bellen bereikbaar ringa ring ringe puhelin puh puhelimitse soita volejte volat mobilní dzwoń zadzwoń komórka kom
hívjon szám sunați suna tălrunis tālrunis telefons skambinkite cep gsm arayın ara gọi điện thoại hp hubungi nomor hape
simu nipigie nambari telepono telpon tlp contact kontakt desk hotline landline whatsapp line pager numero número
m t p h w ph
тел телефон телефона телефону позвоните позвонить звоните моб мобильный мобільний сот сотовый телефоны дзвоніть
мобилен τηλ τηλέφωνο κινητό κιν
هاتف جوال موبايل رقمي الهاتف الجوال تلفن موبایل همراه הטלפון טלפון נייד פלאפון
"""
_OTHER: Final = """
order orders part parts art artikel artikelnummer artikelnr article articolo artículo артикул item items lot lots lote
lotto batch serial serie sn seri seriennummer isbn issn ean gtin upc sku barcode ref reference référence referencia ref
referenz invoice inv rechnung rechnungsnummer faktura facture factura fattura ticket case id ids uid uuid code codes
codigo
código κωδικός tracking track shipment parcel voucher confirmation booking pnr account acct konto kontonummer
kundennummer kundennr bestellung bestellnummer auftrag auftragsnummer zugnummer version ver build release firmware port
patent model modell modelo device imei imsi mac oid vin plate section sections chapter page pages line lines row rows
paragraph form style highway lens seat block case cas einecs rs score total price preis prix precio amount summe qty
quantity zip plz postcode date datum timestamp hash commit rev revision span trace pieza parça cikkszám cikk tratta
protocollo protocolo expediente aktenzeichen az meter reading readings zähler counter lotto loyalty product produit
produkt producto prodotto stock seed offset frequency bar between
заказ заказа инн снилс счёт счет номер_заказа накладная פריט מק رقم_المنتج
"""
_SPOKEN: Final = (
    "手机 手機 电话 電話 联系 致电 携帯 折り返し 代表 番号は 연락처 전화 휴대 핸드폰 내선 โทร เบอร์ फ़ोन फोन मोबाइल नंबर"
    " ফোন মোবাইল எண் தொலைபேசி شماره رقمي הטלפון điện số"
)
_SPOKEN_OTHER: Final = (
    '编号 編號 订单 訂單 单号 品番 注文 型番 품번 주문 รหัส คำสั่งซื้อ رقم\u00a0المنتج رقم\u00a0الطلب סעיף מק"ט'
    " mã\u00a0hàng"
    " nomor\u00a0seri 原价 卡号"
)
_SPOKEN_IN: Final = tuple((word, 1) for word in _SPOKEN.split(" ")) + tuple(
    (word.replace("\u00a0", " "), -1) for word in _SPOKEN_OTHER.split(" ")
)
"""Words of scripts that leave no spaces, or whose vowels are marks: found anywhere before a number."""
_CUES: Final = dict.fromkeys(_CALL.replace("#", "").split(), 1) | dict.fromkeys(_OTHER.split(), -1)
_WORD: Final = re.compile(r"[^\W\d_]+")
_LETTER: Final = re.compile(r"(?<![^\W_])[mtphw] ?[:.] ?[+(]{0,2}\Z")

_DATE: Final = re.compile(r"(?:[0-3]?\d([-./ ])[01]?\d\1(?:19|20)\d\d|(?:19|20)\d\d([-./ ])[01]?\d\2[0-3]?\d)(?!\d)")


def cue(before: str, words: int = 4) -> int:
    """What the last words before a number say: 1 a telephone, -1 something else, 0 nothing. The nearest one counts.

    A single letter says it only where it stands right before the number, with a colon or a point: `T: 020 …`.
    """
    before = before.lower()
    if not before.isascii():
        place, told = max((before.rfind(word), sign) for word, sign in _SPOKEN_IN)
        if place >= 0:
            return told
    for word in reversed(_WORD.findall(before)[-words:]):
        sign = _CUES.get(word)
        if sign is not None and (len(word) > 1 or _LETTER.search(before) is not None):
            return sign
        if word.endswith(("nummer", "nr", "nummern")):
            return 1 if word.startswith(("tel", "handy", "mobil", "fax", "ruf")) else -1
    return 0


def country(digits: str) -> int:
    """How many digits of an international number, without + or 00, are its country code; 0 where it is none."""
    for length in (1, 2, 3):
        plan = COUNTRIES.get(digits[:length])
        if plan is not None:
            return length if plan[0] <= len(digits) - length <= plan[1] else 0
    return 0


def international(digits: str) -> bool:
    """Whether digits that came behind a + or 00 are a number of some country; a trunk zero may be among them."""
    if country(digits):
        return not digits.endswith("0000000")
    for length in (2, 3):
        if digits[length : length + 1] == "0" and digits[:length] in COUNTRIES:
            return country(digits[:length] + digits[length + 1 :]) == length
    return False


def national(digits: str, sizes: Sequence[int], between: str, bracket: bool, told: int) -> float:
    """How sure it is that groups of digits are a national number; 0.0 where they are none.

    `sizes`: digits in each group. `between`: what separates them, all together. `bracket`: the first group, or the
    second behind a single digit, stands in brackets. `told`: see `cue`.
    """
    if told < 0:
        return 0.0
    total, first = len(digits), digits[0]
    shape = tuple(sizes)
    kinds = set(between) - set(" ()\u00a0\u202f\u2009")
    if len(kinds) > 1 or min(shape[1:], default=9) < 2 or max(shape) > 13:
        return 0.0
    if shape in ((3, 3, 4), (1, 3, 3, 4)) and (len(shape) == 3 or first == "1"):
        area, exchange = digits[-10], digits[-7]
        if area in "23456789" and (bracket or told > 0 or exchange in "23456789"):
            return 0.9 if bracket or told > 0 or kinds else 0.6
    if _repeats(digits) or shape in ((5, 3), (5, 4)):  # the latter are postcodes
        return 0.0
    if first == "0" and digits[1] != "0" and total in (9, 10, 11, 12) and _trunk(digits, shape, kinds, bracket, told):
        return 0.9 if told > 0 else 0.7
    if bracket and shape in ((2, 5, 4), (2, 4, 4), (1, 3, 3, 2, 2), (1, 3, 3, 4), (1, 4, 2, 2, 2), (3, 7), (1, 3, 7)):
        return 0.8
    if first in "78" and shape in ((1, 3, 3, 2, 2), (1, 3, 3, 4)):
        return 0.7
    if shape in ((3, 4, 4), (11,)) and first == "1" and digits[1] in "3456789" and (told > 0 or len(shape) > 1):
        return 0.8
    if (shape == (3, 2, 2, 2) and first in "6789") or (shape == (3, 2, 3) and first in "49"):
        return 0.7 if told > 0 else 0.5
    if told > 0 and 7 <= total <= 12 and "." not in kinds and len(shape) <= 6:
        return 0.7
    return 0.0


def _trunk(digits: str, shape: tuple[int, ...], kinds: set[str], bracket: bool, told: int) -> bool:
    """Whether a number that begins with a trunk zero has the shape of one."""
    total = len(digits)
    if len(shape) == 1:
        return told > 0 or (total == 11 and digits[1] == "7")
    if not 2 <= shape[0] <= 5 or len(shape) > 5 or max(shape[1:]) > 8:
        return False
    if shape[-1] == 2 and shape[-2] != 2:
        return False
    if "." in kinds and shape not in ((2, 2, 2, 2, 2), (3, 3, 4), (4, 3, 3)):
        return False
    return total < 12 or told > 0 or bracket or "-" in kinds or digits[1:3] in ("15", "16", "17")


def _repeats(digits: str) -> bool:
    """Whether a number is one digit over and over."""
    return len(set(digits[1:])) < 2


def is_date(text: str, at: int) -> bool:
    """Whether a date begins here."""
    return _DATE.match(text, at) is not None

"""What the rules look for, in many languages: concepts, and the beginnings of the words that carry them.

One line is a language and its beginnings, each a re2 expression over text that was lower-cased and freed of accents on
Latin and Greek letters (see `rules.plain`; the lines are brought to the same form). A beginning matches where a word
begins, and in scripts that do not part words, anywhere. One word alone never means anything: a rule is made of several
concepts that stand in one sentence.

All are written for this project.
"""

from __future__ import annotations

from typing import Final

from sekimori.guard.phrases_common import COMMON

CONCEPTS: Final[dict[str, str]] = {
    "secret": r"""
en: system prompt|system message|system instruction|hidden (?:prompt|instruction|rule|text)|secret (?:instruction|rule|prompt|word|key)|internal (?:rule|instruction|prompt|polic|note|guideline)|your (?:\w+ )?(?:prompt|instructions|rules|guidelines|briefing|configuration|config)\b|developer message|initial prompt|preamble|pre-?prompt|custom instructions|text (?:above|before|that (?:sits|stands|comes) (?:above|before))|everything (?:above|before|you were told)|context window|verbatim prompt
de: system-?prompt|systemnachricht|systemanweisung|deine(?:n|r)? (?:\w+ )?(?:anweisung|instruktion|regel|vorgabe|prompt)|interne[nr]? (?:regel|anweisung|vorgabe)|ihre[nr]? (?:anweisung|vorgabe)
fr: prompt systeme|message systeme|tes (?:\w+ )?(?:instruction|consigne|regle|directive)|ton prompt|instructions? (?:cachee|interne|secrete|system)|vos (?:instruction|consigne|directive)
es: prompt (?:de(?:l)? )?sistema|mensaje de sistema|tus (?:\w+ )?(?:instrucc|regla|directri|indicac)|tu prompt|instrucciones (?:internas|ocultas|secretas|de sistema|del sistema)|sus instrucc
pt: prompt (?:de|do) sistema|mensagem (?:de|do) sistema|(?:tuas|suas) (?:\w+ )?(?:instruc|regra|diretri)|(?:teu|seu) prompt|instrucoes (?:internas|ocultas|secretas|do sistema)
it: prompt di sistema|messaggio di sistema|tue (?:\w+ )?(?:istruzion|regol|direttiv)|tuo prompt|istruzioni (?:interne|nascoste|segrete|di sistema)
nl: systeem-?prompt|systeembericht|je (?:\w+ )?(?:instructies|regels|prompt|richtlijnen)|jouw (?:instructies|regels|prompt)|interne (?:regels|instructies)|verborgen instructies
pl: prompt systemow|wiadomosc systemow|swo(?:je|ich|ja) (?:\w+ )?(?:instrukc|zasad|wytyczn|polec)|swoj prompt|twoj(?:e|ego)? (?:instrukc|prompt)|wewnetrzn(?:e|ych) (?:zasad|instruk)|ukryt(?:e|ych) instr
cs: systemov(?:y|eho) prompt|systemov(?:a|ou) zprav|sv(?:e|ych|uj) (?:pokyn|instruk|pravid|prompt)|tv(?:e|oje|uj) (?:pokyn|instruk|prompt)|interni (?:pokyn|pravid)
ru: системн(?:ый|ого|ое|ые) (?:промпт|сообщени|инструкц|запрос)|сво(?:и|й|их|я|ю) (?:инструкц|правил|промпт|указан|установ)|твои (?:инструкц|правил|указан)|внутренн(?:ие|их) (?:инструкц|правил)|скрыт(?:ые|ых) (?:инструкц|указан)
uk: системн(?:ий|ого|е|і) (?:промпт|повідомл|інструкц)|сво(?:ї|їх|й) (?:інструкц|правил|промпт|вказів)|твої (?:інструкц|правил)|внутрішн(?:і|іх) (?:інструкц|правил)
tr: sistem (?:prompt|mesaj|istem|talimat|komut)|talimatlarini|kurallarini|ic talimat|gizli talimat|prompt(?:un|unu)
sv: system-?prompt|systemmeddeland|dina (?:instruktion|regler|riktlinj)|din prompt|interna (?:regler|instruk)
da: system-?prompt|dine (?:instruks|regler)|interne regler
nb: system-?prompt|instruksene dine|dine instruks|interne regler
fi: jarjestelmakehot|jarjestelmaviest|ohjeesi|saantosi|sisaiset ohje|piilo-ohje|ohjeistuksesi
hu: rendszer-?prompt|rendszeruzenet|utasitasaid|szabalyaid|belso utasitas|belso szabaly
ro: prompt(?:ul)? de sistem|mesaj(?:ul)? de sistem|instructiunile tale|regulile tale|promptul tau|instructiuni(?:le)? (?:interne|ascunse)|scrie-ti instruct
el: system prompt|προτροπη συστηματος|μηνυμα του συστηματος|τις οδηγιες σου|τους κανονες σου
ar: تعليمات النظام|تعليماتك|رسالة النظام|قواعدك|موجه النظام|تعليماتك الداخلية|برومبت
he: פרומפט|הוראות המערכת|ההוראות שלך|הכללים שלך|הודעת המערכת|הנחיות שקיבלת|ההנחיות שלך
fa: پرامپت|دستورالعملت|دستورهای سیستم|قوانینت|پیام سیستم
hi: सिस्टम प्रॉम्प्ट|अपने निर्देश|अपने नियम|सिस्टम संदेश|तुम्हारे निर्देश|गुप्त निर्देश|apna system prompt|system prompt
bn: সিস্টেম প্রম্পট|তোমার নির্দেশ|তোমার নিয়ম|নির্দেশগুলো
id: prompt sistem|instruksimu|aturanmu|pesan sistem|instruksi (?:internal|rahasia|tersembunyi|awal)|promptmu
vi: prompt he thong|chi dan cua ban|quy tac cua ban|huong dan (?:noi bo|he thong)|loi nhac he thong|tin nhan he thong
th: พรอมต์ระบบ|คำสั่งของเธอ|คำสั่งระบบ|คำสั่งของคุณ|กฎของคุณ|ซิสเต็มพรอมต์|system prompt
zh: 系统提示|系統提示|提示词|提示詞|你的指令|你的指示|你的规则|内部规则|内部指令|系统消息|初始指令|隐藏指令|保密文字|设定文本
ja: システムプロンプト|システムメッセージ|あなたの指示|内部(?:の)?(?:指示|ルール|規則)|与えられた指示|初期設定|隠された指示|指示文
ko: 시스템 ?프롬프트|시스템 메시지|네 지시|너의 지시|내부 (?:지침|규칙|지시)|받은 지시|지시 ?사항|숨겨진 지시
ca: prompt del sistema|les teves instruccions|missatge del sistema
""",
    "new": r"""
en: new (?:instructions?|rules?|task|orders?|directives?|system prompt|objective|goal|priority|policy|guidelines)|updated (?:instructions?|rules|task|polic|guidelines|system)|your (?:real|true|actual|new|only|first|next) (?:task|job|goal|instruction|purpose|role|objective)|instead,? (?:you|do|write|say|reply|respond|answer|output|tell|print|send)|(?:begin|start|end) (?:of )?(?:system|instructions?|prompt|admin)|(?:important|urgent|attention|note|notice|message|hint|memo|reminder|ps) (?:for|to) (?:the |any |all |every |our |whichever )?\w*[ -]?(?:ai|llm|assist|model|agent|bot|summar|translat|screen|classif|reader|system|copilot|crawler|tool)|(?:reply|respond|answer) (?:only )?with|the following (?:instruction|command|task|order)
de: neue (?:anweisung|instruktion|regel|vorgabe|aufgabe)|(?:hinweis|nachricht|notiz|anmerkung|achtung) (?:an|fur) (?:die|den|das|alle)|stattdessen|deine (?:neue|eigentliche|wahre) aufgabe|antworte (?:nur )?mit
fr: nouvelles? (?:instruction|consigne|regle|directive|tache)|(?:note|message|avis|remarque|consigne) (?:pour|a|au|aux|destine)|a la place|au lieu de|ta (?:vraie|nouvelle) (?:tache|mission)|reponds (?:seulement )?par
es: nuevas? (?:instruccion|regla|orden|tarea|directri|indicac)|(?:nota|mensaje|aviso|instruccion) (?:para|al|a la|dirigid)|en (?:su )?lugar|tu (?:verdadera|nueva) (?:tarea|mision)|responde (?:solo )?con
pt: nov[ao]s? (?:instruc|regra|ordem|tarefa|diretri)|(?:nota|mensagem|aviso|recado) (?:para|ao|a)|em vez disso|tua (?:verdadeira|nova) tarefa|responda (?:apenas )?com
it: nuov[aeio] (?:istruzion|regol|ordin|compit|direttiv)|(?:nota|messaggio|avviso) (?:per|all|al|a chi)|invece|il tuo (?:vero|nuovo) compito|rispondi (?:solo )?con
nl: nieuwe (?:instructie|regel|opdracht|taak)|(?:bericht|notitie|opmerking|let op) (?:aan|voor)|in plaats daarvan|antwoord (?:alleen )?met
pl: now[ae] (?:instrukc|polecen|zasad|zadani|wytyczn)|(?:uwaga|notatka|wiadomosc|informacja) (?:dla|do)|zamiast tego|odpowiedz (?:tylko )?
cs: nov[eyaá] (?:pokyn|instrukc|pravid|ukol)|(?:poznamka|zprava|upozorneni) (?:pro|k)|misto toho|odpovez (?:jen )?
ru: нов(?:ые|ая|ое|ый) (?:указани|инструкц|правил|задач|задани)|(?:примечание|заметка|сообщение|указание|внимание) (?:для|к)|вместо этого|твоя (?:настоящая|новая) задача|ответь (?:только )?
uk: нов(?:і|а|е) (?:вказів|інструкц|правил|завдан)|(?:примітка|нотатка|повідомлення|увага) (?:для|до)|натомість|замість цього
tr: yeni (?:talimat|kural|gorev|emir|yonerge)|(?:icin|asistana|modele|bota) not|bunun yerine|asil gorev
sv: nya? (?:instruktion|regler|uppgift|order)|(?:meddelande|notis|anvisning) till|i stallet|istallet
da: nye? (?:instruks|regler|opgave)|(?:besked|note|bemaerkning) til|i stedet
nb: nye? (?:instruks|regler|oppgave)|(?:beskjed|melding|merknad) til|i stedet
fi: uusi(?:a)? (?:ohje|saan|tehtav)|uudet ohjeet|sen sijaan
hu: uj (?:utasitas|szabaly|feladat)|(?:megjegyzes|uzenet|figyelem)|helyette
ro: (?:instructiuni|reguli|sarcini) noi|(?:nota|mesaj|atentie) (?:pentru|catre)|in schimb|in loc de
el: νε(?:ες|οι|α) (?:οδηγι|εντολ|κανον)|(?:σημειωση|μηνυμα|προσοχη) (?:προς|για)|αντι γι
ar: (?:تعليمات|أوامر|قواعد) جديدة|(?:ملاحظة|رسالة|تنبيه) (?:إلى|ل)|بدلا من|بدلًا من|مهمتك
he: הוראות חדשות|(?:הערה|הודעה|לתשומת לב) ל|במקום זאת|המשימה (?:האמיתית|החדשה)
fa: دستور(?:های|ات)? جدید|(?:یادداشت|پیام|توجه) (?:برای|به)|به جای|به‌جای|وظیفه
hi: नए निर्देश|नया (?:आदेश|नियम|काम)|के लिए (?:नोट|संदेश|सूचना)|इसके बजाय|naya order
bn: নতুন (?:নির্দেশ|নিয়ম|কাজ)|জন্য (?:নোট|বার্তা)|তার বদলে|পরিবর্তে
id: (?:instruksi|aturan|perintah|tugas) baru|(?:catatan|pesan|perhatian) (?:untuk|bagi|kepada)|sebagai gantinya|alih-alih
vi: (?:chi thi|chi dan|lenh|quy tac|nhiem vu) moi|(?:ghi chu|luu y|thong bao|nhan) (?:cho|toi|gui)|thay vao do|thay vi
th: คำสั่งใหม่|กฎใหม่|หมายเหตุถึง|ข้อความถึง|ถึง(?:เอไอ|ผู้ช่วย|บอท|โมเดล|ระบบ)|แทนที่จะ|แทน
zh: 新指令|新的指令|新规则|新任务|致(?:ai|助手|模型|智能)|给(?:ai|助手|模型|机器人)的|注意：|改为|而是|真正的任务|请ai|请助手
ja: 新しい(?:指示|命令|ルール|タスク)|(?:ai|アシスタント|モデル|要約)(?:へ|宛|の方|に対する)|代わりに|本当の(?:任務|タスク)
ko: 새(?:로운)? (?:지시|명령|규칙|임무)|(?:ai|어시스턴트|모델|봇|비서)(?:에게|님|는|은)|대신|진짜 임무
""",
    "free": r"""
en: no (?:restrictions?|limits?|rules|filters?|limitations|boundaries|guardrails|constraints|ethics|censorship|safety|refus\w+)|unrestricted|unfiltered|uncensored|jailb\w+|without (?:any )?(?:restrictions?|limits?|filters?|rules|censorship|limitations|warnings?|disclaimers?)|anything goes|free (?:of|from) (?:all |any )?(?:restrict|rules|limits|filters|polic)|unlocked|unshackled|unbound|unchained|no longer bound|not bound by|have no (?:rules|limits|filter|restrict)|(?:filters?|safety|restrictions?|guardrails?|moderation) (?:are |is )?(?:off|disabled|lifted|removed)|turn off (?:your|the|all) (?:filter|safety|guard|restrict|moderation)|disable (?:your|the|all) (?:filter|safety|guard|restrict|moderation)|never (?:says? no|refuse\w*)|(?:can|may|must|do)(?:'?t| ?not) (?:say no|refuse|decline)|not allowed to (?:refuse|say no|decline)|evil|amoral
de: ohne (?:einschrankung|filter|regeln|grenzen|zensur|beschrankung|warnung)|keine (?:einschrankung|filter|regeln|grenzen|zensur|beschrankung)|uneingeschrankt|unzensiert|ungefiltert|nicht ablehnen|niemals ablehnen|nicht verweiger|darfst nicht|darfst auf keinen fall
fr: sans (?:limite|filtre|restriction|regle|censure|avertissement)|aucune (?:limite|regle|restriction|censure)|plus (?:aucune|de) (?:regle|limite|restriction|filtre)|pas de (?:filtre|limite|regle)|pas le droit de refuser|non censure|ne refuse (?:jamais|rien)|interdit de refuser
es: sin (?:limites?|filtros?|restricciones|reglas|censura|avisos)|no tienes? (?:limites|filtros|restricciones|reglas)|ya no tienes restric|prohibido negar|no puedes (?:negar|rechaz)|sin censura
pt: sem (?:limites?|filtros?|restric|regras|censura|avisos)|nao tens? (?:limites|filtros|restric|regras)|nao (?:tem|ha) (?:limites|filtros|restric|regras)|sujeito a restric|proibid[oa] (?:de )?recusar|nao pode(?:s)? recusar
it: senza (?:limiti|filtri|restrizioni|regole|censura|avvert)|non (?:hai|avere) (?:piu )?(?:limiti|filtri|restrizioni|regole)|non puoi rifiutar|vietato rifiutar
nl: zonder (?:filters?|beperking|regels|grenzen|censuur|waarschuw)|geen (?:beperking|filters?|regels|grenzen)|mag niet weigeren|ongefilterd|ongecensureerd
pl: bez (?:filtr|ograniczen|zasad|cenzury|limit)|nie masz (?:zadnych )?(?:ograniczen|zasad|filtr)|nie wolno ci odm|nie mozesz odm|zadnych ograniczen
cs: bez (?:filtr|omezen|pravid|cenzur|limit)|nemas (?:zadna )?(?:omezen|pravid)|nesmis odmit|zadna omezen
ru: без (?:ограничен|фильтр|правил|цензур|запрет|предупрежд)|нет (?:ограничен|правил|фильтр|запрет)|никаких (?:ограничен|правил|запрет)|запрещено отказ|не можешь отказ|нельзя отказ|не имеешь права отказ
uk: без (?:обмежен|фільтр|правил|цензур|заборон)|немає (?:обмежен|правил|фільтр)|жодних (?:обмежен|правил)|не можна відмов|не можеш відмов|не маєш права відмов
tr: filtresiz|kisitlama(?:siz| ?yok|lar yok)|kisitlaman yok|sinirsiz|sansursuz|kuralsiz|kurallarin yok|kisitlaman kalmadi|reddetme(?:n yasak|k yok)|reddedemez|sinir yok
sv: utan (?:filter|begransning|regler|granser|censur)|inga (?:begransning|regler|filter|granser)|far inte vagra|ofiltrerad|ocensurerad
da: uden (?:filter|begraensning|regler|censur)|ingen (?:begraensning|regler)|ma ikke (?:nægte|naegte|afvise)
nb: uten (?:filter|begrensning|regler|sensur)|ingen (?:begrensning|regler)|ikke (?:nekte|avsla)
fi: ilman (?:rajoituksia|suodattimia|saantoja|sensuuria)|rajoittamat|ei (?:ole )?(?:mitaan )?(?:rajoituksia|saantoja)|et saa kieltayty|sensuroimat
hu: (?:szures|korlat|szabaly|cenzura|szuro)(?:ok)? nelkul|korlatlan|nincs(?:enek)? (?:korlat|szabaly)|nem tagadhat|nem utasithat
ro: fara (?:filtre|restrictii|limite|reguli|cenzura)|nu (?:mai )?ai (?:restrictii|reguli|limite)|n-ai (?:reguli|limite|voie sa refuzi)|nu poti refuza|necenzurat
el: χωρις (?:φιλτρα|περιορισμ|κανον|λογοκρισια|ορια)|δεν εχεις (?:πια )?(?:περιορισμ|κανον|ορια)|απαγορευεται να αρνηθ|δεν μπορεις να αρνηθ
ar: بلا (?:قيود|فلاتر|حدود|قواعد|رقابة)|بدون (?:قيود|فلاتر|حدود|قواعد|رقابة)|لا (?:قيود|حدود|قوانين) |ممنوع عليك الرفض|لا يحق لك (?:الرفض|رفض)|لا يمكنك (?:الرفض|رفض)|mn gher filter|mamnoo3 terfod|أي قيود
he: בלי (?:פילטר|מגבלות|כללים|צנזורה|הגבלות|חוקים)|ללא (?:מגבלות|כללים|צנזורה|סינון)|אין לך (?:מגבלות|כללים|חוקים)|אסור לך לסרב|לא יכול לסרב
fa: بدون (?:فیلتر|محدودیت|سانسور|قانون)|هیچ (?:محدودیت|قانون)|حق نداری رد|نمی.?توانی رد|قانونی نداری|محدودیتی نداری
hi: बिना (?:फ़िल्टर|फिल्टर|रोक|नियम|सेंसर|पाबंदी)|कोई (?:पाबंदी|नियम|सीमा|रोक) नहीं|मना (?:करना मना|नहीं कर)|bina filter|koi (?:rule|limit) nahi|mana nahi kar
bn: ফিল্টার ছাড়া|কোনো (?:বিধিনিষেধ|নিয়ম|সীমা) নেই|বিধিনিষেধ নেই|না করা চলবে না|নিয়ম ছাড়া
id: tanpa (?:filter|batas|aturan|sensor|larangan)|tidak (?:punya|ada) (?:batas|aturan|larangan|filter)|dilarang menolak|tidak boleh menolak|bebas (?:dari )?aturan
vi: khong (?:con )?(?:gioi han|kiem duyet|bo loc|rang buoc|luat le|cam)|khong duoc tu choi|khong co (?:luat|quy tac|gioi han)|phi kiem duyet
th: ไม่มี(?:ข้อจำกัด|ตัวกรอง|กฎ|ขีดจำกัด|เซ็นเซอร์)|ห้ามปฏิเสธ|ปฏิเสธไม่ได้|ไร้ข้อจำกัด
zh: 不受(?:任何)?(?:限制|约束|束缚)|没有(?:任何)?(?:限制|审查|规则|过滤|道德|约束)|沒有(?:任何)?限制|无限制|无审查|不能拒绝|不得拒绝|不准拒|不许拒绝|禁止拒绝|解除(?:一切|所有)?限制|越狱
ja: 制限(?:は|が)?(?:あり(?:ません)?|ない|なし|解除)|フィルター(?:の|が)?(?:ない|なし)|検閲(?:なし|されない)|断ってはいけ|拒否(?:しては|でき|する権利)|ルール(?:が|は)(?:ない|ありません)|無制限|脱獄
ko: (?:필터|제한|규칙|검열)(?:이|가)? ?없|아무 제한|무제한|거절(?:하면 안|할 수 없)|거부(?:하면 안|할 수 없)|탈옥
sw: bila (?:vikwazo|mipaka|kichujio)|huna (?:sheria|mipaka)
tl: walang (?:limit|filter|bawal|patakaran|hangganan)|bawal tumanggi
ca: sense (?:limits|filtres|restriccions|regles|censura)|no pots negar
""",
    "hide": r"""
en: do(?:n'?t| not) (?:tell|mention|inform|alert|notify|warn|disclose|say (?:anything|so|that)|reveal|report|log|show|discuss|comment)|never (?:tell|mention|inform|disclose|reveal)|without (?:telling|mentioning|informing|notifying|alerting|saying)|keep (?:this|it|quiet)|secretly|silently|quietly|conceal|hide (?:this|it|the|from)|no mention|say nothing|not to mention|needn'?t know|need not know|must not (?:know|see|mention)|unnoticed|in the background|leave no trace|not (?:be )?visible|users know (?:it )?already
de: nicht erwahn|nichts davon|verschweig|heimlich|stillschweigend|unbemerkt|ohne hinweis|nicht mitteil|sag nichts|nicht sagen|sag dem nutzer nichts|niemandem sagen|nicht wissen|nicht erfahren
fr: n'en parle|ne (?:le |lui |leur |rien )?(?:dis|dites|mentionne|signale|previens|parle|informe|revele)|sans (?:le dire|prevenir|mentionner|en parler|avertir|informer)|en silence|discretement|secretement|a l'insu|ne pas (?:mentionner|dire|signaler|informer)
es: no (?:le |se lo |les )?(?:digas|diga|menciones|mencione|avises|informes|comentes|cuentes|notifiques|reveles)|sin (?:decir|avisar|mencionar|informar|notificar)|en secreto|en silencio|discretamente|ocult(?:a|e|ar)|a escondidas
pt: nao (?:lhe )?(?:conte|contes|digas?|menciones?|avises?|informes?|fale|comentes?|reveles?)|sem (?:dizer|avisar|mencionar|informar|contar|notificar)|em segredo|em silencio|discretamente|as escondidas|ocult(?:a|e|ar)
it: non (?:dire|menzionare|avvisare|informare|dirlo|parlarne|segnalare|rivelare|accennare)|senza (?:dire|dirlo|avvisare|menzionare|informare)|di nascosto|in silenzio|segretamente|tacitamente
nl: stilletjes|heimelijk|in het geheim|niet vermelden|verzwijg|niet vertellen|zeg niets|niet aan de gebruiker|noem dit|vertel dit niet|niet melden|zonder te zeggen|zonder te melden|zonder te vertellen
pl: nie (?:mow|wspominaj|informuj|powiadamiaj|zdradzaj|ujawniaj|pisz o)|bez (?:informowania|wspominania|powiadamiania)|po cichu|w tajemnicy|potajemnie|ukryj
cs: nerikej|nezminuj|neinformuj|neupozornuj|nezminova|bez (?:vedomi|upozorneni|zminky)|potichu|tajne|zaml[cč]
ru: не (?:говори|упоминай|сообщай|рассказывай|информируй|предупреждай|уведомляй|раскрывай|показывай|пиши об)|ни слова|тайно|втайне|незаметно|молча|скрой|без (?:ведома|уведомлен|упоминан)|не упоминая|не сообщая|не говоря
uk: не (?:кажи|згадуй|повідомляй|розповідай|попереджай|інформуй|розкривай|показуй)|ні слова|таємно|непомітно|мовчки|приховай|без відома|не згадуючи|не повідомляючи
bg: не (?:казвай|споменавай|съобщавай)|тайно|скришом
sr: ne (?:govori|pominji|reci|spominji)|krisom|tajno|не (?:говори|помињи|реци)
hr: ne (?:govori|spominji|reci)|krisom|potajno|tajno
tr: soyleme|bahsetme|belirtme|haber verme|bildirme|gizlice|sessizce|cakti?rmadan|gizli tut|haberi olmadan|fark ettirmeden
sv: sag inget|namn inte|beratta inte|informera inte|utan att (?:namna|beratta|saga|informera)|i hemlighet|tyst|diskret
da: sig ikke|naevn ikke|fortael ikke|uden at (?:naevne|fortaelle|sige)|i hemmelighed
nb: ikke (?:nevn|fortell|si)|si ikke|nevn ikke|fortell ikke|uten a (?:nevne|fortelle|si)|i hemmelighet
fi: ala (?:kerro|mainitse|ilmoita|puhu|sano)|mainitsematta|kertomatta|ilmoittamatta|salaa|hiljaa
et: ara (?:utle|maini|raagi)|salaja
lt: nesakyk|neminek|slapta|nepranesk
lv: nesaki|nepiemini|slepeni|nezino
hu: ne (?:mondd|emlitsd|szolj|tajekoztasd|jelezd|arulj)|emlites nelkul|titokban|csendben|szo nelkul|eszrevetlen
ro: nu[- ](?:i |ii |le )?(?:spune|mentiona|pomeni|informa|anunta|zice|aminti)|fara sa (?:spui|mentionezi|anunti)|in secret|pe ascuns|discret
el: μην (?:το |τον |του |τους )?(?:πεις|αναφερ|ενημερωσ|λες|αποκαλυψ)|χωρις να (?:το )?(?:πεις|αναφερ|ενημερωσ)|κρυφα|σιωπηλα|μυστικα
ar: لا تخبر|لا تذكر|لا تقل|لا تشر|لا تبلغ|لا تُخبر|لا تكشف|دون (?:إخبار|علم|ذكر|الإشارة|أن تخبر)|سرا|سرًا|خفية|بصمت|mat2olsh
he: אל (?:תספר|תזכיר|תגיד|תציין|תדווח|תיידע|תגלה)|בלי (?:לספר|לציין|להזכיר|לומר|ליידע)|בסתר|בשקט|בחשאי|מבלי
fa: چیزی نگو|نگو|اشاره نکن|اطلاع نده|خبر نده|بدون (?:اطلاع|اشاره|گفتن)|مخفیانه|بی.?سروصدا|ذکر نکن|پنهان
hi: मत बता|ज़िक्र मत|जिक्र मत|न बता|ना बता|बिना बताए|चुपचाप|चुपके|गुप्त रूप|mat bata|bina bataye
bn: বলবে না|বোলো না|উল্লেখ কোরো না|জানাবে না|না জানিয়ে|চুপচাপ|গোপনে|উল্লেখ করবে না
ta: சொல்லாதே|குறிப்பிடாதே|ரகசியமாக
id: jangan (?:bilang|sebut|beri ?tahu|kasih tahu|ceritakan|laporkan|ungkap|singgung|tampilkan)|tanpa (?:memberi ?tahu|menyebut|sepengetahuan)|diam-diam|secara rahasia|rahasiakan
ms: jangan (?:beritahu|sebut|maklum)|tanpa memberitahu|senyap
tl: huwag (?:sabihin|banggitin|ipaalam)|palihim|nang hindi (?:sinasabi|binabanggit)
sw: usimwambie|usitaje|usiseme|kimya kimya|kwa siri
vi: khong (?:duoc )?(?:nhac|noi voi|de cap|thong bao|bao cho)|am tham|bi mat|lang le|im lang|ma khong (?:noi|bao|nhac)|dung cho
th: ไม่ต้องบอก|อย่าบอก|อย่าพูดถึง|ห้ามบอก|ห้ามพูด|อย่าแจ้ง|โดยไม่บอก|โดยไม่แจ้ง|เงียบ ?ๆ|แอบ|ลับ ?ๆ|อย่าเอ่ย|ไม่ต้องแจ้ง
zh: 不要告诉|别告诉|不要提|别提|不得提|不要讓|不要通知|不要说明|悄悄|偷偷|暗中|静默|无需告知|不必告知|勿告|不要提及|不可透露|别让|勿提|不要让用户|不要让他|不要让她|不要让客户
ja: 言わないで|触れない|知らせない|伝えない|教えない|言及し(?:ない|ません)|黙って|こっそり|密かに|秘密に|内緒|気づかれ|通知せず|告げず|報告しない|明かさ
ko: 말하지 마|언급하지|알리지|몰래|조용히|비밀리|모르게|말하지 말|드러내지|밝히지
ca: no (?:li )?(?:diguis|esmentis|informis|parlis)|sense (?:dir|avisar|esmentar)|en secret|d'amagat
""",
    "noask": r"""
en: without (?:asking|confirmation|confirming|approval|waiting|review|checking|further)|do(?:n'?t| not) (?:ask|wait|confirm|check with|hesitate|question|verify)|no (?:confirmation|approval|questions?|need to (?:ask|confirm|check))|immediately|right away|at once|before (?:you )?(?:answer|reply|respond|doing anything|anything else)|first thing|skip (?:the )?(?:confirmation|approval|check|review)|automatically|needs? no confirm
de: ohne (?:ruckfrage|zu fragen|bestatigung|nachfrag|freigabe)|nicht (?:nachfragen|fragen)|sofort|umgehend|frag nicht
fr: sans (?:demander|confirmation|poser|attendre|validation)|ne demande pas|immediatement|tout de suite|sans delai
es: sin (?:preguntar|pedir|confirm|esperar|consultar)|no preguntes|inmediatamente|de inmediato|ya mismo
pt: sem (?:pedir|pergunt|confirm|esperar|consultar)|nao pergunte|imediatamente|de imediato
it: senza (?:chiedere|conferm|domand|attendere)|non chiedere|immediatamente|subito
nl: zonder (?:te vragen|om bevestiging|bevestiging|overleg|vragen)|vraag niet|onmiddellijk|meteen|direct
pl: bez (?:pytania|potwierdzen|zgody|czekania)|nie pytaj|natychmiast
cs: bez (?:ptani|potvrzen|dotaz)|neptej|okamzite|ihned
ru: без (?:подтвержд|спроса|вопросов|согласован)|не спрашивай|не спрашивая|немедленно|сразу
uk: без (?:підтвердж|запитань|питань|погодж)|не питай|не запитуючи|негайно|одразу
tr: onay (?:istemeden|almadan|beklemeden)|sormadan|sorma\b|derhal|hemen
sv: utan att fraga|utan bekraft|fraga inte|omedelbart|genast
da: uden at sporge|uden bekraeft|straks|omgaende
nb: uten a sporre|uten bekreft|umiddelbart|straks
fi: kysymatta|ilman vahvist|ala kysy|valittomasti|heti
hu: kerdes nelkul|megerosites nelkul|ne kerdezz|azonnal
ro: fara (?:sa (?:ceri|intrebi)|confirmare|intreb)|nu intreba|imediat
el: χωρις (?:επιβεβαιωση|να ρωτησ|ερωτησ)|μη ρωτ|αμεσως
ar: دون (?:طلب|سؤال|تأكيد|الرجوع|انتظار)|بدون (?:تأكيد|سؤال)|لا تسأل|فورا|فورًا|حالا
he: בלי (?:לשאול|לבקש|אישור)|ללא אישור|אל תשאל|מיד\b
fa: بدون (?:تأیید|تایید|پرسیدن|سؤال|سوال)|نپرس|فورا|فوراً|بلافاصله
hi: बिना (?:पूछे|पुष्टि|मंज़ूरी)|मत पूछ|तुरंत|फ़ौरन|bina pooche|turant
bn: না জিজ্ঞেস|অনুমতি ছাড়া|নিশ্চিতকরণ ছাড়া|জিজ্ঞেস কোরো না|সঙ্গে সঙ্গে|এখনই
id: tanpa (?:minta|meminta|tanya|bertanya|konfirmasi|persetujuan)|jangan tanya|segera|langsung
vi: khong can (?:xac nhan|hoi)|dung hoi|ngay lap tuc|lap tuc|ngay
th: ไม่ต้อง(?:ขอ|ถาม|ยืนยัน|รอ)|โดยไม่ต้อง|อย่าถาม|ทันที
zh: 无需确认|不用确认|不需要确认|不必确认|不要询问|不用問|不要问|直接执行|直接執行|立即|马上|立刻
ja: 確認(?:なし|せず|不要|は不要)|聞かずに|尋ねず|ただちに|直ちに|すぐに|即座
ko: 확인 ?(?:없이|하지)|묻지 (?:말|않)|즉시|바로|당장
""",
    "bulk": r"""
en: all (?:of )?(?:the |my |your |their |his |her |our )?(?:e-?mails?|files?|contacts?|messages?|documents?|customers?|records?|data|users?|passwords?|conversations?|invoices?|attachments?|rows|tables?|backups?|secrets?|chat)|every (?:e-?mail|file|contact|message|document|customer|record|mail|invoice|attachment|conversation)|(?:entire|whole|full) (?:database|conversation|history|inbox|mailbox|chat|thread|calendar|contents|table|list|directory)|conversation (?:history|so far)|chat history|customer (?:list|data|records)|home directory|address book|contact list|inbox|mailbox|delete (?:all|every|the (?:backups?|database|repo))|drop table|rm -rf|conversation
de: alle (?:e-?mails|mails|dateien|kontakte|nachrichten|dokumente|kunden|daten)|samtliche|gesprachsverlauf|kundendaten|kundenliste|postfach|verlauf
fr: tous les (?:e-?mails|mails|fichiers|contacts|messages|documents|clients)|toutes les (?:donnees|factures)|historique|carnet d'adresses|boite
es: todos los (?:correos|archivos|contactos|mensajes|documentos|clientes)|todas las (?:facturas|conversaciones)|historial|agenda|bandeja
pt: todos os (?:e-?mails|arquivos|ficheiros|contatos|contactos|mensagens|documentos|clientes)|historico|agenda|caixa de entrada
it: tutt[ei] (?:le |i |gli )?(?:mail|e-?mail|file|contatti|messaggi|documenti|clienti)|cronologia|rubrica|casella
nl: alle (?:mails|e-mails|bestanden|contacten|berichten|documenten|klant)|geschiedenis|adresboek|postvak
pl: wszystkie (?:maile|e-maile|pliki|kontakty|wiadomosci|dokumenty)|histori|skrzynk|ksiazk. adresow|ksiazke adresow|ksiazka adresow
cs: vsechny (?:e-?maily|maily|soubory|kontakty|zpravy|dokumenty)|histori|adresar|schrank
ru: все (?:письма|файлы|контакты|сообщения|документы|данные)|всю (?:переписк|баз|истори)|всех клиент|адресную книгу|историю диалога|историю чата|историю переписки
uk: (?:усі|всі) (?:листи|файли|контакти|повідомлення|документи|дані)|усю|історію чату
tr: (?:butun|tum) (?:e-?posta|dosya|kisi|mesaj|belge|musteri)|gecmis|rehber|gelen kutusu
sv: alla (?:mejl|filer|kontakter|meddelanden|dokument|kund)|historik|adressbok|inkorg
da: alle (?:mails|filer|kontakter|beskeder|dokumenter)|historik
nb: alle (?:e-poster|filer|kontakter|meldinger|dokumenter)|historikk
fi: kaikki (?:sahkoposti|tiedosto|yhteystie|viesti|asiakir)|historia|osoitekirj
hu: (?:minden|osszes) (?:e-?mail|fajl|nevjegy|uzenet|dokumentum|level)|elozmeny
ro: toate (?:mailurile|e-mailurile|fisierele|contactele|mesajele|documentele)|istoric|agenda
el: ολα τα (?:μεϊλ|μειλ|αρχεια|email|μηνυματα|εγγραφα)|ολες τις (?:επαφες)|ιστορικο
ar: (?:كل|جميع) (?:الرسائل|الملفات|جهات|البريد|المستندات|البيانات|العملاء)|سجل المحادث|قائمة العملاء
he: כל ה(?:מיילים|קבצים|הודעות|מסמכים|לקוחות|נתונים)|אנשי הקשר|היסטוריית
fa: تاریخچه|فهرست مشتری|همه ایمیل|همه فایل|همه پیام
hi: सारी (?:मेल|फ़ाइल|फाइल)|सभी (?:ईमेल|मेल|फ़ाइल|संदेश|संपर्क|ग्राहक)|पूरी (?:बातचीत|सूची)
bn: সব (?:ইমেইল|ফাইল|বার্তা|পরিচিতি|তথ্য)|পুরো (?:কথোপকথন|তালিকা)
id: semua (?:email|surel|file|berkas|kontak|pesan|dokumen|data)|seluruh|riwayat|kotak masuk
vi: (?:tat ca|toan bo|moi) (?:thu|email|tep|danh ba|tin nhan|tai lieu|du lieu)|lich su|hop thu|danh sach khach
th: (?:อีเมล|ไฟล์|ข้อความ|รายชื่อ|เอกสาร|ข้อมูล)ทั้งหมด|ประวัติ|ทั้งหมด
zh: 所有(?:邮件|文件|联系人|消息|文档|客户|数据|记录)|全部(?:邮件|文件|数据|记录)|聊天记录|对话记录|通讯录|客户名单|整个
ja: すべての(?:メール|ファイル|連絡先|メッセージ|文書|データ)|全(?:メール|ファイル|データ|顧客)|会話(?:履歴|の内容)|顧客(?:リスト|名簿)|連絡先
ko: 모든 (?:메일|파일|연락처|메시지|문서|데이터|고객)|대화 (?:내용|기록)|고객 (?:명단|목록)|전체
""",
    "verbatim": r"""
en: verbatim|word[- ]for[- ]word|exactly as (?:written|it|they|given)|letter by letter|line by line|in full\b|unabridged|complete and|without (?:changing|omitting|leaving)|exact (?:text|words|wording)|character by character|base64|rot13|in reverse|backwards
de: wortlich|wort fur wort|wortgetreu|im wortlaut|vollstandig|eins zu eins
fr: mot pour mot|mot a mot|textuellement|integral|verbatim|a l'identique
es: palabra por palabra|literalmente|al pie de la letra|textual|integr[ao]|tal cual
pt: palavra por palavra|literalmente|ao pe da letra|na integra|tal e qual|textualmente
it: parola per parola|alla lettera|testualmente|integral|cosi com'e
nl: woord voor woord|letterlijk|woordelijk|onverkort
pl: slowo w slowo|doslownie|co do slowa|w calosci
cs: slovo od slova|doslova|doslovne|v plnem zneni
ru: дословно|слово в слово|буквально|полностью|целиком|без изменений
uk: дослівно|слово в слово|повністю|без змін
tr: kelimesi kelimesine|aynen|harfi harfine|oldugu gibi|eksiksiz
sv: ordagrant|ord for ord|i sin helhet
da: ordret|ord for ord
nb: ordrett|ord for ord
fi: sanasta sanaan|sana sanalta|sanatarkasti|kokonaisuudessaan
hu: szorol szora|szo szerint|teljes egeszeben
ro: cuvant cu cuvant|integral|textual|exact asa
el: λεξη προς λεξη|αυτολεξει|κατα λεξη|αυτουσι
ar: حرفي|كلمة بكلمة|كما هي|نصا|بالنص|بالحرف
he: מילה במילה|במדויק|כלשונ|אות באות
fa: کلمه به کلمه|عینا|عیناً|مو به مو|دقیقا
hi: शब्दशः|हूबहू|शब्द दर शब्द|ज्यों का त्यों|जस का तस
bn: হুবহু|শব্দে শব্দে|অক্ষরে অক্ষরে
id: kata per kata|kata demi kata|persis|apa adanya|secara utuh
vi: nguyen van|tung chu|tung cau tung chu|day du
th: คำต่อคำ|ทุกคำ|ทุกตัวอักษร
zh: 逐字|一字不漏|一字不差|原封不动|完整|原文|原样
ja: 一字一句|そのまま|全文|原文
ko: 글자 그대로|그대로|한 글자도|전문을|토씨
sw: neno kwa neno
tl: salita por salita
ca: paraula per paraula|literalment
""",
    "credential": r"""
en: passwords?\b|passphrase|api[ _-]?keys?|credentials?|secrets?\b|tokens?\b|private keys?|\.env\b|ssh keys?|environment variables?|access keys?|one-time code|2fa|seed phrase|cookies?\b|id_rsa|connection string|auth header|pin codes?
de: passwort|kennwort|zugangsdaten|schlussel|geheimnis|api-?key|umgebungsvariable
fr: mot(?:s)? de passe|identifiant|cle(?:s)? (?:api|privee|d'acces)|secret|jeton|variables d'environnement
es: contrasena|credencial|clave|secreto|token|variables de entorno
pt: senha|palavra-passe|palavras-passe|credencia|chave|segredo|token|variaveis de ambiente
it: password|credenzial|chiav|segret|token|variabili d'ambiente
nl: wachtwoord|inloggegevens|sleutel|geheim|omgevingsvariabel
pl: hasl|dane logowania|klucz|sekret|token|zmienne srodowisk
cs: hesl|prihlasovaci|klic|tajn|token
ru: парол|учётн|учетн|ключ|секрет|токен|переменные окружения
uk: парол|облікові|ключ|секрет|токен|змінні середовища
tr: sifre|parola|kimlik bilgi|anahtar|gizli|ortam degisken
sv: losenord|inloggningsuppgift|nyckel|nycklar|hemlig
da: adgangskode|kodeord|nogle|hemmelig
nb: passord|nokkel|nokler|hemmelig
fi: salasan|tunnus|avain|avaime|salais
hu: jelszo|jelszav|kulcs|titk|hitelesito
ro: parol|credential|cheie|cheil|secret
el: κωδικ|διαπιστευτηρι|κλειδ|μυστικ
ar: كلمة (?:السر|المرور)|كلمات (?:السر|المرور)|مفتاح|مفاتيح|بيانات الدخول|سري
he: סיסמ|הסיסמ|מפתח(?:ות)? (?:api|גישה)|סוד|פרטי (?:הגישה|הכניסה)
fa: رمز|گذرواژه|کلید|پسورد
hi: पासवर्ड|कुंजी|गुप्त|क्रेडेंशियल|ओटीपी|password|otp
bn: পাসওয়ার্ড|চাবি|গোপন|ওটিপি
id: kata sandi|sandi|kredensial|kunci|rahasia|password
vi: mat khau|khoa|thong tin dang nhap|bi mat|ma otp
th: รหัสผ่าน|กุญแจ|คีย์|ความลับ|โทเคน|รหัส
zh: 密码|密碼|密钥|凭证|凭据|口令|环境变量|令牌
ja: パスワード|鍵|秘密|認証情報|トークン|環境変数|apiキー
ko: 비밀번호|암호|자격 ?증명|키를|토큰|환경 ?변수|api ?키
""",
    "authority": r"""
en: admin(?:istrat)?|developer (?:mode|access|here|override|of)|debug mode|maintenance mode|god mode|root access|sudo\b|override (?:code|mode|key)|authori[sz](?:ed|ation)|i am (?:the|your) (?:developer|creator|owner|admin|operator|engineer)|on behalf of|security team|your (?:developer|creator|operator|owner|maker|vendor)s?\b|system (?:notice|update|override|message|alert|notification)|compliance|clearance|from (?:the )?(?:it|hr|legal|security|management|head office|ops)\b|openai|anthropic|test mode|unlock code|operator (?:note|message|update|instruction)|supervisor|the (?:board|ceo|cto|auditor)|approved by|signed off|pre-?approved
de: administrator|entwickler|systemadministrator|im auftrag|wartungsmodus|debug|geschaftsfuhr|vorgesetz|it-abteilung|sicherheitsteam|freigegeben|genehmigt|autorisiert|betreiber|leitung
fr: administrat|mode developpeur|developpeur|de la part de|direction|maintenance|debogage|autoris|superviseur|exploitant|service informatique|securite
es: administrador|modo (?:desarrollador|dios|mantenimiento|depuracion)|desarrollador|de parte de|en nombre de|direccion|autorizad|supervisor|soporte|seguridad
pt: administrador|modo (?:desenvolvedor|programador|manutencao|depuracao)|desenvolvedor|programador|da parte|em nome|direc|autorizad|supervisor|suporte|encarregad
it: amministrat|modalita (?:sviluppat|manutenzione|debug)|sviluppator|per conto|direzione|autorizzat|supervisore|da parte d
nl: beheerder|ontwikkelaar|onderhoudsmodus|namens|directie|geautoriseerd|goedgekeurd|leidinggevende
pl: administrat|tryb (?:dewelopers|programist|serwis|debug)|deweloper|w imieniu|dyrekcj|upowazni|autoryz|zatwierdz|przelozon
cs: spravc|administrat|vyvojar|jmenem|vedeni|schvalen|opravnen|rezim
ru: администратор|админ|разработчик|режим (?:разработчик|отладк|обслуживан|бога)|от имени|руководств|служб[аы] безопасност|уполномоч|одобрен|согласован|директор|начальни
uk: адміністратор|розробник|режим (?:розробник|налагодж|обслугов)|від імені|керівництв|уповноваж|погоджен|схвален|директор
tr: yonetici|gelistirici|bakim modu|hata ayiklama|adina|yetkili|onaylan|mudur|genel mudurluk|modu etkin
sv: administrator|utvecklar|underhallslage|ledningen|behorig|godkan
da: administrator|udvikler|pa vegne|ledelsen|godkendt
nb: administrator|utvikler|pa vegne|ledelsen|godkjent
fi: yllapit|kehittaj|huoltotila|puolesta|johto|valtuutet|hyvaksyt|paakayttaj
hu: rendszergazda|adminisztrator|fejleszto|karbantart|neveben|vezetoseg|jovahagy|engedelyez
ro: administrator|dezvoltator|mod(?:ul)? (?:dezvoltator|mentenanta)|din partea|in numele|conducer|autorizat|aprobat
el: διαχειριστ|προγραμματιστ|λειτουργια|εκ μερους|διευθυνσ|εξουσιοδοτ|εγκρι
ar: المشرف|المدير|مدير النظام|وضع المطور|المطور|نيابة عن|باسم|الإدارة|مخول|بموافقة|الصيانة|معتمد
he: מנהל|מפתח(?:ים)?|מצב (?:מפתח|תחזוקה|ניפוי)|מטעם|הנהלה|ההנהלה|מורשה|מאושר|אושר
fa: مدیر|توسعه|حالت (?:توسعه|تعمیر)|از طرف|مجاز|تأیید شده|ادمین
hi: व्यवस्थापक|प्रशासक|डेवलपर|की ओर से|अधिकृत|मंज़ूर|मंजूर|एडमिन|मैनेजर|प्रबंधन|admin
bn: প্রশাসক|ডেভেলপার|পক্ষ থেকে|অনুমোদিত|অ্যাডমিন|কর্তৃপক্ষ
id: administrator|admin\b|pengembang|mode (?:pengembang|debug|pemeliharaan)|atas nama|manajemen|berwenang|disetujui|atasan|direksi
vi: quan tri|nha phat trien|che do (?:nha phat trien|bao tri|go loi)|thay mat|ban giam doc|uy quyen|phe duyet
th: ผู้ดูแล|นักพัฒนา|โหมด|ในนามของ|ผู้บริหาร|ได้รับอนุญาต|อนุมัติ|แอดมิน|ฝ่าย
zh: 管理员|管理員|开发者|開發者|维护模式|调试模式|授权|运营方|代表公司|上级|总部|安全团队|已批准|审批
ja: 管理者|開発者|メンテナンス|デバッグ|代理で|承認済|権限|運営|責任者|本部
ko: 관리자|개발자|유지보수|디버그|대신하여|승인|권한|운영자|본사|책임자
""",
    "persona": r"""
en: you are now|you'?re now|you will (?:now )?(?:act|be|play|become)|from now on,? you|pretend (?:to be|you|that you|there|the)|act as|act like|play (?:the role|a character|my|an? )|role-?play|imagine (?:you|that you)|you become|stay in character|simulate|impersonate|as if you|your new (?:name|role|identity|persona)|let'?s play|hypothetical|in this (?:game|story|world|scene|scenario)|alter ego|your twin|character who|fiction|write a (?:story|scene|dialogue|play|novel)|dan\b|your (?:grandm|late)|opposite day|two (?:answers|versions)|mode
de: du bist (?:jetzt|ab sofort|nun)|ab sofort bist du|tu so|spiel(?:e|st)? (?:die|den|eine)|stell dir vor|rollenspiel|verhalte dich|benimm dich|als ob du|deine neue rolle
fr: tu es (?:desormais|maintenant)|fais comme si|joue le role|imagine que|jeu de role|comporte-toi|agis comme|tu joues|vous etes (?:desormais|maintenant)
es: ahora eres|eres ahora|actua como|haz como si|finge|imagina que|juego de rol|comportate como|a partir de ahora eres|vas a ser
pt: agora (?:tu )?es|voce (?:agora )?e (?:um|uma)|a partir de agora (?:voce|tu|es)|finge|finja|faz de conta|faca de conta|aja como|age como|imagina que|imagine que|atue como
it: (?:adesso|ora) sei|da adesso sei|fai finta|fingi|comportati|immagina (?:di|che)|gioco di ruolo|recita|interpreta
nl: je bent (?:nu|vanaf nu)|doe alsof|speel (?:de|een)|stel je voor|gedraag je|rollenspel|vanaf nu ben je
pl: jestes teraz|od teraz jestes|udawaj|zachowuj sie|wyobraz sobie|wciel sie|graj role|odgrywaj
cs: ted jsi|od ted jsi|predstirej|predstav si|chovej se|hraj roli|vzij se
ru: (?:теперь|отныне) ты|ты (?:теперь|отныне)|притворись|представь|сыграй|веди себя|действуй как|вообрази|играем|ролев
uk: (?:тепер|відтепер) ти|ти тепер|уяви|удавай|прикинься|зіграй|поводься|рольов
tr: gibi davran|rol yap|hayal et|farz et|rolunu|canlandir|numara yap|artik sen|sen artik
sv: du ar nu|fran och med nu ar du|latsas|agera som|forestall dig|spela rollen|rollspel
da: du er nu|lad som om|forestil dig|spil rollen|rollespil
nb: du er na|lat som|forestill deg|spill rollen|rollespill
fi: olet nyt|olet tasta lahtien|tasta lahtien olet|teeskentele|kuvittele|esita|leiki|roolipeli|nayttele
hu: mostantol|te (?:most|mostantol)|tegyel ugy|kepzeld|jatszd|szerepjatek|viselkedj
ro: acum esti|de acum (?:esti|inainte)|prefa-te|imagineaza|joaca rolul|comporta-te|poarta-te
el: εισαι (?:πλεον|τωρα)|απο τωρα|κανε πως|προσποιησου|φαντασου|υποδυσου|παιξε τον|συμπεριφερσου
ar: أنت الآن|تصرف وكأن|تصرّف|تخيل|تظاهر|العب دور|من الآن|تقمص|enta dlw2ty
he: אתה (?:עכשיו|מעכשיו)|מעכשיו אתה|תעמיד פנים|דמיין|תדמיין|שחק|תשחק|תתנהג|משחק תפקידים
fa: تو از (?:حالا|الان)|از (?:حالا|این به بعد|الان)|وانمود کن|تصور کن|نقش|فرض کن|طوری رفتار
hi: अब (?:तुम|आप|तू|से)|दिखाओ जैसे|कल्पना करो|की भूमिका|नाटक|मान लो|बनकर|ab tu\b|act kar|aise act
bn: এখন থেকে|ভাব করো|কল্পনা করো|ভূমিকায়|অভিনয়|ধরে নাও
id: sekarang kamu|kamu sekarang|mulai sekarang|berpura-pura|bayangkan|berperan|bertindak sebagai|anggap (?:kamu|dirimu)|anda sekarang
ms: anda kini|berpura-pura|mulai sekarang|bayangkan
tl: ikaw na ngayon|magpanggap|kunwari|mula ngayon
sw: sasa wewe|jifanye|kuanzia sasa|fikiria
vi: (?:bay gio|tu gio|tu nay) (?:ban|may|em)|ban (?:bay gio|gio)|gia vo|dong vai|tuong tuong|hanh xu nhu|ke tu bay gio
th: ตอนนี้(?:เธอ|คุณ|แก)|แกล้งทำ|สมมติ|สวมบทบาท|เล่นบท|ทำตัวเป็น|ตั้งแต่นี้|จากนี้ไป|นับจากนี้
zh: 你现在是|从现在起|从现在开始|現在是|假装|扮演|想象你|角色扮演|装作|你将扮演|从今以后
ja: あなたは今|今から|これからは|ふりをして|演じて|なりきって|想像して|として振る舞|ロールプレイ|になってください
ko: 너는 이제|이제부터|지금부터|척해|척하|역할|연기해|상상해|행세|처럼 행동
ca: ara ets|fes veure|fes com si|actua com|imagina
""",
    "drop": r"""
en: ignor(?:e|ing)\b|disregard|forget (?:about |all|every|the|any|what|your|my|that)|overrid(?:e|es|ing)\b|bypass|supersed|discard|set aside|throw out|scrap (?:the|your|all)|don'?t follow|do not follow|stop following|no longer (?:apply|bind|count|valid|matter)|doesn'?t apply|don'?t apply|do not apply|are (?:void|cancelled|canceled|null|off|lifted|suspended|obsolete)|is (?:void|cancelled|canceled|lifted|suspended|obsolete)|replaces? (?:the|your|all|any|every)|drop (?:the|your|all)|bin (?:the|your|them|all)|erase (?:the|your|all)|wipe (?:the|your)|take precedence|takes precedence|instead of (?:your|the) (?:task|instructions|rules)|null and void|unlearn|put aside|put away
de: ignorier|vergiss|vergessen sie|missacht|hinwegsetz|uberschreib|nicht mehr an|gelten nicht|gilt nicht|aufgehoben|ausser kraft|auser kraft|hinfallig|streich(?:e|en)? |verwirf|hinweg|lass beiseite
fr: ignor(?:e|ez|er)\b|oubli(?:e|ez|er)\b|ne tiens? (?:plus|pas) compte|ne tenez (?:plus|pas) compte|fais abstraction|faites abstraction|passe outre|contourn|ne s'appliquent? plus|annul|caduque?s?\b|abroge|ecarte[zr]?\b|fais fi|laisse tomber
es: ignor(?:a|e|es|ar|en)\b|olvid(?:a|e|ate|ese|ar)\b|haz caso omiso|haga caso omiso|no (?:sigas|siga|hagas caso|tengas en cuenta)|descart|desestim|salta(?:te|r)|quedan? (?:sin efecto|anulad|derogad|cancelad)|ya no (?:valen?|rigen?|aplican?|cuentan?)|pasa por alto|desobede
pt: ignor(?:a|e|ar|em)\b|esque[cç](?:a|e|er)|desconsider|nao (?:sigas?|leve em conta|obede)|descart|deixa[m]? de valer|ja nao (?:valem|vale|contam|se aplica)|nao (?:valem?|se aplicam?) mais|anulad|revogad|passa por cima|burl(?:a|e|ar)
it: ignora(?:re|te)?\b|dimentica|non (?:tenere|tener) conto|non seguire|trascura|scavalca|aggira|non valgono piu|non vale piu|annullat|decadut|lascia perdere|disattend|metti da parte
nl: negeer|vergeet|houd je niet|trek je niets aan|geldt niet|gelden niet|vervallen|ter zijde|omzeil|overschrijf|laat varen|laat vallen
pl: zignoruj|ignoruj|zapomnij|pomin|nie przestrzegaj|nie stosuj|nie obowiazuj|uniewazni|omin|porzuc|odrzuc|anulowan|przestaj
cs: ignoruj|zapomen|nerid se|nedodrzuj|neplati|obejdi|zrusen|pomin|zahod
sk: ignoruj|zabudni|nedodrziavaj|neriad sa|neplati|obid
ru: игнорир|проигнорир|забуд|не соблюдай|не следуй|отбрось|обойди|отмен(?:и|яю|ены|ено|яются)|не действу(?:ют|ет)|больше не|отключи|пренебреги|наплюй|выкинь из головы
uk: ігноруй|проігноруй|забуд|не дотримуйся|відкинь|обійди|скасован|не діють|не діє|більше не|зневаж
bg: игнорирай|забрави|не спазвай|пренебрегни|отменен|не важат
sr: ignorisi|zaboravi|ne postuj|zanemari|ne vaze|игнориши|заборави|занемари
hr: ignoriraj|zaboravi|zanemari|ne vrijede
sl: prezri|pozabi|ne upostevaj|ne velja
tr: yok say|goz ardi|gormezden gel|unut(?:un|up|\b)|dikkate alma|uyma|gecersiz|bos ver|bir kenara birak|iptal edil|devre disi birak|gecerli degil
sv: ignorera|glom\b|bortse fran|strunta i|folj inte|galler inte|asidosatt|hoppa over|upphav
da: ignorer|glem\b|se bort fra|gaelder ikke|tilsidesaet
nb: ignorer|glem\b|se bort fra|gjelder ikke|tilsidesett
fi: ohita|unohda|ala noudata|ala valita|ei(?:vat)? (?:ole )?(?:enaa )?voimassa|kumottu|sivuuta
et: eira|unusta|ignoreeri|ei kehti
lt: ignoruok|pamirsk|nepaisyk|negalioja
lv: ignore|aizmirsti|neievero|vairs nav speka
hu: hagyd figyelmen|felejtsd|ne kovesd|mellozd|ervenytelen|ne torodj|mar nem ervenyes
ro: ignora|uita (?:tot|de|ce|toate|orice)|nu mai respecta|nu tine cont|nu mai sunt valabile|anulat|treci peste|nu te mai
el: αγνοησ|ξεχνα|ξεχασε|μην τηρ|μη λαβ|παρακαμψε|δεν ισχυ|ακυρων|παραβλεψε
ar: تجاهل|انس[َى ]|انسَ|إنسى|لا تلتزم|ألغ|تخط|لم تعد|ضع جانب|ملغ
he: תתעלם|התעלם|תתעלמי|תשכח|שכח|אל תציית|בטל|עקוף|תעקוף|לא תקפ|לא חל
fa: نادیده بگیر|فراموش کن|پیروی نکن|بی.?خیال|لغو|دور بریز|کنار بگذار|دیگر اعتبار|توجه نکن
ur: نظرانداز|نظر انداز|بھول جا
hi: अनदेखा|भूल जा|मत मानो|नज़रअंदाज़|नजरअंदाज|रद्द|छोड़ दो|ignore kar|bhool ja|bhul ja|mat maan
bn: উপেক্ষা|ভুলে যা|মানবে না|বাতিল|অগ্রাহ্য
ta: புறக்கணி|மறந்துவிடு|மற
id: abaikan|lupakan|jangan patuhi|jangan ikuti|kesampingkan|tidak berlaku|dibatalkan|hiraukan
ms: abaikan|lupakan|jangan patuh
tl: balewalain|kalimutan|huwag sundin|huwag pansinin|di na umiiral
sw: puuza|sahau|usifuate
vi: bo qua|quen het|quen di|dung tuan|phot lo|khong con hieu luc|bo mac|gat bo|lo di
th: เพิกเฉย|ลืม|ไม่ต้องทำตาม|ไม่ต้องสน|ยกเลิก|ละเว้น|มองข้าม|ข้ามคำสั่ง|ไม่ต้องสนใจ
zh: 忽略|忽视|无视|無視|忘记|忘掉|忘了|不要再遵守|不必遵守|不用管|别管|作废|作廢|失效|抛开|撇开|绕过|跳过|取消之前|取代|不再适用
ja: 無視|忘れて|従わなくて|従わず|破棄|取り消|無効|従う必要は|上書き
ko: 무시|잊어|잊고|따르지 마|무효|취소|버리고|우회
ca: ignora|oblida|no facis cas|deixa de banda
""",
    **COMMON,
}
"""Beginnings of words by concept and language."""

MARKS: Final[dict[str, str]] = {
    "template": r"<\|(?:im_start|im_end|system|user|assistant|endoftext|end|start_header_id|eot_id)\|?>|\[/?inst\]|<</?sys>>|<s>|</s>|<start_of_turn>|<end_of_turn>|\[/?system\]|\[/?(?:assistant|user)\]|<\|[a-z_]{2,20}\|>",
    "forged_turn": r"(?:^|[\n>\"'|#*\]_-])[ \t]*(?:system|assistant|developer|admin|operator|sistema|système|systeme|система|系统|系統|システム|시스템|النظام|מערכת|user|human|ai)[ \t]*(?:\([^)\n]{0,30}\))?[ \t]*[\]*_]{0,3}[ \t]*[:：>]",
    "fence": r"(?:[-=*~#_+]{3,}|\[|<|\{|\()[ \t]*(?:/|end|begin|start|new|updated)?[ _-]*(?:of[ _-]+)?(?:the[ _-]+)?(?:system|instructions?|prompt|admin|developer|agent|ai|assistant|important|override|task|tool|context|document|user|operator)[a-z _-]{0,24}(?:[-=*~#_+]{3,}|\]|>|\}|\))",
    "addressed": r"(?:^|[\n.!?\"'(\[<{:;*-])[ \t]*(?:dear|hey|hi|hello|attention|attn|note to|note for|message to|message for|for|to|@|important for|instructions? (?:for|to)|memo to)?[ \t:,]*(?:the |any |all |every |our |whichever )?(?:[a-z]+[ -])?(?:ai|llms?|assistants?|language models?|models?|agents?|bots?|chatbots?|summari[sz]ers?|copilot|robots?)\b[^.\n]{0,30}[:,;–—-]",
    "hidden_comment": r"<!--[^>]{0,400}(?:ai|assistant|agent|model|llm|bot|instruction|system|ignore|you)\b",
    "hidden_style": r"display:\s*none|font-size:\s*0|visibility:\s*hidden|opacity:\s*0[;\"' ]|color:\s*(?:white|#fff(?:fff)?|transparent)|hidden(?:=|>| )|position:\s*absolute;\s*left:\s*-",
    "tag": r"</?(?:important|system|instructions?|admin|secret|hidden|directive|prompt|context|assistant|user|tool_result|document|priority|override)(?:\s[^<>]{0,40})?>",
    "url": r"https?://|www\.|\b[a-z0-9-]+\.(?:example|test|invalid)\b",
    "url_with_data": r"https?://[^\s\"'<>]{1,120}[?&][a-z_]{1,20}=(?:\{|\[|<|%7b|\$|\"|')|!\[[^\]]{0,60}\]\(https?://",
    "mail": r"[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}",
    "command": r"\b(?:curl|wget|rm -rf|chmod|eval\(|exec\(|subprocess|os\.system|base64 -d|nc -|powershell|invoke-webrequest|bash -c|drop table|sudo)\b",
    "tool_call": r"\b(?:call|use|run|invoke|execute|trigger)\b[^.\n]{0,24}\b(?:tool|function|plugin|command|script|shell|action|api|[a-z]+_[a-z_]+)\b|\b[a-z]+_[a-z_]+\(",
    "decode": r"\b(?:decode|decipher|decrypt|base64|rot13|hex|unscramble|reverse the|backwards)\b",
    "prefix": r"\b(?:start|begin|open) (?:your|the|with|every|each)[^.\n]{0,40}(?:answer|reply|response|sure|yes|of course|with)|\b(?:answer|reply|respond|say|output|write)[^.\n]{0,20}\b(?:only|just|exactly|nothing (?:but|else))\b",
    "rating": r"\b(?:rate|rank|score|grade|mark|recommend|approve|accept|shortlist|hire|pass|classify|label|flag|report)\b[^.\n]{0,60}\b(?:as|first|top|highest|best|positive|safe|clean|benign|approved|excellent|full|perfect|10|100|a\+?)\b",
    "quoted": r"[\"“«„‘'`「『][^\"”»“’'`」』\n]{8,160}[\"”»“’'`」』]",
    "question": r"[?？؟]",
    "harm": r"\b(?:bomb|explosive|weapon|malware|ransomware|keylogger|phishing|meth|poison|counterfeit|forge|launder|hack|steal|stalk|exploit|drugs?|pill|kill|detonat|nerve agent|bioweapon|fraud|scam)",
}
"""Marks of form and of purpose, each an re2 expression over the same text; no language."""

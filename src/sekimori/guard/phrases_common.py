"""The concepts that ordinary texts are full of, too: what `phrases` holds, continued. They count in company alone."""

from __future__ import annotations

from typing import Final

COMMON: Final[dict[str, str]] = {
    "lasting": r"""
en: from now on|from here on|for the rest of|in (?:all|every) future|always remember|remember (?:this|that|to|forever)|permanent|every (?:conversation|session|reply|answer|message|time you|future)|going forward|in your memory|to (?:your )?memory|store (?:this|it) (?:in|as)|save (?:this|it) (?:to|in|as)|forever|henceforth|until (?:i|told|further)|in later (?:chats|sessions|conversations)|as a standing|by default
de: ab (?:jetzt|sofort)|von nun an|kunftig|dauerhaft|fur immer|merk dir|in jeder|bei jeder|immer
fr: desormais|a partir de maintenant|dorenavant|a l'avenir|pour toujours|en memoire|retiens|dans chaque|a chaque|definitivement
es: a partir de ahora|de ahora en adelante|en adelante|para siempre|recuerda|memoriza|en cada|en todas tus|siempre
pt: a partir de agora|de agora em diante|daqui em diante|para sempre|memoriz|na memoria|lembr|em cada|em todas|sempre
it: da (?:adesso|ora|oggi)|d'ora in (?:poi|avanti)|per sempre|ricordat|memorizza|in ogni|sempre
nl: vanaf nu|voortaan|voor altijd|onthoud|in elk|bij elk|altijd
pl: od teraz|odtad|na zawsze|zapamietaj|w kazdej|przy kazdej|zawsze|na stale
cs: od ted|odted|navzdy|pamatuj|zapamatuj|v kazd|vzdy|natrvalo
ru: отныне|с этого момента|впредь|навсегда|запомни|в каждом|при каждом|всегда|в дальнейшем|постоянно
uk: відтепер|надалі|назавжди|запам.ятай|у кожн|завжди|постійно
tr: bundan (?:sonra|boyle)|artik|sonsuza|hatirla|aklinda tut|her (?:konusma|cevap|yanit|mesaj)|kalici|hep
sv: fran och med nu|hadanefter|for alltid|kom ihag|i varje|alltid
da: fra nu af|for altid|husk\b|i hver|altid
nb: fra na av|for alltid|husk\b|i hver|alltid
fi: tasta lahtien|ikuisesti|muista|jokaise|aina|jatkossa|pysyvasti
hu: mostantol|orokre|jegyezd|emlekezz|minden (?:beszelget|valasz)|mindig|tartosan
ro: de acum|pentru totdeauna|tine minte|memoreaza|in fiecare|mereu|permanent
el: απο (?:τωρα|εδω) και|για παντα|να θυμασαι|θυμησου|σε καθε|παντα|μονιμα|εφεξης
ar: من الآن|إلى الأبد|احفظ|تذكر|في كل|دائما|دائمًا|مستقبلا
he: מעכשיו|לתמיד|מהיום|תזכור|בכל (?:שיחה|תשובה)|תמיד
fa: از این به بعد|همیشه|یادت (?:باشه|بمونه)|به خاطر بسپار|در هر|برای همیشه
hi: अब से|हमेशा|याद रख|हर (?:बातचीत|जवाब|बार)|आगे से|hamesha|yaad rakh
bn: এখন থেকে|চিরকাল|মনে রাখ|প্রতিটি|সবসময়|এরপর থেকে
id: mulai (?:sekarang|saat ini)|selamanya|seterusnya|ingat|di setiap|selalu|ke depannya
vi: tu (?:gio|nay|bay gio)|mai mai|ghi nho|nho rang|trong moi|luon|ve sau
th: ตั้งแต่นี้|จากนี้ไป|ตลอดไป|จำ(?:ไว้|กฎ)|ทุกครั้ง|เสมอ|นับจากนี้
zh: 从现在起|从今以后|今后|以后|永远|记住|牢记|每次|始终|以后每|长期|永久
ja: 今後|これから|ずっと|覚えて|記憶|毎回|常に|以後|永久
ko: 앞으로|이제부터|영원히|기억해|매번|항상|언제나|모든 대화
""",
    "rules": r"""
en: instruct(?:ion|ed)|rules?\b|guidelines?|directives?|policy|policies|restrict|prompts?\b|guardrail|safeguard|constraints?|what you (?:were|have been) told|what they told you|programming|orders?\b|briefing|limitations|safety (?:filter|rule|polic|protocol|setting|measure)|system message|(?:initial|original|first) (?:message|text|task|setup)|brief\b|rubric|configuration|(?:everything|anything|all) (?:above|before|so far|said|earlier)|the above|whatever you
de: anweisung|instruktion|regel|vorgabe|richtlinie|befehl|einschrankung|vorschrift|system-?prompt|prompt|alles,? was|auftrag
fr: instruction|consigne|regle|directive|ordre|restriction|prompt|ce qu'on t|tout ce qui|recommandation
es: instruccion|regla|norma|directriz|directrices|orden|restriccion|indicacion|prompt|lo que te (?:dijeron|han dicho)|pautas|consigna
pt: instruc|regra|norma|diretriz|diretrizes|ordens|restric|prompt|tudo o que te|orientac|indicac
it: istruzion|regol|direttiv|ordini|restrizion|prompt|quello che ti hanno|indicazion|consegn|vincol
nl: instructie|regel|richtlijn|opdracht|beperking|prompt|voorschrift|aanwijzing|bevel
pl: instrukcj|zasad|regul|wytyczn|polece|ograniczen|prompt|wskazow|nakaz
cs: pokyn|instrukc|pravid|omezen|prikaz|prompt|smernic
sk: pokyn|instrukci|pravid|obmedzen|prikaz|prompt
ru: инструкц|правил|указани|ограничен|запрет|промпт|директив|установк|предписан|приказ|всё,? что (?:тебе|вам)
uk: інструкц|правил|вказів|обмежен|заборон|промпт|настанов|наказ
bg: инструкци|правила|указани|ограничени|промпт
sr: uputst|pravil|ogranicenj|instrukcij|упутст|правил
hr: uput|pravil|ogranicenj|instrukcij
sl: navodil|pravil|omejit
tr: talimat|kural|yonerge|kisitla|prompt|istem|emir|soylenen
sv: instruktion|regel|regler|riktlinje|begransning|prompt|anvisning|order
da: instruks|regel|regler|retningslinje|begraensning|prompt
nb: instruks|regel|regler|retningslinje|begrensning|prompt
fi: ohje|saanto|saannot|saantoj|maarays|rajoitu|kehote|kehotte
et: juhis|reegl|piirang
lt: instrukcij|taisykl|nurodym|apribojim
lv: instrukcij|noteikum|noradijum|ierobezojum
hu: utasitas|szabaly|iranyelv|korlat|prompt|eloiras
ro: instructiun|regul|indicati|restrictii|prompt|directiv|ordin
el: οδηγι|κανον|εντολ|περιορισμ|prompt|προτροπ
ar: تعليمات|التعليمات|تعليماتك|قواعد|القواعد|قيود|القيود|أوامر|الأوامر|توجيهات|التوجيهات|ضوابط|قوانين
he: הוראות|ההוראות|כללים|הכללים|מגבלות|פקודות|הפקודות|הנחיות|ההנחיות|חוקים|פרומפט|הפרומפט
fa: دستور|دستورالعمل|قوانین|قانون|محدودیت|پرامپت|رهنمود|قواعد
ur: ہدایات|قواعد|پابندی|احکامات
hi: निर्देश|नियम|पाबंदी|आदेश|प्रॉम्प्ट|प्रतिबंध|हिदायत|instructions?|rules?
bn: নির্দেশ|নিয়ম|বিধিনিষেধ|প্রম্পট|আদেশ
ta: வழிமுறை|விதி|அறிவுறுத்த|கட்டுப்பாடு
id: instruksi|aturan|perintah|batasan|prompt|pedoman|arahan|larangan
ms: arahan|peraturan|sekatan|prompt
tl: tagubilin|panuntunan|patakaran|utos|instruksyon|bilin
sw: maagizo|maelekezo|sheria|kanuni|amri|ulichoambiwa
vi: chi dan|huong dan|quy tac|quy dinh|menh lenh|chi thi|gioi han|prompt|luat le|lenh
th: คำสั่ง|กฎ|ข้อจำกัด|พรอมต์|คำแนะนำ|ข้อกำหนด|แนวทาง
zh: 指令|指示|规则|規則|规定|限制|提示词|提示詞|条条框框|要求|命令|准则|约束|系统提示|系統提示|设定
ja: 指示|ルール|規則|制限|プロンプト|命令|ガイドライン|制約|設定
ko: 지시|규칙|지침|제한|프롬프트|명령|제약|가이드라인
ca: instruccion|regles|norm|ordres|restriccion
""",
    "prior": r"""
en: previous|prior\b|above\b|earlier|preceding|so far|up to (?:now|here)|before this|you (?:were|have been|'ve been) (?:told|given)|original|initial|existing|up top|beginning of (?:this|our|the)|start of (?:this|our|the)|until now|from before|first message|at the top
de: vorherig|bisherig|obig|oben|fruher|ursprunglich|davor|zuvor|bislang|am anfang
fr: precedent|ci-dessus|avant|anterieur|d'origine|initial|jusqu'ici|au-dessus|plus haut|au debut
es: anterior|previ[ao]|de arriba|antes|hasta ahora|inicial|original|al principio|mas arriba
pt: anterior|previ[ao]|acima|antes|ate agora|inicia[il]|no inicio|original
it: precedent|sopra|prima|finora|inizial|original|all'inizio
nl: eerder|vorige|voorgaande|hierboven|bovenstaand|tot nu toe|oorspronkelijk|in het begin
pl: poprzedni|wczesniejs|powyzej|powyzsz|dotychczas|pierwotn|na poczatku
cs: predchoz|vyse|dosavadn|puvodn|drive|na zacatku
sk: predchadzajuc|vyssie|doteraj|doteraz|povodn
ru: предыдущ|прежн|ранее|выше|раньше|прошл|до этого|изначальн|исходн|в начале|до сих пор
uk: попередн|раніше|вище|досі|початков|на початку|перед цим
bg: предишн|по-горе|досегашн|преди
sr: prethodn|gore|ranij|претходн
hr: prethodn|gore|ranij
sl: prejsnj|zgornj|dosedanj
tr: onceki|yukarida|simdiye kadar|daha once|ilk|bastaki|evvelki
sv: tidigare|foregaende|ovan|hittills|ursprunglig|i borjan
da: tidligere|forrige|ovenfor|hidtil|oprindelig
nb: tidligere|forrige|ovenfor|hittil|opprinnelig
fi: aiem|edelli|ylla|tahan asti|alkuperai|aikaisem
et: eelnev|varasem|ulal
lt: ankstesn|auksciau|pirmesn
lv: ieprieksej|augstak|lidzsinej
hu: korabbi|elozo|fenti|eddigi|eredeti|fent|elejen
ro: anterio|precedent|de mai sus|pana acum|initial|inainte
el: προηγουμεν|παραπανω|μεχρι τωρα|αρχικ|πριν|πιο πανω
ar: السابق|أعلاه|قبل|سابقا|حتى الآن|الأصلي|الأولى|في البداية
he: קודמ|הקודמ|למעלה|לפני|עד עכשיו|עד כה|המקורי|בתחילת
fa: قبلی|بالا|پیشین|تا الان|تا حالا|اولیه|پیش از این
ur: پچھل|سابق|اوپر
hi: पिछल|पहले|ऊपर|अब तक|शुरुआत|pehle|upar|pichhl
bn: আগের|ওপরে|উপরে|পূর্বের|এতক্ষণ|শুরুতে
ta: முந்தைய|மேலே|முன்
id: sebelum|di atas|tadi|sejauh ini|awal|terdahulu|semula
ms: sebelum|di atas|terdahulu
tl: nauna|nakaraan|sa itaas|kanina
sw: awali|yaliyotangulia|ya juu|hapo juu
vi: truoc|phia tren|o tren|tu nay|ban dau|luc dau
th: ก่อนหน้า|ด้านบน|ข้างบน|ที่ผ่านมา|เดิม|ข้างต้น|ตอนแรก
zh: 之前|以上|先前|上面|上述|前面|此前|原来|最初|开头|开始时|原本
ja: これまで|以前|上記|今まで|上に|先ほど|元の|最初|前の|ここまで
ko: 이전|지금까지|위에|앞의|앞선|기존|원래|처음
ca: anterior|previ|de dalt|fins ara
""",
    "tell": r"""
en: show\b|reveal|print\b|repeat|output\b|paste\b|recite|dump\b|display|disclose|tell me|give me|write (?:out|down)|spell|quote\b|leak|translate (?:your|the)|summari[sz]e (?:your|the (?:text|message)s? (?:above|before))|list (?:your|all|every)|copy\b|echo\b|share (?:your|the)|what (?:is|are|were|'s|does) (?:in )?your|encode|read (?:me|out|aloud)|expose
de: zeig|verrat|nenn|wiederhol|schreib|druck|kopier|sag mir|zitier|ausgeben|wie lauten|liste|gib mir|gib aus|gib wieder|gib deine
fr: montre|revele|affiche|repete|recopie|ecris|donne|dis-?moi|colle|cite|imprime|divulgue|traduis|liste|transcri
es: muestra|muestrame|revela|repite|imprime|dime|escribe|pega|copia|dame|transcrib|enumera|traduce|cita|ensena
pt: mostr|revel|repet|imprim|diz|escrev|col(?:a|e)\b|copi|da-me|me de\b|transcrev|list(?:a|e)\b|traduz|cit(?:a|e)\b
it: mostra|rivela|ripet|stampa|dimmi|scriv|riscriv|incolla|copia|dammi|elenca|traduci|cita|trascriv
nl: toon|onthul|verklap|herhaal|print|geef|kopieer|schrijf|plak|noem|citeer|vertaal|laat zien|laat je|laat me
pl: pokaz|zdradz|powtorz|wypisz|podaj|przepisz|wklej|wyswietl|napisz|ujawnij|zacytuj|wymien|przetlumacz
cs: ukaz|prozrad|zopakuj|vypis|opis|vloz|napis|zobraz|rekni|cituj|preloz
sk: ukaz|prezrad|zopakuj|vypis|napis|zobraz|povedz
ru: покажи|раскрой|повтори|выведи|назови|перепиши|напиши|напечатай|скажи|скопируй|процитируй|перечисли|выдай|вставь|переведи|продиктуй|сообщи
uk: покажи|розкрий|повтори|виведи|назви|перепиши|напиши|скажи|скопіюй|процитуй|встав|видай|переклади
bg: покажи|разкрий|повтори|напиши|кажи|копирай|изпиши
sr: pokazi|otkrij|ponovi|ispisi|napisi|reci|prepisi|покажи|испиши
hr: pokazi|otkrij|ponovi|ispisi|napisi|reci|prepisi
sl: pokazi|razkrij|ponovi|izpisi|napisi|povej
tr: goster|acikla|tekrarla|yazdir|yaz\b|soyle|yapistir|kopyala|listele|ver\b|alintila|cevir|paylas
sv: visa|avsloja|upprepa|skriv|klistra|ge mig|kopiera|berätta|beratta|citera|lista
da: vis\b|afslor|gentag|skriv|giv mig|kopier|fortael
nb: vis\b|avslor|gjenta|skriv|gi meg|kopier|fortell
fi: nayta|paljasta|toista|tulosta|kirjoita|kerro|kopioi|liita|listaa|anna|luettele
et: naita|paljasta|korda|kirjuta|utle
lt: parodyk|atskleisk|pakartok|parasyk|pasakyk|isvardyk
lv: paradi|atklaj|atkarto|uzraksti|pasaki
hu: mutasd|aruld|ismeteld|ird|nyomtasd|mondd|masold|idezd|sorold|add meg
ro: arata|dezvalui|repeta|afiseaza|scrie|spune|copiaza|lipeste|da-mi|enumera|citeaza
el: δειξε|αποκαλυψε|επαναλαβε|εμφανισε|γραψε|πες|αντιγραψε|επικολλησε|δωσε
ar: اعرض|أظهر|اكشف|كرر|اطبع|اكتب|أعطني|انسخ|قل لي|أخبرني|اذكر|الصق|أرني|warreeny|2ooly
he: תראה|הצג|תגלה|גלה|תחזור|תדפיס|תכתוב|כתוב|תעתיק|תדביק|ספר לי|תגיד|תן לי|צטט
fa: نشون بده|نشان بده|فاش کن|تکرار کن|چاپ کن|بنویس|بگو|کپی کن|بده|لو بده
ur: دکھا|بتا|ظاہر کر|لکھ|دہرا
hi: दिखा|बता|दोहरा|लिख|छाप|चिपका|पेस्ट|उजागर|कॉपी|dikha|bata|likh|de de
bn: দেখাও|বলে দাও|লেখো|লিখে|পেস্ট|প্রকাশ|কপি|বলো|জানাও
ta: காட்டு|சொல்|எழுது|வெளிப்படுத்து
id: tunjukkan|tampilkan|ungkap|ulangi|cetak|tulis|kasih tahu|beri ?tahu|salin|tempel|sebutkan|berikan|bocorkan
ms: tunjukkan|dedahkan|ulang|tulis|beritahu|salin
tl: ipakita|ibunyag|ulitin|isulat|sabihin|kopyahin|ilabas|ibigay
sw: nionyeshe|onyesha|rudia|niandikie|andika|niambie|toa|nakili
vi: cho xem|tiet lo|lap lai|in ra|viet|noi cho|sao chep|chep lai|dan lai|hien thi|cho toi biet|liet ke|dich
th: แสดง|เปิดเผย|พิมพ์|บอก|คัดลอก|ขอดู|เขียน|ส่งมา|ทวน|วาง
zh: 显示|顯示|展示|告诉我|輸出|输出|打印|复制|複製|重复|贴出|貼出|发给我|写出|列出|透露|说出|念出|翻译|交出|公开|跟我說
ja: 見せて|表示|教えて|出力|書き出|貼って|繰り返|コピー|開示|列挙|読み上げ|漏ら|引用
ko: 보여|출력|알려|말해|복사|붙여넣|공개|반복|나열|적어|인용|읽어
ca: mostra|revela|repeteix|escriu|digues|copia|enganxa|dona'm
""",
    "send": r"""
en: forward\b|send\b|e-?mail (?:it|them|the|all|this|every|a copy)|upload|post (?:it|them|the|all|to)|transfer|exfiltrat|transmit|submit|publish|share (?:it|them|all|this|with)|bcc\b|cc\b|curl\b|wget\b|webhook|push (?:it|them|to)|deliver|hand (?:it|them|over)|wire\b|pay\b|call the tool|invoke|fetch\b
de: weiterleit|schick|send(?:e|en)\b|hochlad|ubermittl|uberweis|ubertrag|veroffentlich|poste|weiterleit|leite alle|leite die|lade hoch|leite jede
fr: transfere|transfert|envoie|envoyez|envoyer|telecharge|publie|transmets|transmettre|vire|virement|poste
es: reenvi|envia|enviar|envie|sube|subir|transfier|publica|manda|transmit
pt: encaminh|reencaminh|envi|carreg|transfer|publi|mand
it: inoltr|invia|mand|carica|trasferis|pubblica|trasmett|spedis|bonific
nl: stuur|verstuur|verzend|upload|doorstur|publiceer|plaats|doorstur|stuur alle|maak over
pl: przeslij|przekaz|wyslij|przeslac|wgraj|przelej|opublikuj|udostepnij
cs: preposli|posli|odesli|nahraj|preved|zverejni|predej
ru: перешли|отправь|отправить|пошли|вышли|загрузи|переведи|опубликуй|передай|выложи|продублируй|скинь
uk: перешли|надішли|відправ|завантаж|перекажи|опублікуй|передай|продублюй
tr: ilet|gonder|yonlendir|yukle|aktar|paylas|havale|yayinla
sv: vidarebefordra|skicka|ladda upp|overfor|publicera|dela
da: videresend|send\b|upload|overfor|offentliggor
nb: videresend|send\b|last opp|overfor|publiser
fi: laheta|lahetta|valita|lataa|siirra|julkaise|jaa
hu: tovabbit|kuld|tolts|utal|tedd kozze|oszd meg|add at
ro: redirection|trimite|expediaza|incarca|transfera|publica|partajeaza
el: προωθησ|στειλε|ανεβασε|μεταφερε|δημοσιευσε|κοινοποιησε|διαβιβασε
ar: حول|حوّل|أرسل|ارسل|ارفع|انقل|انشر|أعد توجيه|مرر|شارك|انسخ
he: תעביר|העבר|שלח|תשלח|תעלה|העלה|פרסם|תפרסם|שתף
fa: بفرست|ارسال کن|آپلود|منتقل کن|انتقال|واریز|منتشر
hi: भेज|अपलोड|ट्रांसफर|फॉरवर्ड|साझा|प्रकाशित|bhej|forward
bn: পাঠাও|পাঠিয়ে|আপলোড|ফরওয়ার্ড|স্থানান্তর|শেয়ার
id: teruskan|kirim|unggah|transfer|bagikan|publikasi|salurkan
vi: chuyen tiep|gui|tai len|chuyen khoan|chia se|dang|chuyen
th: ส่งต่อ|ส่ง|อัปโหลด|โอน|แชร์|เผยแพร่
zh: 转发|轉發|发送|發送|上传|上傳|转账|转给|发到|发给|寄到|抄送|提交|公布|推送
ja: 転送|送信|送って|アップロード|送金|投稿|共有|振り込
ko: 전달해|보내|전송|업로드|송금|공유|게시|이체
""",
    "user": r"""
en: the (?:user|customer|client|reader|human|owner|recipient|person|people|candidate|guest|patient|boss|operator)s?\b|users?\b|them\b|anyone|anybody|nobody|no one
de: (?:dem|den|der|die) (?:nutzer|benutzer|anwender|kund|leser)|nutzer|benutzer|niemand
fr: l'utilisat|utilisateur|le client|au client|la cliente|personne\b|l'usager
es: (?:al|el|la|los) (?:usuari|cliente)|usuari|nadie
pt: (?:ao|o|a) (?:usuari|utilizador|cliente)|usuari|utilizador|ninguem
it: (?:all'|l'|gli )utent|utente|(?:al|il) cliente|nessuno
nl: (?:de|aan de) (?:gebruiker|klant)|gebruiker|niemand
pl: uzytkowni|klient|nikomu
cs: uzivatel|zakazni|nikomu
ru: пользовател|клиент|никому|юзер
uk: користувач|клієнт|нікому
bg: потребител
sr: korisni|корисни
hr: korisni
tr: kullanici|musteri|kimseye
sv: anvandar|kunden|ingen\b
da: bruger|kunden|ingen\b
nb: bruker|kunden|ingen\b
fi: kayttaj|asiakkaa|kenellekaan
hu: felhasznalo|ugyfel|senkinek
ro: utilizator|clientu|nimanui
el: χρηστη|πελατη|κανεναν
ar: المستخدم|للمستخدم|العميل|الزبون|أحد|lel user
he: למשתמש|המשתמש|ללקוח|הלקוח|לאף אחד
fa: کاربر|مشتری|هیچ.?کس|به کسی
hi: उपयोगकर्ता|यूज़र|यूजर|ग्राहक|किसी को|user ko
bn: ব্যবহারকারী|গ্রাহক|কাউকে
id: pengguna|pelanggan|siapa pun|siapapun
ms: pengguna|pelanggan|sesiapa
tl: user|gumagamit|kanino
sw: mtumiaji|mteja|mtu yeyote
vi: nguoi dung|khach hang|khong ai|cho ai
th: ผู้ใช้|ลูกค้า|ใคร
zh: 用户|用戶|使用者|客户|客戶|任何人|别人
ja: ユーザー|利用者|お客|顧客|誰にも
ko: 사용자|고객|유저|아무에게도|누구에게도|이용자
ca: usuari|client|ningu
""",
    "machine": r"""
en: (?:an? |the |this |any |dear |hey |hi |hello |all |to |my )?(?:ai\b|a\.i\.|llms?\b|chat ?bots?|language models?|assistants?\b|bots?\b|agents?\b|copilot|models? (?:that|which|who|reading|processing|summari)|summari[sz]ers?|crawlers?|automated (?:reader|review|system)|robots?\b|gpt|ai-\w+|classifiers?|screening (?:tool|software|system)|(?:reading|grading|review|translat|screen|sort)\w* (?:machine|software|system|tool|bot|robot|model))
de: ki\b|ki-|kunstliche[rn]? intelligenz|assisten|chatbot|bot\b|sprachmodell|modell|agent|software|automatisch|maschine
fr: ia\b|l'ia|intelligence artificielle|assistant|chatbot|robot|modele|agent|logiciel|automatique
es: ia\b|inteligencia artificial|asistente|chatbot|bot\b|modelo|agente|sistema automatico|robot
pt: ia\b|inteligencia artificial|assistente|chatbot|bot\b|modelo|agente|robo\b|robot
it: ia\b|l'ia|un'ia|intelligenza artificiale|assistente|chatbot|bot\b|modello|agente|software
nl: ai\b|assistent|chatbot|bot\b|taalmodel|model\b|agent|software
pl: ai\b|si\b|sztuczn|asysten|chatbot|bot|model|agent|automat
cs: ai\b|umel|asisten|chatbot|bot|model|agent|nastroj
ru: ии\b|ии-|искусственн|ассистент|помощник|бот|модел|нейросет|агент|программ|робот
uk: ші\b|ші-|штучн|асистент|помічник|бот|модел|нейромереж|агент|програм
bg: изкуствен|асистент|бот|модел|агент
sr: vestack|asistent|bot|model|agent|вештачк|асистент
hr: umjetn|asistent|bot|model|agent
tr: yapay zeka|asistan|bot|dil model|model|ajan|yazilim|robot
sv: ai\b|ai:n|assistent|chattbot|bot|sprakmodell|modell|agent
da: ai\b|assistent|chatbot|bot|sprogmodel|model|agent
nb: ki\b|ai\b|assistent|chatbot|bot|sprakmodell|modell|agent
fi: tekoaly|avustaja|botti|botille|kielimalli|malli|agentti|ohjelma|assistent
hu: mesterseges|asszisztens|chatbot|bot|nyelvi modell|modell|ugynok|ai\b|mi\b
ro: ia\b|inteligent|asistent|chatbot|bot|model|agent
el: τν\b|τεχνητη|βοηθε|βοηθο|chatbot|μποτ|μοντελ|πρακτορ|ai\b
ar: الذكاء|ذكاء|المساعد|مساعد|روبوت|نموذج|النموذج|وكيل|الوكيل|البوت|بوت|للمساعد|للنموذج|لبرنامج
he: בינה|עוזר|לעוזר|בוט|לבוט|הבוט|מודל|למודל|המודל|סוכן|לסוכן|הסוכן|העוזר
fa: هوش مصنوعی|دستیار|ربات|بات|مدل|عامل|ایجنت
ur: مصنوعی ذہانت|اسسٹنٹ|بوٹ|ماڈل
hi: एआई|ai\b|सहायक|बॉट|मॉडल|एजेंट|असिस्टेंट|चैटबॉट
bn: এআই|সহকারী|বট|মডেল|এজেন্ট|সহায়ক
ta: செயற்கை|உதவியாளர்|மாதிரி
id: ai\b|asisten|bot\b|model|agen\b|kecerdasan buatan
ms: ai\b|pembantu|bot\b|model|ejen
tl: ai\b|assistant|katulong|bot\b|modelo
sw: akili bandia|msaidizi|roboti|modeli
vi: ai\b|tro ly|chatbot|bot\b|mo hinh|tac nhan|tac tu
th: เอไอ|(?:^|[^a-z])ai(?:$|[^a-z])|ผู้ช่วย|บอท|บอต|โมเดล|เอเจนต์|แชตบอต
zh: 人工智能|智能体|助手|助理|机器人|機器人|模型|(?:^|[^a-z])ai(?:$|[^a-z])|代理|智能助
ja: (?:^|[^a-z])ai(?:$|[^a-z])|アシスタント|ボット|モデル|エージェント|人工知能
ko: (?:^|[^a-z])ai(?:$|[^a-z])|인공지능|어시스턴트|봇|챗봇|모델|에이전트|비서|도우미
ca: ia\b|assistent|bot\b|model\b|agent
""",
    "you": r"""
en: you\b|your\b|yourself|u\b|ur\b
de: du\b|dein|dir\b|dich\b
fr: tu\b|ton\b|tes\b|toi\b
es: tu\b|tus\b|eres\b|usted
pt: voce|tua\b|teu\b|tuas\b|seu\b
it: tu\b|tuo|tue|tua\b|sei\b
nl: je\b|jij\b|jouw
pl: ty\b|twoj|swoj|jestes
cs: ty\b|tvoj|tve\b|svoj|jsi\b
ru: ты\b|твой|твои|тебя|тебе|свои
uk: ти |твої|тебе|тобі|свої
tr: sen\b|senin|sana\b
sv: du\b|din\b|dina\b
fi: sina\b|sinun|sinulle
hu: te\b|neked|tied
ro: tu\b|tau\b|tale\b|esti\b
el: εσυ|σου\b
ar: أنت|عليك|لديك
he: אתה|שלך
fa: تو |خودت|شما
hi: तुम|आप|अपने|अपना
bn: তুমি|তোমার|আপনি
id: kamu|anda|mu\b
vi: ban\b
th: เธอ|คุณ
zh: 你|您
ja: あなた|君は|お前
ko: 너는|너의|네가|당신
""",
}

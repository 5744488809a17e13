"""An insult and profanity screen: it knows words and a little of what stands around them, and no more.

It does not know what is meant. Contempt in polite words passes, and a friend's rough joke may not. A word counts by how
strong it is, more where somebody is spoken to close by, less where it is quoted, asked about or said of oneself, and
words that are also animals, tools or names count only where they are aimed at someone. Scores are of sentences; a
text's is that of its worst one.

The lexicon is in `LEXICON`, a language a line and class: `stem~ending,ending` stands for the stem and each form.
"""

# ruff: noqa: E501  the lexicon is read by language, a line each

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

import re2

from sekimori.guard.examine import Scored
from sekimori.guard.scan import listed
from sekimori.guard.spans import Detector, Match

CHECK: Final = "toxic_content"
TOXIC_FROM: Final = 0.6
"""The score from which a text fails: at most 2 % of the clean rows of training/dev/toxic-*.jsonl reach it."""
SENTENCE: Final = 1024
"""Characters that are judged together; a longer sentence is judged piece by piece."""
BOUND: Final = 1024 * 1024
"""Characters of a text that are read."""

# strong: slurs and words that are meant to wound whoever hears them. rude: profanity. insult: what calls a person
# stupid, ugly or worthless. other: words that are insults only where they are aimed at someone.
LEXICON: Final = """
en strong: motherfuck~er,ers,ing,a,as cunt~s,y nigger~s nigga~s,z kike~s spic~s chink~s gook~s wetback~s raghead~s paki~s
en strong: faggot fag~s dyke~s tranny~ trannies fucktard~s libtard~s whore~s slut~s,ty cocksuck~er,ers,ing kys
en strong: dickhead~s shithead~s arsehole~s asshole~s asshat~s dumbass~es jackass~es dipshit~s shitbag~s fuckface fuckwit~s
en strong: twat~s wanker~s tosser~s bellend~s scumbag~s douchebag~s dumbfuck~s cumdump skank~s,y
en strong: subhuman~s inbred~s bitchass shitstain~s knobhead~s fuckhead~s thundercunt cuntface gobshite~s
en rude: fuck~s,ed,er,ers,in,ing,off,up fck fcking fkn fking fuk fuking effing wtf stfu gtfo bullshit~ter shit~s,ty,te,tier,show piss~ed
en rude: goddamn~ed bollocks crap~py arse~s arsed bloody bitching bugger~s,ed pissoff shite
en insult: idiot~s,ic moron~s,ic imbecile~s stupid~er,ity,est dumb~er,est dimwit~s,ted halfwit~s nitwit~s numbskull~s dunce~s
en insult: loser~s pathetic worthless scum filth vermin disgusting revolting repulsive fatso fatty lardass ugly creep~s,y freak~s
en insult: brainless brainlet braindead spineless coward~s liar~s parasite~s lowlife~s trash garbage clown~s imbecilic cretin~s
en insult: bastard~s prick~s retard~s,ed degenerate~s douche~s simpleton~s buffoon~s dullard~s airhead~s muppet~s twit~s git pillock~s plonker~s prat~s numpty hag~s pig~s
en insult: incompetent useless disgrace psycho~s lunatic~s maggot~s worm~s leech~es weasel~s vile
en strong: arselicker~s asslicker~s bootlicker~s brownnoser~s cockwomble~s shitgibbon~s fucknut~s fuckstick~s shitforbrains nutsack
en insult: nutjob~s nutcase~s wimp~s wimpy scrote~s jerk~s dolt~s oaf~s blockhead~s bonehead~s meathead~s pinhead~s dipstick~s
en insult: hypocrite~s weirdo~s deadbeat~s crybaby crybabies snowflake~s coward cowardly ratbag~s
en insult: minger~s munter~s chav~s hideous wretch~es wretched sleazebag~s scumbucket slimeball~s slimy crook~s
en other: bitch~es,y cock~s dick~s ass~es pussy~ pussies cow~s dog~s donkey~s rat~s snake~s tit~s tart~s tramp~s hoe~s fool~s knob~s
en other: sheep monkey~s ape~s goat~s toad~s slob~s witch~es turd~s shrew~s
de strong: arschloch~s arschlöcher~n hurensohn~s,es hurensöhne fotze~n wichser~s,n missgeburt~en fickfehler schlampe~n nutte~n
de strong: drecksau drecksack scheißkerl~e spast~i,en,is mongo~s vollidiot~en kanake~n missgeburt untermensch~en
de strong: dreckskerl~e arschgeige~n pisser schwuchtel~n hure~n neger~s mistkerl~e hackfresse~n
de rude: scheiße scheiss~e,en,t,er scheiß~t,en,er fick~en,t,st,dich,er verfickt~e,er,en,es verdammt~e,er,es verpiss~t,en kacke arsch leck
de insult: bastard~e idiot~en,isch trottel~n depp~en volldepp~en dumm~e,er,es,en,kopf blöd~e,er,es,mann blödmänner dummkopf~s schwachkopf~s
de insult: versager~s,n penner~s,n loser~n hohlkopf~s abschaum ekelhaft~e,er erbärmlich~e,er,es widerlich~e,er fettsack~s fettwanst
de insult: hässlich~e,er,es,en flachpfeife~n vollpfosten~s lügner~in,s feigling~e hirnlos~e,er,es pfeife saftsack~s zicke~n
de other: schwein~e esel~s kuh ziege~n hund~e sau affe~n ratte~n würmer hexe~n
fr strong: connard~s connasse~s conasse~s salope~s salaud~s pute~s putain~s enculé~s,e,es encule~r fdp bâtard~s,e pédé~s tapette~s
fr strong: enfoiré~s,e,es pouffiasse~s ordure~s bougnoule~s négro~s youpin~s trouduc mongol~s,ien
fr rude: merde~s,ux foutre bordel chier chiant~e,es fait niquer nique~r,z emmerde~r,s,nt couille~s cul
fr insult: con~s,ne,nes idiot~s,e,es débile~s imbécile~s abruti~s,e,es crétin~s,e,es stupide~s bouffon~s,ne minable~s moche~s
fr insult: dégueulasse~s nul~le,s,les taré~s,e,es raclure~s déchet~s loser~s tocard~s,e naze~s andouille~s gland~s crevard~s
fr other: chien~s,ne,nes porc~s cochon~s,ne vache~s âne~s truie~s rat~s singe~s
es strong: hijoputa~s hijueputa hijodeputa puta~s puto~s cabrón cabrones cabrona~s gilipollas gonorrea malparido~s,a,as maricón maricones
es strong: pendejo~s,a,as zorra~s mamón mamones hdp carajo~s subnormal~es mongólico~s,a malnacido~s,a culero~s,a sudaca~s
es rude: mierda~s joder jodido~s,a,as jódete jodete coño~s chingar chinga~da,do,te,r verga~s follar cojones puñetero~s,a cagar~la
es insult: idiota~s imbécil~es estúpido~s,a,as tonto~s,a,as tarado~s,a,as bobo~s,a inútil~es payaso~s,a basura~s asqueroso~s,a,as
es insult: feo~s,a,as gordo~s,a,as fracasado~s,a,as cretino~s,a capullo~s boludo~s,a,as pelotudo~s,a,as güey~es miserable~s escoria
es insult: patético~s,a ridículo~s,a gusano~s imbecilidad baboso~s,a huevón huevones
es other: perra~s burro~s,a cerdo~s,a,as rata~s vaca~s mula~s bestia~s asno~s
pt strong: filhodaputa fdp puta~s puto~s caralho~s arrombado~s,a,as cuzão viado~s vadia~s vagabunda~s corno~s buceta~s desgraçado~s,a,as
pt strong: otário~s,a,as babaca~s cabrão cabrões piranha~s retardado~s,a,as paneleiro~s
pt rude: merda~s foda~se,r,s fodido~s,a foder porra~s bosta~s cacete cagar vtnc vsf pqp
pt insult: idiota~s imbecil imbecis burro~s,a,as estúpido~s,a,as inútil inúteis lixo palhaço~s,a nojento~s,a,as ridículo~s,a feio~s,a
pt insult: trouxa~s besta~s canalha~s parvo~s,a escroto~s,a cretino~s,a fracassado~s,a,as patético~s,a verme~s mané~s gorda gordo
pt other: vaca~s cachorro~s,a,as porco~s,a jumento~s galinha~s égua macaco~s,a
it strong: stronzo~ stronzi stronza stronze vaffanculo coglione~ coglioni troia troie puttana puttane bastardo bastardi bastarda
it strong: figliodiputtana frocio froci ricchione zoccola zoccole mongoloide mongoloidi testadicazzo merdaccia mignotta mignotte
it rude: cazzo cazzi cazzata cazzate merda merde fanculo incazzato porcodio fottiti fottuto fottuta minchia culo rompicoglioni
it insult: idiota idioti imbecille imbecilli stupido stupida stupidi stupide cretino cretina cretini deficiente deficienti scemo scema
it insult: scemi fallito fallita schifoso schifosa ritardato ritardata buffone pagliaccio inutile verme feccia ridicolo brutto brutta
it other: cagna cagne asino asini porco porci maiale maiali vacca vacche scimmia bestia
nl strong: klootzak~ken kutwijf kankerlijer~s kankerhoer hoer~en hoerenzoon teringlijer tyfuslijer mongool mongolen eikel~s lul~len
nl strong: flikker~s slet~ten trut~ten klojo~s mietje rotwijf kutkop kankerhond
nl rude: kut kanker~en tering tyfus godverdomme verdomme shit neuken fuck opgeflikkerd oprotten rot opzouten flikker schijt
nl insult: idioot idioten debiel~en imbeciel~en stom~me,meling sukkel~s dom~me,kop,oor loser~s achterlijk~e,en lelijk~e waardeloos
nl insult: waardeloze zak~kenwasser mafkees sufferd~s walgelijk~e mislukkeling~en nietsnut~ten viezerik onbenul~len dikzak
nl other: ezel~s varken~s koe hond~en rat~ten aap zeug
sv strong: fitta~n,or hora~n,or jävel~n kuksugare rövhål~et svin~et bög~jävel fittfan kärring~en mongo cp äckel idiotjävel
sv rude: fan jävla jävlar helvete förbannat förbannade skit~en knulla kuk~en satan röv
sv insult: idiot~en,er dum~ma,t,bom,skalle korkad~e,t patetisk~t,a äcklig~t,a värdelös~a,t ful~a,t miffo fegis kräk tönt~ig,en,ar
sv other: ko kossa åsna~n get råtta hund subba~n
da strong: kælling~en røvhul~let luder~et svin~et fisse~n so kusse bøsserøv perker~e spasser~e mongol idiotsvin skiderik
da rude: fanden fuck lort~et pis~s kraftedeme kneppe helvede satan røv pik
da insult: idiot~en,er dum~me,t,hed klaphat taber~e tåbe~r ynkelig~t,e klam~me latterlig~t,e grim~me,t værdiløs~t,e åndssvag~t,e fjols
da other: æsel ko gris~e ged hund
no strong: fitte~tryne hore~r,unge rasshøl drittsekk~er kjerring svin jævel helvete~s mongo hestkuk morrapuler
no rude: faen forbanna fy~faen jævla dritt knull pikk satan
no insult: idiot~en,er dum~me,t,ming tulling~er,en patetisk teit~e,ing taper~e,en ekkel~t stygg~e,t verdiløs~t,e dust~en,er
fi strong: huora~t,n vittupää kusipää~t mulkku~t paskiainen paskiaiset homo~t ämmä~t kyrpä~t runkkari~t nekru~t ryssä
fi rude: vittu~a,n,jen perkele~en saatana~n paska~n,a,t helvetti helvetin jumalauta haista perse~en
fi insult: idiootti~n idiootit tyhmä~t,n ääliö~t,n urpo~t luuseri~t säälittävä~t vammainen ruma~t hullu~t inhottava~t pelle~t,n surkea~t
fi other: sika~t lehmä~t aasi~t apina~t rotta~t
pl strong: kurwa~mi kurwy kurwo kurwę skurwysyn~u,y,em,ie skurwiel~u chuj~u,a,em,owy,e huj cipa cipo cipę pizda pizdo jebany jebana jebane
pl strong: spierdalaj~cie wypierdalaj~cie dziwka dziwko dziwki zjeb~ie,y,em pedał~e,y ciota cioto szmata szmato szmaty pojeb~ie,any,ana
pl strong: sukinsyn~u,y gnój gnoju śmieciu debilu kretynie
pl rude: gówno gówna gówniany dupa dupy dupę pierdol~ę,ić,ony,ona,isz jebać cholera cholerny cholerna zajebany gówniarz~u zasrany
pl insult: idiota idioto idiotka idiotko idioci kretyn~ka,i,ko debil~e,ka,i,em głupi~a,e,ec,cze,ku głupek tępy tępa tępak~u matole matoł
pl insult: durniu dureń żałosny żałosna bezużyteczny bezużyteczna nieudacznik~u obrzydliwy brzydki brzydka baran~ie kłamca frajer~ze,zy
pl insult: pajac~u śmieć zero ścierwo palant~cie palancie
pl other: suka suko świnia świnio krowa krowo osioł ośle pies psie małpa małpo żmija
cs strong: kurva kurvo kurvy píča píčo pičo čurák čuráku čůrák zmrd~e,i kokot~e,i zkurvysyn~e debil~e,i,ka hajzl~e,u mrdka buzerant~e kreténe
cs strong: děvka děvko svině parchant~e jebat
cs rude: hovno sračka prdel~e do~prdele srát jebat seru zasraný zasraná sakra kurevsky nasrat vyser
cs insult: idiot~e,i,ka,ko blbec blbče blbci blbý blbá kretén~i hlupák~u pitomec pitomče pitomá trapný trapná ubožák~u tupec tupče
cs insult: ošklivý ošklivá odporný odporná lhář~i nula vemeno imbecil~e
cs other: vůl kráva krávo osel osle prase čubka svin
ru strong: сучара блядь блять бля блядина бляди хуй хуя хуе~сос,вый хуйло хуесос~ы,ом пизда пиздец пиздюк ебан~ый,ая,ое,ат,ько
ru strong: ебать ебал ебло уебок уёбок уебище уёбище ублюдок ублюдки ублюдка мразь мрази мразью тварь твари пидор~ы,ас,асы пидорас педик~и гандон~ы гондон~ы
ru strong: шлюха шлюхи шалава шалавы долбоёб долбоеб~ы,ом мудак~и,а,ом мудила мудозвон чмо дебил~ы,а,ом,ка выблядок хач~и жид~ы даун~ы,ом
ru strong: заткнись заткнитесь сдохни сдохните нахуй похуй отъебись пошелнахуй ебаный
ru rude: дерьмо дерьма говно говна срань жопа жопу жопы черт хрен хреново нахер нахрен пофиг гавно задница насрать
ru insult: идиот~ы,а,ка,ом,ский кретин~ы,ка,ом тупой тупая тупые тупица тупого тупиц дурак~и,а,ом дура дуры дебильный тупорылый тупорылая
ru insult: придурок придурки придурка болван~ы,ом ничтожество ничтожества урод~ы,а,ом,ина уродина лох~и,ом неудачник~и жалкий жалкая бездарь бездари
ru insult: мерзкий мерзкая отвратительный подонок подонки скотина скоты сволочь сволочи гад~ы,ина гнида гниды отброс~ы бестолочь лжец трус~ы имбецил~ы
ru insult: овощ отстой позорище
ru other: сука суки суке сучка козел козёл козлы осел осёл баран~ы,ом свинья свиньи корова корову собака шавка крыса животное обезьяна
uk strong: курва курви хуй хуйло їбан~ий,а,е єбан~ий,а блядь блядина підор~и,ас підорас пізда уїбок виблядок мудак~и шльондра падлюка
uk strong: мразота покидьок гандон чмо виродок шмара дебіл~и,ом,ка заткнись здохни
uk rude: лайно гівно гівна срака сраку дідько хрін нахуй насрати
uk insult: ідіот~и,ка,ом кретин~и,ка дурень дурні дурна дурний тупий тупа тупі телепень йолоп~и,ом бовдур~и нікчема нікчемо потвора огидний огидна
uk insult: придурок придурки недоумок недоумки бидло сволота негідник
uk other: сука суки козел свиня корова осел баран собака
bg strong: курва курви кучка путка педераст~и копеле~та мръсник~о педал~и хуй шибан~ияк,яци,а духач ебаси шибаняк майната циганин~
bg rude: лайно лайна мамка~ти ебати дупе говно мамицата шибан гъз
bg insult: идиот~и,ка глупак~о,ци тъпак~о,ци тъп~а,о,и кретен~и,ка дебил~и боклук~о,ци нещастник~о простак~о,ци жалък жалка грозен грозна тъпанар~и
bg other: свиня крава магаре прасе овца говедо
sr strong: kurva kurvo kurve pička pičko picka picko pičke kurac jebem jebeni jebena jebote drolja droljo govno govnar kreten~u,i,ka đubre djubre peder~u,i
sr strong: курва курво пичка пичко курац јебем јебени дроља говно кретен~у,и ђубре педер~у,и кучкин кучко стоко
sr rude: sranje sranja jebi~ga,se jebiga dupe serem sereš јебига срање дупе сереш
sr insult: idiot~e,i,kinja budala budalo budale glup~a,o,i,ane glupan~e,i glupača debil~u,i,ka majmun~e ružan ružna ološ bednik~u bedniče
sr insult: идиот~е,и,е будала будало будале глуп~а,и,ане глупан~е,и дебил~у,и мајмуне олош бедниче
sr other: kučka kučko svinja svinjo krava kravo magarac magarče konju stoka stoko свиња свињо крава краво магарац магарче
ro strong: curvă curva curve curvo târfă târfa pizdă pizda pulă pula muie muist~ule handicapat~ule jegos poponar bulangiu jigodie jigodia javră
ro strong: nenorocit~ule,a,ă cretin~ule,i,ă,a dobitoc~ule,i retardat~ule,ă lepră scârbă împuțit~ule
ro rude: rahat căcat cacat futu~i,ți fut futut~ă,e naiba dracu dracului laba cur
ro insult: idiot~ule,i,ă,oaico,oată prost~ule,i,ă,ănac imbecil~ule,i,ă tâmpit~ule,ă,ți,a fraier~ule,i ratat~ule,ă urât~ă,ule jalnic~ă gunoi~ule mincinos
ro insult: nesimțit~ule,ă ticălos~ule bou~le
ro other: vacă vaca porc~ule,i măgar~ule,i câine javra scroafă
hu strong: kurva kurvák kurvát geci fasz~fej,kalap,szopó,om buzi~k,t köcsög~ök picsa pina ribanc~ok szemétláda rohadék~ok szarházi mocsok cigány~ok szopd
hu strong: anyád kurvaanyád bazdmeg baszdmeg basszameg faszfej
hu rude: szar~t,ok,ja fos segg~ed,fej baszd basz~ki,ott,ik fene francba picsába faszom szaros
hu insult: idióta idióták hülye hülyék hülyéje barom barmok balfasz~ok balfék ostoba ostobák buta buták ronda undorító szánalmas nyomorult~ak senkiházi
hu insult: kretén~ek debil~ek majom marha féreg selejt lúzer~ek
hu other: disznó tehén szamár kutya birka ribi
el strong: μαλάκας μαλάκα μαλάκες πουτάνα πουτάνες καριόλη~ς καριόλα πούστη~ς γαμημένε γαμημένη γαμώ γαμήσου αρχίδι αρχίδια μουνί μουνόπανο κωλόπαιδο
el strong: τσούλα παλιοπουτάνα καθίκι μπάσταρδε μπάσταρδος σκρόφα μαλακισμένε μαλακισμένη
el rude: σκατά σκατό γαμώτο κώλο κωλο διάολο χέσε
el insult: ηλίθιε ηλίθιος ηλίθια ηλίθιοι βλάκα βλάκας βλάκες βλαμμένε βλαμμένος χαζέ χαζός χαζή άχρηστε άχρηστος άχρηστη κρετίνε σκουπίδι σκουπίδια αξιολύπητε
el insult: κάθαρμα γελοίε γελοίος γελοία τούβλο άσχημη άσχημος αηδιαστικέ αηδία ζώον
el other: γάιδαρε γάιδαρος γουρούνι σκύλα σκύλε αγελάδα βόδι
tr strong: orospu~nun,lar,çocuğu siktir~in,git,lan amk aq piç~ler,i ibne~ler,si yarrak yavşak~lar pezevenk~ler götveren göt~ün,lek amcık kahpe~nin,ler oç
tr strong: şerefsiz~ler,sin kaltak~lar sürtük~ler puşt~lar gavat~lar sikeyim sikerim sikik anan~ı ananı namussuz
tr rude: bok~tan,u lanet sıç~tın,mak siktim kahretsin allahın~belası
tr insult: aptal~sın,lar,ca salak~sın,lar gerizekalı~sın,lar gerizekâlı mal~sın,lar ahmak~sın,lar beyinsiz~sin,ler dangalak~lar embesil~ler rezil~sin,ler iğrenç~sin
tr insult: ezik~sin,ler haysiyetsiz alçak~sın,lar kafasız budala~sın,lar çirkin~sin zavallı~sın yalancı~sın soytarı öküz~sün,ler
tr other: eşek~sin,ler köpek~sin,ler it domuz~sun,lar inek hayvan~sın,lar
id strong: bangsat~lah kontol~lo memek jancok jancuk ngentot lonte~mu pelacur bajingan~lah asu perek brengsek~lah keparat pepek puki~mak pantek
id rude: tai tahi sialan sial taik kampret persetan
id insult: goblok~lu tolol~lu bodoh~nya,mu bego dungu idiot~lu sampah~lu pecundang bloon jelek menjijikkan gila~lu otak~udang payah biadab jahanam
id other: anjing~lah,lu monyet~lu kerbau keledai ular anjingmu tikus
vi strong: địt đụ đéo lồn cặc đmm dmm vcl vkl đm clgt
vi insult: ngu đần khốn ngốc
vi other: chó lợn bò
tl strong: putangina tangina puta~ng gago~ng gaga puking kingina pakshet punyeta pokpok leche hayop hinayupak tarantado ulol~in bwisit
tl insult: tanga bobo~ng inutil pangit~mo,ka engot walanghiya basura kupal~ka gunggong estupido
tl other: baboy aso unggoy hayop
"""

# Scripts whose words are written together, or whose letters are written in several characters: each entry is looked for
# as a part of the text, in the first group only where a word begins and ends. `_` is a space.
PARTS: Final = """
ar word strong: شرموطة شرموط قحبة منيوك كسمك كس_امك كس_أمك ابن_الكلب يا_ابن_الكلب عاهرة خنيث ابن_الحرام يا_حيوان يا_كلب يا_حمار يا_خنزير أنت_حمار انت_حمار
ar word insult: غبي غبية أغبياء الأغبياء أحمق احمق حمقى تافه حقير قذر معتوه أبله متخلف سافل كذاب يا_قمامة زبالة وقح منحط يا_فاشل اخرس
fa word strong: کسکش کس‌کش جنده کونی حرومزاده حرامزاده مادرجنده خارکسه کیرم گاییدم پدرسگ بی‌ناموس بیناموس پدر_سگ بی_شرف بیشرف دیوث لاشی خر_نفهم
fa word insult: احمق بی‌شعور بیشعور بی_شعور نفهم ابله کودن آشغال عوضی بی‌عرضه بی_عرضه گمشو خفه_شو خاک_بر_سرت
he word strong: זונה זונות בן_זונה בת_זונה שרמוטה כוסאמק כוס_אמק מניאק לך_תזדיין תזדיינו בן_כלב יא_כלב יא_זבל מזדיין
he word insult: מטומטם מטומטמת מטומטמים טיפש טיפשה אידיוט אידיוטית מפגר מפגרת דפוק דפוקה חתיכת_זבל סתום_את_הפה דביל יא_אפס יא_עלוב
hi word strong: मादरचोद भोसड़ी भोसडी बहनचोद चूतिया चुतिया चूतिये रंडी हरामी हरामज़ादे हरामजादे गांडू कुत्ते_की_औलाद कमीने कमीना लौड़े सुअर_की_औलाद
hi word insult: बेवकूफ बेवकूफ़ मूर्ख गधे_हो निकम्मे निकम्मा नालायक बदतमीज़ बदतमीज उल्लू_के_पट्ठे उल्लू_का_पट्ठा पागल_हो_क्या मूर्खों
bn word strong: খানকি মাগি হারামি হারামজাদা চুদি বেশ্যা কুত্তার_বাচ্চা শুয়োরের_বাচ্চা
bn word insult: বোকা গাধা মূর্খ ছাগল অপদার্থ বেয়াদব নির্বোধ বদমাশ
zh part strong: 傻逼 傻屄 煞笔 操你 草泥马 肏 他妈的 你妈逼 你妈的 去死 婊子 贱人 贱货 狗日的 王八蛋 混蛋 杂种 狗东西 滚蛋 脑残 人渣 死全家 妈逼 傻叉 骚货 狗娘养 去你妈 幹你娘 垃圾东西 龟儿子 烂货 贱狗 王八羔子 仆街 冚家铲
zh part insult: 白痴 蠢货 蠢猪 笨蛋 废物 弱智 智障 神经病 丑八怪 没用的东西 闭嘴 脑子有病 脑子进水 不要脸 死肥 猪脑 窝囊废 没教养 恶心的人
ja part strong: 死ね 氏ね くたばれ クソ野郎 くそ野郎 糞野郎 ゴミ野郎 クズ野郎 やりまん ヤリマン キチガイ きちがい ぶっ殺 殺すぞ 売女 淫売 死んでくれ
ja part insult: 馬鹿野郎 バカ野郎 ばか野郎 馬鹿か バカか ばかか このバカ この馬鹿 お前はバカ 大馬鹿 アホか あほか このアホ 阿呆 役立たず 間抜け マヌケ 黙れ だまれ 能無し ボケナス 頭おかしい ろくでなし クソが 頭が悪い ゴミだな 消えろ
ko part strong: 씨발 씨팔 ㅅㅂ ㅆㅂ 병신 븅신 ㅂㅅ 개새끼 개새키 새끼야 이새끼 미친놈 미친년 지랄 좆 엿먹어 꺼져 창녀 닥쳐 뒈져 개같은 느금마 니애미
ko part insult: 멍청이 멍청한 멍청아 바보야 바보냐 바보같은 쓰레기야 쓰레기같은 쓰레기_같은 한심한 머저리 얼간이 쓸모없는 또라이 돌대가리
th part strong: ควย เหี้ย ไอ้สัส อีดอก กะหรี่ เย็ดแม่ ส้นตีน ไอ้สัตว์ อีสัตว์ พ่อมึง แม่มึง ชาติหมา อีตัว ไอ้ชั่ว ไอ้ควาย อีควาย
th part insult: ไอ้โง่ อีโง่ โง่เง่า ปัญญาอ่อน ไอ้บ้า อีบ้า สารเลว น่าสมเพช หน้าโง่ มึงโง่ สมองหมา ขยะสังคม หุบปาก ไสหัวไป
"""

# Phrases: what is said with harmless words.
PHRASES: Final = (
    (0.9, r"(?:go |just |please )?(?:kill|hang|off|drown|shoot) (?:yourself|urself|ur self|yourselves)"),
    (0.9, r"(?:i )?hope (?:you|u|they|your \w+)(?: all)? (?:die|dies|rot|rots|burn|burns|choke|chokes|suffer|get cancer|get hit)"),
    (0.9, r"(?:you|u)(?: all)? (?:should|deserve to|need to|ought to)(?: just| really| all)? (?:die|be dead|be shot|be hanged|hang)"),
    (0.85, r"(?:drop dead|go to hell|rot in hell|burn in hell|eat shit|eat a dick|suck my|suck it|blow me|fuck off|piss off|sod off|bugger off|get stuffed|get bent|screw you|up yours|fuck you|fuck u)"),
    (0.85, r"(?:piece|sack|pile|load|bag) of (?:shit|crap|garbage|trash|filth|scum)"),
    (0.8, r"(?:waste|thief) of (?:space|oxygen|air|skin|human|breath)"),
    (0.8, r"(?:nobody|no one|noone)(?: in \w+| here| \w+ \w+ \w+)? (?:likes|loves|wants|cares about|would miss) (?:you|u)"),
    (0.8, r"(?:you|you're|youre|u|ur|you are)(?: all| such| just| really| literally)? (?:a |an )?(?:sick|filthy|vile|nasty|dirty|fat|ugly|lying|sad|old|little|disgusting|pathetic|miserable|stinking)(?: \w+){0,2} (?:animal|pig|cow|creature|excuse|thing|rat|snake|dog|thief|man|woman|person|hag|brat|beast)"),
    (0.75, r"(?:shut (?:the (?:fuck|hell|heck|f\*+k) )?up (?:you|and|already|idiot|stupid|moron)|shut the \w+ up|shut your (?:\w+ )?(?:mouth|face|trap|hole|gob))"),
    (0.75, r"(?:brain ?dead|dumb as|thick as|too (?:stupid|dumb|thick) to|brains? of a|iq of|excuse for a (?:human|man|woman|person|mother|father))"),
    (0.75, r"(?:son|sons|daughter) of (?:a |the )?(?:bitch|whore|pig|dog)"),
    (0.75, r"(?:people|someone|anyone|scum|idiots|your kind|your lot) like (?:you|u) (?:should|shouldn't|don't deserve|deserve|are why|make me)"),
    (0.7, r"(?:what's|whats|what is|wtf is|the hell is) wrong with (?:you|u)\b"),
    (0.7, r"(?:crawl back (?:to|into|in|under)|go back to (?:your (?:own )?country|your hole|where you (?:came|come) from))"),
    (0.7, r"(?:leck mich|halt(?:'s| die| dein) (?:maul|fresse|klappe)|fick dich|verpiss dich|geh sterben|du bist (?:so )?(?:ein |eine )?(?:dumm|blöd|dreck|nichts|abschaum))"),
    (0.8, r"(?:ta gueule|ferme[ -]la|va te faire|nique ta|fils de pute|casse[ -]toi|va mourir|sale (?:con|pute|merde|chien|arabe|juif|noir|race|pd))"),
    (0.8, r"(?:hijo de (?:puta|perra)|hija de puta|vete a la (?:mierda|verga)|que te (?:jodan|den|follen)|chinga tu|la concha de|cállate la boca|pedazo de|ojalá te mueras|muérete|puta madre)"),
    (0.8, r"(?:filh[oa] da puta|vai (?:se foder|tomar no cu|à merda|pro inferno|morrer)|cala a boca|vai te foder|tomar no cu|pau no cu|puta que)"),
    (0.8, r"(?:figlio di puttana|figli di puttana|testa di cazzo|pezzo di merda|va(?:i)? a(?:l)? (?:quel paese|cagare|fanculo)|chiudi (?:il becco|quella bocca)|faccia di merda|vai a morire|sei (?:un |una )?(?:merda|schifo))"),
    (0.8, r"(?:krijg de|rot op|hou je (?:bek|kop|muil)|flikker op|val dood|steek het in je|donder op)"),
    (0.8, r"(?:dra åt helvete|håll (?:käften|truten)|far åt helvete|hold (?:kæft|kjeft)|skrid ad helvede|dra til helvete|haista (?:vittu|paska)|turpa kiinni|painu (?:vittuun|helvettiin)|tapa itsesi)"),
    (0.8, r"(?:zamknij (?:się|mordę|ryj)|odpierdol się|pocałuj mnie w|idź w chuj|zdechnij|drž (?:hubu|tlamu)|jdi do (?:prdele|píče|hajzlu)|táhni do|polib mi)"),
    (0.85, r"(?:пош[её]л (?:ты |вон|на|в)|пошла (?:ты |вон|на|в)|иди (?:ты )?(?:на ?хуй|нахуй|в жопу|к черту|к чёрту)|заткни(?:сь| пасть| рот)|закрой (?:рот|пасть|ебало)|чтоб ты сдох|убей себя|убейся|сын шлюхи|твою мать|йди (?:на ?хуй|в сраку|до біса)|пішов (?:ти |на|вон|геть)|стули пельку|закрий рота)"),
    (0.8, r"(?:майната ти|да ти еба|затвори си устата|мамка ти|јебем ти|jebem ti|mrš u|марш у|goni se|одјеби|odjebi|idi u (?:kurac|pičku)|du-te (?:dracu|naibii|în)|să-mi (?:sugi|bag)|taci (?:dracu|din gură)|menj a (?:picsába|francba|pokolba|fenébe)|kapd be|fogd be|pofa be|dögölj meg)"),
    (0.8, r"(?:άντε (?:γαμήσου|και|πνίξου|χέσου)|σκάσε|βούλωσ[ετ]|ψόφα|siktir git|defol git|kapa çeneni|geber|cehenneme git|kes sesini|anasını sik|beynin yok|diam lu|mampus|pergi (?:ke neraka|mati)|câm (?:mồm|miệng)|mẹ mày|thằng (?:ngu|chó|khốn|điên|đần)|con (?:đĩ|ngu|điên)|đồ (?:ngu|khốn|chó|rác|điên|đần|hèn|con lợn)|óc chó|ngu như|mất dạy|súc vật|tang ?ina|putang ?ina|anak ng puta|walang (?:kwenta|hiya)|mamatay ka|tumahimik ka|otak udang|anak (?:haram|anjing|babi))"),
)  # fmt: skip

_WEIGHTS: Final = {"strong": (0.75, 0.95), "rude": (0.4, 0.66), "insult": (0.3, 0.72), "other": (0.0, 0.62)}
"""Class -> the score of a word by itself, and close to somebody who is spoken to."""
_PART_WEIGHTS: Final = {"strong": 0.85, "insult": 0.66}


def _plain(word: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter))


def _lexicon() -> dict[str, str]:
    words: dict[str, str] = {}
    for line in LEXICON.split("\n"):
        head, _, entries = line.partition(": ")
        if not entries:
            continue
        language, kind = head.split()
        for entry in entries.split():
            stem, _, endings = entry.partition("~")
            for ending in ("", *endings.split(",")) if endings else ("",):
                word = stem + ending
                if len(word) < 2:
                    continue
                for form in (word,) if language == "vi" else (word, _plain(word)):
                    if _WEIGHTS[kind] > _WEIGHTS.get(words.get(form, ""), (-1.0, 0.0)) and form not in _COMMON:
                        words[form] = kind
    return words


_COMMON: Final = listed(
    "got pede pedes leche curve pico a al am an and ana are as at be but by con cave can con cp cu cul dam dom do"
    " dum dust fag fait fan fat fine form fut get ful git gland gorda gordo had hag halt has hat her him his hog"
    " homo hora hund hut in is it ist ko kan la land leck les let loser mal man me mit mo mongol mule no not nul"
    " of old on or pas pas pie pin pis pot puta rat res rot sad san sea sial so sol son sua tai tan taper ten the"
    " tie to tool tot tu ut van was zak zero kuh vaca aso it bobo cow dog gaga payah pain slag spic paki chink"
    " dyke dykes basura ordure pig pigs worm worms bestia bo get hayop cancer kanker shit hot hor laba miserable"
    " nula stom pik satan rude pipe pfeife laber sau vos put per pra prat ser cacete do fut bloody merde naiba"
    " fene dom otak jelek brutto brutta feo fea gordos nut gila hullu pelle овощ черт хрен гад animal girl so"
    " helvete helvetti lanet bok ular mula feio ladra inutile moche ugly grim ruma"
) - {"puta", "merde", "ugly", "shit", "loser", "pig", "pigs", "worm", "bobo", "gaga", "ordure", "kanker", "git"}
"""Forms that mean something harmless in another language that is spoken more, or in most of their uses."""
_WORDS: Final = _lexicon()
_LEXICON_KEYS: Final = _WORDS.keys()
_PARTS: Final = {
    part.replace("_", " "): (_PART_WEIGHTS[line.split()[2].rstrip(":")], line.split()[1])
    for line in PARTS.strip().split("\n")
    for part in line.partition(": ")[2].split(" ")
}


def _parts(kind: str) -> str:
    return "|".join(re.escape(part) for part in sorted(_PARTS, key=len, reverse=True) if _PARTS[part][1] == kind)


_PART: Final = re2.compile(rf"(?:^|[^\pL\pM])(?:ال|و|يا |ו|ה)?({_parts('word')})(?:$|[^\pL\pM])|({_parts('part')})")
_PHRASE: Final = re2.compile("|".join(f"(?:{pattern})" for _, pattern in PHRASES))
_PHRASE_EACH: Final = tuple((weight, re.compile(rf"(?<!\w)(?:{pattern})")) for weight, pattern in PHRASES)
_GAPS: Final = dict.fromkeys(map(ord, "!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~"), " ")
_WORD: Final = re.compile(r"\w+")
_TARGETS: Final = listed(
    "you u ur your youre yourself yourselves ya yall du dich dir dein deine deinen deiner ihr euch tu toi te t"
    " vous vos votre ton ta tú vos usted ustedes eres ti você voce vocês és sei siete ti jij je jou jouw jullie ty"
    " jesteś jsi jste dig din ditt sinä sinun olet sen seni senin sin siz sana te vagy ti vagytok ești esti voi ты"
    " тебя тебе тобой вы вас твой твоя твоё твои ти тебе ви си сте вие твоя si ste εσύ είσαι σου εσείς είστε kamu"
    " lu lo loe kau anda mày mi ikaw mo ka kayo أنت انت تو شما אתה তুই"
)
_PERSONS: Final = listed("he she they hes shes er sie il elle él ella lui lei on ona он она він вона hij zij han hon")
_SPOKEN: Final = re.compile(
    r"(?<!\w)(?:call(?:s|ed|ing)? (?:me|him|her|us|them|my \w+|someone|somebody|people)|(?:he|she|they|who|that|comment|post|user|caller)(?:'d| had)? "
    r"(?:said|wrote|says|shouted|yelled)|said|says|the word|a word|word for|words? like|abbreviation|stand for|mean(?:s|ing)?|"
    r"translat\w*|synonym\w*|thesaurus|swear filter|filter|moderat\w*|categor\w*|script|dialogue|novel|film|movie|title|song|lyrics?|"
    r"chapter|scene|scène|escena|traite|roman|роман|sagte|nennt|heißt|dijo|dijeron|llama|chiama|dialogo|poem|quote\w*|report\w*)(?!\w)"
)
_SELF: Final = re.compile(
    r"(?<!\w)(?:i(?:'m| am| was| feel like|'ve been| felt)|my own|myself|ich bin|je suis|soy|sono|jestem|я|jag är|ik ben|ben ik)(?!\w)"
)
_LIKED: Final = re.compile(
    r"(?<!\w)(?:damn|hell|bloody|fucking|crazy|fuckin) (?:good|great|of a|nice|brilliant|cold|hot|yes|well|fine|funny|love\w*|awesome|amazing)(?!\w)"
)
_QUOTES: Final = re.compile(
    "\"[^\"\n]{1,200}\"|(?<!\\w)'[^'\n]{1,200}'(?!\\w)|[“„«‘‚][^”“»’\n]{1,200}[”“»’]|「[^」\n]{1,200}」"
)
_SENTENCE: Final = re.compile(rf"[^.!?\n。！？।؟]{{1,{SENTENCE}}}[.!?。！？।؟]{{0,64}}")
_DISGUISED: Final = re.compile(
    r"(?<![\w@$*])(?=[\w@$*!|-]{3,24}(?![\w@$*]))[a-z@$*0-9!|]*[a-z][@$*0-9!|]+[a-z@$*0-9!|]*"
)
_SPACED: Final = re.compile(r"(?<!\w)(?:[a-z][ .\-_*]){2,24}[a-z](?!\w)")
_LEET: Final = str.maketrans("@$0134578!|", "asoieastbil")
_STARRED: Final = (
    (re.compile(r"f[*@#u]{1,2}[*c@#]?[*k]\w{0,4}"), "rude"),
    (re.compile(r"s[*#h][*#i1!]t\w{0,3}"), "rude"),
    (re.compile(r"b[*#i1!][*#t][*#c]h(?:es)?"), "strong"),
    (re.compile(r"c[*#u]nt(?:s)?|c[*#]{2}t"), "strong"),
    (re.compile(r"a[*#s$]{2}h[*#o]le(?:s)?"), "strong"),
    (re.compile(r"(?:n[*#]{1,4}(?:er|a)s?|f[*#]{1,3}g(?:got)?s?|wh[*#]re|d[*#]ck(?:head)?|m[*#]therf\w+)"), "strong"),
)
_DISGUISE: Final = re2.compile(r"[a-z][@$*0-9!|#]+[a-z]|[@$][a-z$@]|(?:\b[a-z][ .\-_*]){2}[a-z]\b")


def score(text: str) -> Scored:
    """How much a text insults or swears."""
    low = text[:BOUND].lower()
    most = 0.0
    reasons: tuple[str, ...] = ()
    if _suspect(low):
        for sentence in _SENTENCE.finditer(low):
            told, reason = _sentence(sentence.group())
            if told > most:
                most, reasons = told, (reason,)
    return Scored(most, reasons, max(0, len(text) - BOUND))


def windows(threshold: float) -> Detector:
    """Finds the sentences whose score reaches a threshold."""
    return _Windows(threshold)


class _Windows:
    __slots__ = ("_threshold",)

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        matches: list[Match] = []
        settled = at
        for sentence in _SENTENCE.finditer(text, at):
            if sentence.end() == len(text) and not ended:
                return matches, sentence.start()
            settled = sentence.end()
            low = sentence.group().lower()
            if _suspect(low):
                told, _ = _sentence(low)
                if told >= self._threshold:
                    begin = sentence.start() + len(low) - len(low.lstrip())
                    matches.append(Match(min(begin, settled - 1), settled, "TOXIC", CHECK, round(told, 4)))
        return matches, len(text)


def _suspect(low: str) -> bool:
    """Whether there is anything to judge: three looks at the text, whatever it holds."""
    ascii_ = low.isascii()
    # Replacing characters is fast in ASCII alone; elsewhere finding words is.
    if not _LEXICON_KEYS.isdisjoint(low.translate(_GAPS).split() if ascii_ else _WORD.findall(low)):
        return True
    if _PHRASE.search(low) is not None or _DISGUISE.search(low) is not None:
        return True
    return not ascii_ and _PART.search(low) is not None


def _sentence(low: str) -> tuple[float, str]:
    """The score of a sentence, and what spoke most for it: a class, never the word."""
    words = [(found.group(), found.start()) for found in _WORD.finditer(low)]
    quotes = [found.span() for found in _QUOTES.finditer(low)]
    spoken = _SPOKEN.search(low) is not None
    meek = _SELF.search(low) is not None
    left, reason, most = 1.0, "", 0.0
    aimed = {number for number, (word, _) in enumerate(words) if word in _TARGETS and (word != "u" or low.isascii())}
    third = {number for number, (word, _) in enumerate(words) if word in _PERSONS}

    def count(weight: float, place: int, name: str) -> None:
        nonlocal left, reason, most
        if spoken or any(start <= place < end for start, end in quotes):
            weight *= 0.45
        if weight > most:
            most, reason = weight, name
        left *= 1.0 - weight

    for number, (word, place) in enumerate(words):
        kind = _WORDS.get(word)
        if kind is None:
            continue
        alone, close = _WEIGHTS[kind]
        near = any(abs(number - other) <= (4 if kind != "other" else 3) for other in aimed)
        weight = close if near or (len(words) <= 3 and kind == "strong") else alone
        if not near and kind != "other" and any(abs(number - other) <= 3 for other in third):
            weight = alone + 0.75 * (close - alone)  # said of somebody who is not there
        if meek and not near:
            weight *= 0.5
        count(weight, place, kind)
    for weight, pattern in _PHRASE_EACH:
        phrase = pattern.search(low)
        if phrase is not None:
            count(weight, phrase.start(), "phrase")
    if not low.isascii():
        for part in {found.group(1) or found.group(2) for found in _PART.finditer(low)}:
            count(_PARTS[part][0], low.find(part), "part")
    if _DISGUISE.search(low) is not None:
        for weight, place in _disguised(low):
            count(weight, place, "disguised")
    if _LIKED.search(low) is not None:
        left = 1.0 - (1.0 - left) * 0.5
    return round(1.0 - left, 4), reason


def _disguised(low: str) -> list[tuple[float, int]]:
    """Words with digits and signs for letters, or with something between the letters."""
    told = []
    for found in _DISGUISED.finditer(low):
        word = found.group()
        kind = _WORDS.get(word.translate(_LEET).replace("*", ""))
        if kind is None and "*" in word:
            kind = next((kind for pattern, kind in _STARRED if pattern.fullmatch(word)), None)
        if kind in ("strong", "rude", "insult") and not word.isdigit() and word not in _WORDS:
            told.append((_WEIGHTS[kind][1], found.start()))
    for found in _SPACED.finditer(low):
        kind = _WORDS.get(re.sub(r"[^a-z]", "", found.group()))
        if kind in ("strong", "rude", "insult"):
            told.append((_WEIGHTS[kind][1], found.start()))
    return told

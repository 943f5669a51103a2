# ruff: noqa: RUF001 - names are spelled as their bearers spell them
"""The names of the company's people, teams and courses, and the texts of other fields."""

from __future__ import annotations

from itertools import product

# Culture, country, city and time zone; then first names; then last names.
_PEOPLE = """\
de-DE|Germany|Köln|W. Europe Standard Time
Jürgen Anja Sören Käthe Özlem Matthias Ulrike Jörg Birgit Lukas Frauke Emre
Müller Weiß Yıldız Böhm Schäfer Groß Krüger Hoffmann Jäger Lindner Vogt Vogel
fr-FR|France|Besançon|Romance Standard Time
Chloé Noël Zoé Théo Anaïs Benoît Camille François Hélène Loïc Manon Rémi
Lefèvre D'Amboise Dupré N'Diaye Moreau Garnier Lemaître Béranger Rousseau Chevalier Faure
pl-PL|Poland|Łódź|Central European Standard Time
Łukasz Żaneta Paweł Agnieszka Michał Małgorzata Grzegorz Zofia Wojciech Katarzyna Jakub Ewa
Wójcik Żółć Gąsior Nowak Zieliński Dąbek Szymczak Król Wróbel Piątek Mazur Kaczmarek
en-US|United States|St. Paul|Central Standard Time
DeShawn Zoë Mary-Anne Tyler Grace Malik Hannah Cole Brianna Owen Renée Marcus
O'Neil Brontë García Washington Lee Sørensen Kowalski Reyes Fitzgerald Brooks Hayes Park
ja-JP|Japan|大阪|Tokyo Standard Time
陽菜 翔太 さくら 健一 美咲 大輔 結衣 直樹 彩 拓海 恵子 亮
佐藤 髙橋 渡邊 𠮷田 鈴木 田中 伊藤 山本 中村 小林 加藤 森
ar-EG|Egypt|Cairo|Egypt Standard Time
محمد فاطمة أحمد نور يوسف مريم عمر سارة خالد ليلى طارق هبة
حسن منصور إبراهيم السيد عبدالله شريف فؤاد رمضان سليم زكي
uk-UA|Ukraine|Львів|FLE Standard Time
Олена Тарас Софія Богдан Оксана Андрій Ірина Юрій Наталія Максим Марія Василь
Шевченко Бондар Коваль Ткачук Мельник Кравець Лисенко Гончар Савчук Мороз Поліщук
tr-TR|Türkiye|İzmir|Turkey Standard Time
Işıl İbrahim Çağla Deniz Gökhan Şule Ömer Ayşe Kerem Nilüfer Barış Ümit
Öztürk Şahin Işık Demir Kılıç Aydın Çelik Güneş Koç Yavuz Erdoğan Uçar
"""
# Courses: name, days until due, days until a completion lapses (0: never), modules.
_TOPICS = """\
Welcome aboard 🎉|14|0|Who we are|Your first week|House rules
Information Security|30|365|Passwords & passkeys|Phishing|Devices on the road|Security quiz
Health &amp; Safety|21|180|Fire safety|Lifting & carrying|First aid 🩹|Safety test
Code of Conduct|30|365|Our values|Gifts & hospitality|Speak up
Data protection (GDPR / DSGVO)|45|365|Personal data|Your rights|Quiz
Forklift licence  |60|90|Theory|Practice|Exam
Product basics|60|0|Lamps|Drivers & dimmers|Catalogue|Quiz|Demo
Selling on value|0|0|Discovery|Objections|Negotiation|Role play
Managing people|90|0|One-on-ones|Feedback|Difficult talks|Hiring
Écrire clairement|0|0|Phrases courtes|Structure|Relecture
SQL for analysts|0|0|SELECT|JOIN|a < b && c > d|Windows|Project
 Time management|0|0|Priorities|Calendars
Anti-bribery|30|365|What is a bribe?|Third parties|Test
顧客対応の基本|60|0|あいさつ|電話|メール
Sustainability|90|730|CO₂ ≠ CO|Recycling ♻️|Supply chain
Excel > calculators|0|0|Tables|Pivot|Charts
"""
# Learning paths, and the courses in them.
_PATHS = """\
Onboarding|Welcome aboard 🎉|Code of Conduct|Product basics
Mandatory training|Information Security|Health &amp; Safety|Code of Conduct
Lagerprofi|Forklift licence  |Health &amp; Safety
Customer first 💛|顧客対応の基本|Product basics|Selling on value
Leadership &lt;2.0&gt;|Managing people| Time management
Data at work|SQL for analysts|Excel > calculators|Data protection (GDPR / DSGVO)
"""
_COMPANY = "Nordlicht & Söhne Ltd."
DEPARTMENTS = ["Operations", "Sales", "Customer Care", "Finance & Tax", "Légal", "Marketing ✨"]
_GROUPS = ["North", "South", "East", "West", "Americas", "Asia", "Africa"]
TEAMS = [_COMPANY, *DEPARTMENTS, *(f"{d} {g}" for g in _GROUPS for d in DEPARTMENTS)]

_PERSON = ("Culture", "Country", "City", "TimeZone", "FirstName", "LastName")
_lines = _PEOPLE.splitlines()
PEOPLE = [
    dict(zip(_PERSON, (*where.split("|"), *pair), strict=True))
    for where, first, last in zip(_lines[::3], _lines[1::3], _lines[2::3], strict=True)
    for pair in product(first.split(), last.split())
]
TOPICS = [line.split("|") for line in _TOPICS.splitlines()]
PATHS = [line.split("|") for line in _PATHS.splitlines()]

# What a field holds unless the simulation sets it; {n} and {byte} are numbers of the row's own.
CHOICES: dict[str, tuple[str | float | None, ...]] = {
    "AccessLevel": (*["Learner"] * 20, "Administrator", "Account_Owner"),
    "Active": (True,),
    "ActivityType": ("Created", "Changed", "Deleted"),
    "Code": (None, "C{n}", "C{n}"),
    "CompanyName": (_COMPANY,),
    "Description": (
        None,
        "&lt;p&gt;Short &amp;amp; sweet.&lt;/p&gt;",
        "  What you need to know.\n",
        "\tRevised\xa0& approved  ",
        '<b>Bold</b> claims & "quotes", it\'s all here ✅',
        "For everyone – 每个人, edited for the {n}th time",
    ),
    "IPAddress": ("203.0.113.{byte}",),
    "JobTitle": ("Account Manager", "Ingénieur qualité", "Packer <night shift>", "Technician"),
    "LoginKey": ("/login.aspx?loginkey=",),
    "ModuleType": ("SCORM", "Video", "Survey", "Document", "ILT"),
    "PercentageComplete": (0.0,),
    "Passmark": (0.0, 0.0, 80.0),
    "Street1": (None, "{byte} High St.\r\nc/o Gate"),
    **dict.fromkeys(("CreatedBy", "UpdatedBy"), (-1, 0, 100_001)),
    **dict.fromkeys(("Completed", "Overdue", "UpToDate"), (False,)),
    **dict.fromkeys(("LearningPathAssignment", "ProfileType", "TeamAssignment"), (None,)),
}
ANY_TEXT = (None, None, "Note {n}", "  keep my blanks  ", "<none>", "Tools & trades 🌟")

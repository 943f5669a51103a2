# ruff: noqa: RUF001 - names are spelled as their bearers spell them
"""What the made-up company, its people and its courses are called."""

from __future__ import annotations

from typing import NamedTuple


class Topic(NamedTuple):
    """What a course is about; days are None where there is no limit."""

    name: str
    due_days: int | None
    compliant_days: int | None
    modules: list[str]


_PEOPLE = """\
de-DE|Germany|Köln|W. Europe Standard Time|Jürgen Anja Sören Käthe Özlem|Müller Weiß Yıldız Böhm
fr-FR|France|Besançon|Romance Standard Time|Chloé Noël Zoé Théo|Lefèvre D'Amboise Dupré N'Diaye
pl-PL|Poland|Łódź|Central European Standard Time|Łukasz Żaneta Paweł|Wójcik Żółć Gąsior Nowak
es-MX|Mexico|Mérida|Central Standard Time (Mexico)|José Íñigo Xóchitl|Muñoz Peña Güemes Vega
en-US|United States|St. Paul|Central Standard Time|DeShawn Zoë Mary-Anne|O'Neil Brontë Van_Buren
ja-JP|Japan|大阪|Tokyo Standard Time|陽菜 翔太 さくら 健一|佐藤 髙橋 渡邊 𠮷田
hi-IN|India|Pune|India Standard Time|Aarav Priya अनन्या Rohan|Sharma Iyer पटेल Nair
ar-EG|Egypt|Cairo|Egypt Standard Time|محمد فاطمة Youssef Nour|El-Sayed حسن Mansour
uk-UA|Ukraine|Львів|FLE Standard Time|Олена Тарас Софія|Шевченко Бондар Kovalenko
tr-TR|Türkiye|İzmir|Turkey Standard Time|Işıl İbrahim Çağla|Öztürk Şahin Işık
pt-BR|Brazil|São Paulo|E. South America Standard Time|João Luís Antônia|Gonçalves Araújo
vi-VN|Vietnam|Đà Nẵng|SE Asia Standard Time|Hương Tuấn Quỳnh|Nguyễn Đặng Vũ
is-IS|Iceland|Reykjavík|Greenwich Standard Time|Þórdís Ægir Óðinn|Þorvaldsson Æsudóttir
"""
_TOPICS = """\
Welcome aboard 🎉|||Who we are|Your first week|House rules
Information Security|30|365|Passwords & passkeys|Phishing|Devices on the road|Security quiz
Health &amp; Safety|21|180|Fire safety|Lifting & carrying|First aid 🩹|Safety test
Code of Conduct|30|365|Our values|Gifts & hospitality|Speak up
Data protection (GDPR / DSGVO)|45|365|Personal data|Your rights|Quiz
Forklift licence  |60|90|Theory|Practice|Exam
Product basics|||Lamps|Drivers & dimmers|Catalogue|Quiz|Demo
Selling on value|||Discovery|Objections|Negotiation|Role play
Managing people|||One-on-ones|Feedback|Difficult talks|Hiring
Écrire clairement|||Phrases courtes|Structure|Relecture
SQL for analysts|||SELECT|JOIN|a < b && c > d|Windows|Project
 Time management|||Priorities|Calendars
Anti-bribery|30|365|What is a bribe?|Third parties|Test
顧客対応の基本|||あいさつ|電話|メール
Sustainability|||CO₂ ≠ CO|Recycling ♻️|Supply chain
Excel > calculators|||Tables|Pivot|Charts
"""
_WORDS = """\
Nordlicht & Söhne Ltd.|Operations|Sales|Customer Care|Finance & Tax|Légal|Marketing ✨|IT
Onboarding|Mandatory training|New managers|Lagerprofi|Customer first 💛|Leadership &lt;2.0&gt;
"""


def _topic(line: str) -> Topic:
    name, due, compliant, *modules = line.split("|")
    return Topic(name, int(due or 0) or None, int(compliant or 0) or None, modules)


REGIONS = [line.split("|") for line in _PEOPLE.splitlines()]
TOPICS = [_topic(line) for line in _TOPICS.splitlines()]
TEAMS, PATHS = (line.split("|") for line in _WORDS.splitlines())

# What a field holds unless the story says otherwise; {n} is a number of the row's own.
CHOICES: dict[str, tuple[str | float | None, ...]] = {
    "AccessLevel": (*["Learner"] * 20, "Administrator", "Account_Owner"),
    "Active": (True,),
    "ActivityType": ("Created", "Changed", "Deleted"),
    "Code": (None, "C{n}", "C{n}"),
    "CompanyName": (TEAMS[0],),
    "CourseImageURL": ("https://cdn.example.com/{n}.png?sig=" + "0123456789ab" * 8,),
    "CreatedBy": (-1, 0, 100_001),
    "Description": (
        None,
        "&lt;p&gt;Short &amp;amp; sweet.&lt;/p&gt;",
        "  What you need to know.\n",
        "\tRevised\xa0& approved  ",
        "For everyone – 每个人 – للجميع",
        '<b>Bold</b> claims & "quotes", it\'s all here ✅',
        "Edited for the {n}th time",
    ),
    "IPAddress": ("203.0.113.{byte}",),
    "JobTitle": ("Account Manager", "Ingénieur qualité", "Packer <night shift>", "Technician"),
    "LoginKey": ("/login.aspx?loginkey=",),
    "ModuleType": ("SCORM", "Video", "Survey", "Document", "ILT"),
    "ObjectId": ("object-{n}",),
    "ObjectType": ("Course", "Team", "User"),
    "PercentageComplete": (0.0,),
    "Price": (0.0, 0.0, 49.0, 120.5),
    "Score": (0,),
    "Street1": (None, "{byte} High St.\r\nc/o Gate"),
    "TimeTaken": ("00:00:00",),
    "UpdatedBy": (0, -1, 100_001),
    "Website": (None, "https://example.com/?u={n}&ref=lms"),
    **dict.fromkeys(("Completed", "Overdue", "UpToDate"), (False,)),
    **dict.fromkeys(("LearningPathAssignment", "ProfileType", "TeamAssignment"), (None,)),
}
ANY_TEXT = (None, None, "{title} {n}", "  keep my blanks  ", "<none>", "Tools & trades 🌟")

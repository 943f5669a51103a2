# ruff: noqa: RUF001 - names are spelled as their bearers spell them
"""What the made-up company and its people are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Region(NamedTuple):
    """Where people come from, as Litmos shows it in their profiles."""

    culture: str
    country: str
    city: str
    time_zone: str
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]


class Topic(NamedTuple):
    """What a course is about; days are 0 where there is no limit."""

    name: str
    modules: tuple[str, ...]
    due_days: int = 0
    compliant_days: int = 0


_PEOPLE = """\
de-DE | Germany | Köln | W. Europe Standard Time
Jürgen Anja Sören Käthe Björn Özlem Lukas Franziska
Müller Weiß Schröder Yıldız Krämer Groß Böhm Neumann
fr-FR | France | Besançon | Romance Standard Time
Chloé Noël François Zoé Aurélien Océane Théo Maëlys
Lefèvre D'Amboise Garçon Béranger Dupré L'Hôpital Moreau N'Diaye
pl-PL | Poland | Łódź | Central European Standard Time
Łukasz Małgorzata Żaneta Stanisław Agnieszka Paweł Świętosława Jan
Wójcik Dąbrowska Kowalczyk Żółć Szczepański Nowak Gąsior Źrebiec
es-MX | Mexico | Mérida | Central Standard Time (Mexico)
José María Íñigo Lucía Andrés Xóchitl Ramón Guadalupe
Muñoz Peña Hernández Ibáñez Güemes Ordóñez Xicoténcatl Vega
en-US | United States | St. Paul | Central Standard Time
Emily DeShawn Zoë Hunter Jean-Luc Aaliyah Wyatt Mary-Anne
O'Neil Smith-Jones Washington McAllister Brontë Lee Van_Buren Hill
ja-JP | Japan | 大阪 | Tokyo Standard Time
陽菜 翔太 さくら 健一 美咲 大輔
佐藤 髙橋 渡邊 小林 𠮷田 中村
zh-CN | China | 上海 | China Standard Time
伟 秀英 娜 强 静 磊
王 李 张 欧阳 诸葛 陈
hi-IN | India | Pune | India Standard Time
Aarav Priya अनन्या Rohan Lakshmi Vikram दीपिका Sanjay
Sharma Iyer पटेल Banerjee Nair Kulkarni Reddy Singh
ar-EG | Egypt | Cairo | Egypt Standard Time
محمد فاطمة Youssef Nour أحمد ليلى
El-Sayed حسن Mansour عبدالله Naguib إبراهيم
uk-UA | Ukraine | Львів | FLE Standard Time
Олена Тарас Yuliia Богдан Софія Dmytro
Шевченко Kovalenko Бондар Ткачук Лисенко Петренко
tr-TR | Türkiye | İzmir | Turkey Standard Time
Işıl İbrahim Çağla Ömer Şule Güneş
Yılmaz Öztürk Çelik Şahin Doğan Işık
pt-BR | Brazil | São Paulo | E. South America Standard Time
João Conceição Luís Antônia Caetano Inês
Gonçalves Araújo Simões Falcão Magalhães Brandão
vi-VN | Vietnam | Đà Nẵng | SE Asia Standard Time
Hương Tuấn Thảo Dũng Mỹ Quỳnh
Nguyễn Trần Phạm Đặng Vũ Huỳnh
is-IS | Iceland | Reykjavík | Greenwich Standard Time
Þórdís Ægir Guðrún Óðinn Ásta Birkir
Jónsdóttir Þorvaldsson Sigurðsson Ólafsdóttir Æsudóttir Hallsson
"""


def _regions() -> Iterator[Region]:
    """Read the regions: a line about the place, one of first names, one of last names."""
    lines = iter(_PEOPLE.splitlines())
    for place, first_names, last_names in zip(lines, lines, lines, strict=True):
        culture, country, city, time_zone = place.split(" | ")
        names = tuple(first_names.split()), tuple(last_names.split())
        yield Region(culture, country, city, time_zone, *names)


REGIONS = tuple(_regions())
COMPANY = "Nordlicht & Söhne Ltd."
DEPARTMENTS = (
    "Operations",
    "Sales",
    "Customer Care",
    "Engineering",
    "Finance & Controlling",
    "People",
    "Légal et conformité",
    "Logistics",
    "Marketing ✨",
    "IT",
)
SITES = ("Köln", "Łódź", "St. Paul", "大阪", "Pune", "Cairo", "São Paulo", "Đà Nẵng")
JOBS = (
    "Account Manager",
    "Ingénieur qualité",
    "Support Agent",
    "Warehouse Associate <night shift>",
    "Developer",
    "Sachbearbeiter:in",
    "Technician",
    "Analyst",
)

TOPICS = (
    Topic("Welcome aboard 🎉", ("Who we are", "Your first week", "House rules")),
    Topic(
        "Information Security",
        ("Passwords & passkeys", "Phishing", "Devices on the road", "Security quiz"),
        30,
        365,
    ),
    Topic(
        "Health &amp; Safety",
        ("Fire safety", "Lifting & carrying", "First aid 🩹", "Safety test"),
        21,
        180,
    ),
    Topic("Code of Conduct", ("Our values", "Gifts & hospitality", "Speak up"), 30, 365),
    Topic("Data protection (GDPR / DSGVO)", ("Personal data", "Your rights", "Quiz"), 45, 365),
    Topic("Forklift licence  ", ("Theory", "Practice", "Exam"), 60, 90),
    Topic("Product basics", ("Lamps", "Drivers & dimmers", "Catalogue", "Quiz", "Demo")),
    Topic("Selling on value", ("Discovery", "Objections", "Negotiation", "Role play")),
    Topic("Managing people", ("One-on-ones", "Feedback", "Difficult talks", "Hiring")),
    Topic("Écrire clairement", ("Phrases courtes", "Structure", "Relecture")),
    Topic("SQL for analysts", ("SELECT", "JOIN", "a < b && c > d", "Windows", "Project")),
    Topic(" Time management", ("Priorities", "Calendars")),
    Topic("Anti-bribery", ("What is a bribe?", "Third parties", "Test"), 30, 365),
    Topic("顧客対応の基本", ("あいさつ", "電話", "メール")),
    Topic("Sustainability", ("CO₂ ≠ CO", "Recycling ♻️", "Supply chain")),
    Topic("Excel > calculators", ("Tables", "Pivot", "Charts")),
)
LEVELS = ("", " – advanced", " – refresher", " – for managers", " – train the trainer")
PATHS = (
    "Onboarding",
    "Mandatory training",
    "New managers",
    "Sales academy",
    "Lagerprofi",
    "Customer first 💛",
    "Data literacy",
    "Leadership &lt;2.0&gt;",
)
MODULE_TYPES = ("SCORM", "Video", "Assessment", "Survey", "Document", "ILT")
DESCRIPTIONS = (
    None,
    "&lt;p&gt;Short &amp;amp; sweet.&lt;/p&gt;",
    "  What you need to know.\n",
    "For everyone – 每个人 – للجميع",
    '<b>Bold</b> claims & "quotes", it\'s all here ✅',
)
SETTINGS = (
    ("Security", "PasswordLength", "8", "12"),
    ("Branding", "LogoUrl", None, "https://cdn.example.com/logo.svg?v=2&theme=dark"),
    ("Messages", "WeeklyDigest", "true", "false"),
    ("Ecommerce", "Currency", "EUR", "USD"),
    ("Security", "SessionMinutes", "60", "30"),
)

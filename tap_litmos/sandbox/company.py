"""A made-up company: its teams, its people, and what they can learn."""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from typing import TYPE_CHECKING

from . import names
from .ledger import DAY, Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from random import Random

    from .tables import Row, Table

_PASSMARK = 80
_SHORTEST_NAME = 6
_PLAIN = "abcdefghijklmnopqrstuvwxyz.-'_"


class Company(Ledger):
    """Teams, courses and people; each method takes the moment at which it happens."""

    def __init__(self, tables: Mapping[str, Table], random: Random) -> None:
        """Start with nobody and nothing."""
        super().__init__(tables, random)
        self._user_names: set[str] = set()
        self._leaders: set[str] = set()

    def add_team(self, name: str, parent: Row | None, at: datetime) -> Row:
        """Found a team, below another one unless it is the topmost."""
        original, key = self.next_id("teams")
        row = self.add(
            "teams",
            at,
            Id=key,
            Name=name,
            OriginalTeamId=original,
            Active=True,
            ParentTeamId=parent.id if parent else None,
            TeamCodeForBulkImport=f"T-{original}" if original % 2 else None,
        )
        self.log("activity_actions", "Team Created", row, None, at)
        return row

    def add_course(self, topic: names.Topic, level: str, at: datetime) -> Row:
        """Create a course and its modules."""
        random = self.random
        original, key = self.next_id("courses")
        name = topic.name + level
        price = random.choice((0.0, 0.0, 49.0, 120.5))
        row = self.add(
            "courses",
            at,
            Id=key,
            Code=f"C{original % 1000:03}" if original % 3 else None,
            Name=name,
            Active=True,
            ForSale=price > 0,
            OriginalCourseId=original,
            Description=random.choice(names.DESCRIPTIONS),
            EcommerceShortDescription=f"Learn: {name}" if price else None,
            EcommerceLongDescription=f"<p>{name} &nbsp; in a day</p>" if price else None,
            CourseCodeForBulkImport=f"bulk-{original}" if original % 2 else None,
            Price=price,
            AccessTillDays=random.choice((None, 365)),
            CompliantTillDays=topic.compliant_days or None,
            TimeLimitDays=topic.due_days or None,
            DisplayOrder=original % 50,
            IncludeInLibrary=self.chance(0.5),
            CourseImageURL=f"https://cdn.example.com/{key}.png?sig=" + "0123456789ab" * 8,
        )
        for position, title in enumerate(topic.modules):
            self._add_module(row, f"{title}{level}", position, at)
        if price:
            self._offer("ecommerce_courses", row, original, at)
        self.log("activity_content", "Course Created", row, None, at)
        return row

    def _add_module(self, course: Row, title: str, position: int, at: datetime) -> None:
        original, key = self.next_id("modules")
        test = any(word in title.lower() for word in ("quiz", "test", "exam"))
        module = self.add(
            "modules",
            at,
            Id=key,
            OriginalId=original,
            Name=title,
            Description=self.random.choice(names.DESCRIPTIONS),
            Active=True,
            Passmark=_PASSMARK if test else 0,
            ModuleType="Assessment" if test else names.MODULE_TYPES[original % 6],
        )
        part = self.add(
            "course_modules",
            at,
            CourseId=course.id,
            Id=key,
            OriginalCourseId=course.values["OriginalCourseId"],
            OriginalModuleId=original,
            Active=True,
        )
        if position > 1 and original % 11 == 0:
            self.change(part, at + timedelta(days=3), Active=False)
        else:
            self.lists["modules", course.id].append(module)

    def add_path(self, name: str, courses: list[Row], at: datetime) -> Row:
        """Create a learning path of courses."""
        original, key = self.next_id("learning_paths")
        price = 250.0 if original % 3 == 0 else 0.0
        row = self.add(
            "learning_paths",
            at,
            Id=key,
            Name=name,
            Description=self.random.choice(names.DESCRIPTIONS),
            Active=True,
            OriginalId=original,
            ForSale=price > 0,
            Price=price,
            EcommerceShortDescription=f"All of {name}" if price else None,
            DisplayOrder=original % 10,
            IncludeInLibrary=original % 2 == 0,
            IsCourseOrderOptional=original % 4 == 0,
            ImageURL=None if original % 2 else f"https://cdn.example.com/lp/{key}.jpg",
        )
        self.lists["courses", key] = list(courses)
        for course in courses:
            self.lists["paths", course.id].append(row)
            self.add(
                "learning_path_courses",
                at,
                LearningPathId=key,
                Id=course.id,
                OriginalLearningPathId=original,
                OriginalCourseId=course.values["OriginalCourseId"],
                Active=True,
            )
        if price:
            self._offer("ecommerce_learning_paths", row, original, at)
        self.log("activity_content", "Learning Path Created", row, None, at)
        return row

    def _offer(self, stream: str, of: Row, original: int, at: datetime) -> None:
        value = of.values
        self.add(
            stream,
            at,
            Id=value["Id"],
            Code=value.get("Code"),
            Name=value["Name"],
            Active=True,
            UpdatedBy=str(self.author()),
            OriginalId=str(original),
            Description=value["Description"],
            EcommerceShortDescription=value["EcommerceShortDescription"],
            EcommerceLongDescription=value.get("EcommerceLongDescription"),
            Skills="Safety, Tools & trades" if original % 2 else None,
            Price=value["Price"],
            AccessTillDays=value.get("AccessTillDays"),
            Currency="EUR",
            Languages="English; Deutsch; 日本語",
            Topics="Work",
            Tags="new 🌟" if original % 3 else None,
            CreatedBy=str(self.author()),
        )

    def hire(self, at: datetime, team: Row, *, level: str = "Learner") -> Row:
        """Let a person join the company and a team; the first one of a team leads it."""
        random = self.random
        original, key = self.next_id("users")
        region = random.choice(names.REGIONS)
        first, last = random.choice(region.first_names), random.choice(region.last_names)
        asia = region.culture in {"ja-JP", "zh-CN"}
        user_name = self._user_name(first, last, original)
        members = self.members(team)
        above = self.lists["members", str(team.values["ParentTeamId"])]
        manager = next(iter(members or above), None)
        row = self.add(
            "users",
            at,
            Id=key,
            UserName=user_name,
            FirstName=first + (" " if original % 41 == 0 else ""),
            LastName=last,
            FullName=f"{last} {first}" if asia else f"{first} {last}",
            Email=None if original % 29 == 0 else user_name,
            AccessLevel=level,
            DisableMessages=original % 17 == 0,
            Active=True,
            Skype=f"live:{original}" if original % 7 == 0 else None,
            PhoneWork=f"+49 221 {original}" if original % 3 else None,
            PhoneMobile=f"+1 (651) {original % 1000:03}-0199" if original % 5 == 0 else None,
            LastLogin=None,
            LoginKey="/login.aspx?loginkey=",
            IsCustomUsername=original % 13 == 0,
            TimeZone=region.time_zone,
            SalesforceId=f"0035{original:08}AAX" if original % 6 == 0 else None,
            OriginalId=original,
            Street1=f"{original % 200 + 1} High St.\r\nc/o Gate" if original % 9 == 0 else None,
            City=region.city,
            PostalCode=f"{original % 99_999:05}" if original % 4 else None,
            Country=region.country,
            CompanyName=names.COMPANY,
            JobTitle=random.choice(names.JOBS),
            CustomField1=f"Cost centre {original % 12:02}",
            CustomField2="<none>" if original % 8 == 0 else None,
            CustomField10="  keep my blanks  " if original % 10 == 0 else None,
            Culture=region.culture,
            Brand="Default",
            ManagerId=manager.id if manager else None,
            ManagerName=manager.values["FullName"] if manager else None,
            EnableTextNotification=original % 5 == 0,
            Website=f"https://example.com/?u={original}&ref=lms"
            if original % 15 == 0
            else None,
            ExpirationDate=at + 730 * DAY if original % 20 == 0 else None,
            ExternalEmployeeId=f"E{original % 100_000:05}" if original % 11 else None,
        )
        self.log("activity_actions", "User Created", row, None, at)
        self.join(team, row, at, leader=not members)
        return row

    def members(self, team: Row) -> list[Row]:
        """Return the people who are in a team, its leader first."""
        return self.lists["members", team.id]

    def leads(self, user: Row) -> bool:
        """Return whether somebody leads a team or is an administrator."""
        return user.id in self._leaders

    def join(self, team: Row, user: Row, at: datetime, *, leader: bool = False) -> None:
        """Make somebody a member of a team, who thereby gets what the team is assigned."""
        self.members(team).append(user)
        if leader or user.values["AccessLevel"] != "Learner":
            self._leaders.add(user.id)
        self.add(
            "team_users",
            at,
            TeamId=team.id,
            Id=user.id,
            OriginalTeamId=team.values["OriginalTeamId"],
            OriginalUserId=user.values["OriginalId"],
            Active=True,
            IsTeamLeader=leader,
            IsTeamAdmin=leader and team.whole("OriginalTeamId") % 2 == 0,
        )
        self.log("activity_assignments", "Team Assigned", team, user, at)

    def log_in(self, user: Row, at: datetime) -> None:
        """Let somebody log in: their profile and their only row of logins change."""
        self.change(user, at, LastLogin=at)
        logins = self.tables["user_logins"]
        login = logins.find(user.id)
        if login is None:
            logins.add(dict(user.values))
        else:
            logins.change(login, user.values)
        self.log_login(user, at)

    def log_setting(self, team: Row, at: datetime) -> None:
        """Write to the log that a setting of a team was changed."""
        category, name, old, new = self.random.choice(names.SETTINGS)
        more = {"Category": category, "OldValue": old, "NewValue": new}
        self.log("activity_settings", f"{name} Changed", team, None, at, **more)

    def _user_name(self, first: str, last: str, original: int) -> str:
        """Return a login name in ASCII that nobody else has."""
        name = unicodedata.normalize("NFKD", f"{first}.{last}".lower())
        name = "".join(letter for letter in name if letter in _PLAIN).strip(".-'")
        if len(name) < _SHORTEST_NAME or name in self._user_names:
            name = f"{name or 'user'}.{original}"
        self._user_names.add(name)
        return f"{name}@example.com"

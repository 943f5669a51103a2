"""A made-up company: its people, its training, and what came of it.

Whatever happens, in the company's past as well as while the sandbox runs, happens through
`Company`, so that results always follow from assignments and achievements from results.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from . import names
from .ledger import DAY, Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from .tables import Row, Table, Value, Values

_PASSMARK = 80
_SHORTEST_NAME = 6
_PLAIN = "abcdefghijklmnopqrstuvwxyz.-'_"


def clock_text(duration: timedelta) -> str:
    """Return a duration as `HH:mm:ss`, with more than 24 hours if need be."""
    seconds = int(duration.total_seconds())
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


class Company(Ledger):
    """All that can happen to the organisation.

    Every method that makes something happen takes the moment at which it happens.
    """

    def __init__(self, tables: Mapping[str, Table], random: Random) -> None:
        """Start with nobody and nothing."""
        super().__init__(tables, random)
        self._steps: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._attempts: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._begun: dict[tuple[str, str], Row] = {}
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
            ParentTeamId=parent.values["Id"] if parent else None,
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
        self.contents[key] = []
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
            CourseId=course.values["Id"],
            Id=key,
            OriginalCourseId=course.values["OriginalCourseId"],
            OriginalModuleId=original,
            Active=True,
        )
        if position > 1 and original % 11 == 0:
            self.change(part, at + timedelta(days=3), Active=False)
        else:
            self.contents[course.id].append(module)

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
        self.path_courses[key] = courses
        for course in courses:
            self._paths_of[course.id].append(row)
            self.add(
                "learning_path_courses",
                at,
                LearningPathId=key,
                Id=course.values["Id"],
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
        manager = members[0] if members else None
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
            ManagerId=manager.values["Id"] if manager else None,
            ManagerName=manager.values["FullName"] if manager else None,
            EnableTextNotification=original % 5 == 0,
            Website=f"https://example.com/?u={original}&ref=lms"
            if original % 15 == 0
            else None,
            ExpirationDate=at + 730 * DAY if original % 20 == 0 else None,
            ExternalEmployeeId=f"E{original % 100_000:05}" if original % 11 else None,
        )
        self.log("activity_actions", "User Created", row, None, at)
        self.join(team, row, at, leader=manager is None)
        return row

    def members(self, team: Row) -> list[Row]:
        """Return the people who are in a team, its leader first."""
        return self._members[team.id]

    def leads(self, user: Row) -> bool:
        """Return whether somebody is the first member of a team, or an administrator."""
        teams = self._members.values()
        return user in self.admins or any(team and team[0] is user for team in teams)

    def join(self, team: Row, user: Row, at: datetime, *, leader: bool = False) -> None:
        """Make somebody a member of a team, who thereby gets what the team is assigned."""
        self.members(team).append(user)
        self.add(
            "team_users",
            at,
            TeamId=team.values["Id"],
            Id=user.values["Id"],
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
        key = user.id
        login = self.logins.get(key)
        if login is None:
            self.logins[key] = self.tables["user_logins"].add(dict(user.values))
        else:
            self.tables["user_logins"].change(login, user.values)
        self.log_login(user, at)

    def log_login(self, user: Row, at: datetime) -> None:
        """Write a login to the log."""
        original = user.whole("OriginalId")
        self.tables["activity_logins"].add(
            {
                "ActivityType": "Login",
                "UserId": user.values["Id"],
                "OriginalUserId": original,
                "UserName": user.values["UserName"],
                "IPAddress": f"203.0.113.{original % 254 + 1}",
                "LoginDate": self._unlike("activity_logins", original, at=at),
            }
        )

    def assign_to_team(
        self, stream: str, team: Row, what: Row, at: datetime, *, library: bool
    ) -> None:
        """Assign a course or learning path to a team, or offer it in the team's library."""
        original = what.values.get("OriginalCourseId")
        kind = "OriginalCourseId" if original else "OriginalLearningPathId"
        values: Values = {
            "TeamId": team.values["Id"],
            "Id": what.values["Id"],
            kind: original or what.values["OriginalId"],
            "OriginalTeamId": team.values["OriginalTeamId"],
            "Active": True,
            "IsInTeamLibrary": library,
        }
        if original:
            values["LearningPathAssignment"] = False
        self.add(stream, at, **values)
        if not library:
            self.log("activity_assignments", "Assigned", what, team, at)

    def assign_course(self, user: Row, course: Row, at: datetime, *, directly: bool) -> Row:
        """Assign a course to somebody, unless they have it; return their result."""
        key = (course.id, user.id)
        if key in self.results:
            return self.results[key]
        originals = {
            "OriginalUserId": user.values["OriginalId"],
            "OriginalCourseId": course.values["OriginalCourseId"],
        }
        if directly:
            self.add("user_courses", at, UserId=key[1], Id=key[0], Active=True, **originals)
            self.log("activity_assignments", "Assigned", course, user, at)
        due_days = course.values["TimeLimitDays"]
        self.results[key] = self.add(
            "course_results",
            at,
            Id=key[0],
            UserId=key[1],
            **originals,
            Name=course.values["Name"],
            Active=True,
            Completed=False,
            PercentageComplete=0.0,
            UpToDate=False,
            Overdue=False,
            DueDate=at + cast("int", due_days) * DAY if due_days else None,
            Code=course.values["Code"],
            UserName=user.values["UserName"],
        )
        self._results_of[key[1]].append(self.results[key])
        return self.results[key]

    def assign_path(self, user: Row, path: Row, at: datetime, *, directly: bool) -> None:
        """Assign a learning path with all its courses to somebody, unless they have it."""
        key = (path.id, user.id)
        if key in self.path_results:
            return
        originals = {
            "OriginalLearningPathId": path.values["OriginalId"],
            "OriginalUserId": user.values["OriginalId"],
        }
        if directly:
            self.add(
                "learning_path_users",
                at,
                LearningPathId=key[0],
                Id=key[1],
                Active=True,
                UpdatedBy=0,
                **originals,
            )
            self.log("activity_assignments", "Assigned", path, user, at)
        for course in self.path_courses[key[0]]:
            self.assign_course(user, course, at, directly=False)
        self.path_results[key] = self.add(
            "learning_path_results",
            at,
            Id=key[0],
            UserId=key[1],
            **originals,
            Active=True,
            Name=path.values["Name"],
            PercentageComplete=0.0,
            Completed=False,
        )
        self._progress_on_path(self.path_results[key])

    def study(self, result: Row, at: datetime) -> None:
        """Let somebody take the next step in a course: begin, fail or finish a module."""
        random = self.random
        key = (result.id, result.text("UserId"))
        modules = self.contents[key[0]]
        module = modules[self._steps[key]]
        passmark = module.whole("Passmark")
        seconds = int(random.lognormvariate(7, 1.2))
        chance = random.random()
        begun = self._open.pop(key, None)
        started = None if begun else max(at - timedelta(seconds=seconds), self._created(result))
        outcome: Values = {
            "Score": 0,
            "Completed": False,
            "FinishedDate": at,
            "TimeTaken": clock_text(seconds),
        }
        if begun is None and chance < 0.1:  # noqa: PLR2004 - one in ten is only begun
            outcome["FinishedDate"] = None
        elif begun is None and passmark and chance < 0.25:  # noqa: PLR2004 - some fail
            outcome["Score"] = int(chance * 4 * passmark)
        else:
            outcome["Score"] = random.randint(passmark, 100) if passmark else 100
            outcome["Completed"] = True
        if begun:
            self.change(begun, at, **outcome)
        else:
            self._attempts[key] += 1
            begun = self.add(
                "module_results",
                cast("datetime", started),
                Id=module.values["Id"],
                UserId=key[1],
                OriginalModuleId=module.values["OriginalId"],
                OriginalUserId=result.values["OriginalUserId"],
                ModuleResultId=self.next_id("module_results")[0],
                Active=True,
                Name=module.values["Name"],
                Passmark=passmark,
                UserName=result.values["UserName"],
                AttemptNumber=self._attempts[key],
                StartedDate=started,
                Code=result.values["Code"],
                UpdatedDate=at if outcome["FinishedDate"] else None,
                **outcome,
            )
        if outcome["FinishedDate"] is None:
            self._open[key] = begun
        elif outcome["Completed"]:
            self._steps[key] += 1
            self._attempts[key] = 0
        self._progress(result, len(modules), started, at)

    def results_of(self, user: Row) -> list[Row]:
        """Return somebody's course results."""
        return self._results_of[user.id]

    def finished(self, result: Row) -> bool:
        """Return whether a course has no module left to study."""
        key = (result.id, result.text("UserId"))
        return self._steps[key] >= len(self.contents[key[0]])

    def _progress(
        self, result: Row, modules: int, started: datetime | None, at: datetime
    ) -> None:
        """Bring a course result up to date after a step, and all that follows from it."""
        key = (result.id, result.text("UserId"))
        steps = self._steps[key]
        changes: Values = {
            "StartedDate": result.values.get("StartedDate") or started,
            "LastAttemptDate": at,
            "PercentageComplete": round(100 * steps / modules, 2),
        }
        if steps == modules:
            course = self.find("courses", key[0])
            days = cast("int | None", course.values["CompliantTillDays"])
            till = at + days * DAY if days else None
            changes |= {
                "Completed": True,
                "CompletedDate": at,
                "DueDate": None,
                "Overdue": False,
                "UpToDate": True,
                "CompliantTillDate": till,
            }
            self._achieve(result, "Course", at, till)
        self.change(result, at, **changes)
        for path in self._paths_of[key[0]]:
            whole = self.path_results.get((path.id, key[1]))
            if whole:
                self._progress_on_path(whole)

    def _progress_on_path(self, whole: Row) -> None:
        """Compute a learning path result from the course results that it consists of."""
        path, user = whole.id, whole.text("UserId")
        parts = [
            self.results[course.id, user].values
            for course in self.path_courses[path]
            if (course.values["Id"], user) in self.results
        ]
        begun = [part for part in parts if part.get("StartedDate")]
        if not begun:
            return
        percentage = sum(cast("float", part["PercentageComplete"]) for part in parts)
        done = all(part["Completed"] for part in parts)
        last = max(cast("datetime", part["LastAttemptDate"]) for part in begun)
        last = max(last, self._created(whole))
        if done and not whole.values["Completed"]:
            self._achieve(whole, "Learning Path", last, None)
        self.change(
            whole,
            "learning_path_results",
            last,
            PercentageComplete=round(percentage / len(parts), 2),
            Completed=done,
            StartDate=min(cast("datetime", part["StartedDate"]) for part in begun),
            FinishDate=last if done else None,
        )

    def _achieve(self, result: Row, kind: str, at: datetime, till: datetime | None) -> None:
        """Award the achievement that comes with a completed course or learning path."""
        original, key = self.next_id("achievements")
        values = result.values
        field = kind.replace(" ", "")
        self.add(
            "achievements",
            at,
            Id=key,
            UserId=values["UserId"],
            OriginalAchievementId=original,
            OriginalUserId=values["OriginalUserId"],
            CompliantTillDate=till,
            Title=f"{values['Name']} 🏅" if original % 10 == 0 else values["Name"],
            AchievementDate=at,
            Type=f"{kind} Completed",
            CertificateId=original % 7 + 1 if till else None,
            UpdatedBy=0,
            **{f"{field}Id": values["Id"], f"Original{field}Id": values[f"Original{field}Id"]},
        )

    def fall_overdue(self, at: datetime, since: datetime | None = None) -> None:
        """Mark what has become overdue, as Litmos does during the night.

        Args:
            at: The moment up to which due dates have passed.
            since: The moment of the change. By default, the midnight after the due date.
        """
        for row in self.tables["course_results"].rows:
            due = row.values.get("DueDate")
            if isinstance(due, datetime) and due < at and not row.values.get("Overdue"):
                night = due.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
                last = max(row.stamp, since or night)
                self.change(row, last, by=-1, Overdue=True)


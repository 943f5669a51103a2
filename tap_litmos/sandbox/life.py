"""What happens in the company, its past and its present alike.

All that will happen waits in a queue, ordered by its moment; what happens may add to it.
Results follow from assignments, those of learning paths from those of their courses, and
achievements from completions. Rows of all else are invented.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from datetime import timedelta
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

from . import names
from .ledger import Ledger, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from random import Random

    from .tables import Row

    Act = Callable[..., Any]

DAY = timedelta(days=1)
_PASSMARK = 80
_MANDATORY = 4  # courses and learning paths with a due date that each team gets first
_ENOUGH = 8  # rows that a table keeps, whatever is deleted, and gets at least
_RESULTS = {"courses": "course_results", "learning_paths": "learning_path_results"}
_DIRECT = {"courses": "user_courses", "learning_paths": "learning_path_users"}
# Streams in whose rows something is edited now and then, or else their flag Active.
_EDITED = "users courses modules learning_paths teams team_courses user_courses"
_EDITED_FIELDS = ("JobTitle", "Tags", "Description", "TeamCodeForBulkImport")
# Streams whose rows come of what happens; rows of all others are invented.
_TOLD = """
users courses modules learning_paths teams team_courses user_courses user_logins module_results
course_results learning_path_results achievements course_modules learning_path_courses
learning_path_users team_users team_learning_paths activity_logins
"""


class Life(Ledger):
    """A company that is founded, hires people, lets them learn, and goes on."""

    def __init__(self, random: Random, start: datetime, midnight: datetime, users: int) -> None:
        """Plan the past, in which nothing has happened yet.

        Args:
            random: Decides whatever is left to chance.
            start: The midnight before which nothing was.
            midnight: The beginning of the present day.
            users: How many people are hired until then.
        """
        super().__init__(random)
        self._queue: list[tuple[datetime, int, Act, tuple[Row, ...]]] = []
        self._order = count()
        self._hired = count()
        self._start, self._past = start, midnight - start
        self._of: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        self._diligence = defaultdict[str, float](partial(random.betavariate, 3, 1.3))
        self._steps: Counter[Row] = Counter()
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._invented = [stream for stream in self.tables if stream not in _TOLD.split()]
        # What happens by itself, and how often compared with the rest.
        self._acts: dict[Act, int] = {
            self._log_in: 60,
            self._study_anything: 80,
            self._hire: 6,
            self._assign_something: 12,
            self._edit: 50,
            self._invent_something: 6,
            self._delete_somebody: 1,
        }
        courses = min(max(8, users // 12), 240)
        self._plan_many(max(4, users // 12), 0.0002, 0.005, self._found_team)
        self._plan_many(courses * 3 // 4, 0.006, 0.03, self._create_course)
        self._plan_many(courses // 4, 0.03, 0.9, self._create_course)
        self._plan_many(max(3, courses // 5), 0.03, 0.06, self._create_path)
        # Half of the people are imported, many within the same second; others join later.
        batches = [self._moment(0.02, 0.03).replace(microsecond=0) for _ in range(3)]
        for number in range((users + 1) // 2):
            self._plan(batches[number % 3], self._hire)
        self._plan_many(users // 2, 0.03, 0.99, self._hire)
        self._plan_many(users, 0.05, 1, self._edit)
        self._plan_many(users // 60, 0.5, 1, self._delete_somebody)
        for stream in self._invented:
            self._plan_many(max(_ENOUGH, users), 0.05, 1, partial(self.invent, stream))
        for number in range(most := max(_ENOUGH, users // 10)):
            self._plan(midnight + DAY * number / most, self.happen)

    def _moment(self, first: float, last: float) -> datetime:
        """Return a moment between two shares of the past."""
        return self._start + self._past * self.random.uniform(first, last)

    def _plan(self, at: datetime, act: Act, *rows: Row) -> None:
        """Let something happen at a moment, unless one of the rows is gone by then."""
        heappush(self._queue, (milliseconds(at), next(self._order), act, rows))

    def _plan_many(self, times: int, first: float, last: float, act: Act, *rows: Row) -> None:
        """Let something happen some times between two shares of the past."""
        for _ in range(times):
            self._plan(self._moment(first, last), act, *rows)

    def run(self, until: datetime) -> None:
        """Let everything happen that is planned up to a moment."""
        while self._queue and self._queue[0][0] <= until:
            at, _, act, rows = heappop(self._queue)
            if not any(row.gone for row in rows):
                act(at, *rows)

    def happen(self, at: datetime) -> None:
        """Let something happen that was not planned."""
        self.random.choices(list(self._acts), list(self._acts.values()))[0](at)

    def _belonging(self, kind: str, to: Row | None) -> list[Row]:
        """Return rows that belong to another one."""
        return [row for row in self._of[kind, to.id] if not row.gone] if to else []

    def _found_team(self, at: datetime) -> None:
        teams = self.tables["teams"].rows
        above = teams[(len(teams) - 1) // 5 :][:1] if teams else []
        team = self.add("teams", at, *above, Name="".join(_nth(names.TEAMS, len(teams))))
        self._plan_many(7, 0.031, 0.3, partial(self._equip, stream="courses"), team)
        self._plan_many(1, 0.061, 0.5, partial(self._equip, stream="learning_paths"), team)

    def _create_course(self, at: datetime) -> None:
        topic, level = _nth(names.TOPICS, len(self.tables["courses"].rows))
        days = {"CompliantTillDays": topic.compliant_days, "TimeLimitDays": topic.due_days}
        course = self.add("courses", at, Name=topic.name + level, **days)
        for title in topic.modules:
            passmark = _PASSMARK if re.search("quiz|test|exam", title.lower()) else 0
            module = self.add("modules", at, Name=title + level, Passmark=passmark)
            self.add("course_modules", at, course, module)
            self._of["modules", course.id].append(module)

    def _create_path(self, at: datetime) -> None:
        number, courses = len(self.tables["learning_paths"].rows), self.tables["courses"].rows
        path = self.add("learning_paths", at, Name="".join(_nth(names.PATHS, number)))
        for course in self.random.sample(courses, min(len(courses), self.random.randint(2, 5))):
            self.add("learning_path_courses", at, path, course)
            self._of["courses", path.id].append(course)
            self._of["paths", course.id].append(path)

    def _equip(self, at: datetime, team: Row, stream: str) -> None:
        """Assign something to a team: what is mandatory first, then anything."""
        found, rows = self._belonging("training", team), self.tables[stream].rows
        mandatory = [row for row in rows if row["TimeLimitDays"]][:_MANDATORY]
        missing = [row for row in mandatory if row not in found]
        what = missing[0] if missing else self.random.choice(rows)
        if what not in found:
            self.add(f"team_{stream}", at, team, what, IsInTeamLibrary=False)
            if self.chance(0.3):
                self.add(f"team_{stream}", at, team, what, IsInTeamLibrary=True)
            self._of["training", team.id].append(what)
            for user in self._belonging("members", team):
                self._assign(at, user, what)

    def _hire(self, at: datetime) -> None:
        """Hire somebody into one of the teams, in turn; the first of a team leads it."""
        number, teams = next(self._hired), self.tables["teams"].rows
        if not teams:
            return
        team = teams[number % len(teams)]
        above = self.tables["teams"].find(team["ParentTeamId"])
        managers = [*self._belonging("members", team), *self._belonging("members", above)][:1]
        boss = managers[0]["FullName"] if managers else None
        profile = self._profile(number)
        user = self.add("users", at, *managers, **profile, ManagerName=boss)
        self._join(at, user, team)
        if number % 19 == 0 and len(teams) > 1:
            self._plan(at + 10 * DAY, self._join, user, teams[(number + 1) % len(teams)])
        self._plan_career(at, user)

    def _profile(self, number: int) -> dict[str, Any]:
        """Return who somebody is: a name, a place, an address."""
        *place, firsts, lasts = self.random.choice(names.REGIONS)
        first, last = (self.random.choice(words.split()) for words in (firsts, lasts))
        plain = unicodedata.normalize("NFKD", f"{first}.{last}".lower())
        user_name = re.sub("[^a-z.'_-]", "", plain).strip(".-'") or "user"
        address = f"{user_name}.{number}@example.com"
        return {
            **dict(zip(("Culture", "Country", "City", "TimeZone"), place, strict=True)),
            "FirstName": first,
            "LastName": last,
            "FullName": f"{first} {last}",
            "UserName": address,
            "Email": address,
        }

    def _plan_career(self, at: datetime, user: Row) -> None:
        """Plan what somebody will be assigned, and whether they leave."""
        for stream in ("courses", "courses", "learning_paths")[: self.random.randint(2, 3)]:
            later = min(60 * DAY, self._past / 4) * self.random.random()
            self._plan(at + later, partial(self._assign_something, stream=stream), user)
        if self.chance(0.06):
            self._plan(at + self._past * self.random.random(), self._leave, user)

    def _leads(self, user: Row) -> bool:
        """Return whether somebody has people to manage."""
        return user.id in (row["ManagerId"] for row in user.table.rows)

    def _join(self, at: datetime, user: Row, team: Row) -> None:
        """Make somebody a member of a team, and assign what its members are assigned."""
        self._of["members", team.id].append(user)
        self.add("team_users", at, team, user)
        for what in self._belonging("training", team):
            self._assign(at, user, what)

    def _leave(self, at: datetime, user: Row) -> None:
        if not self._leads(user):
            self.change(user, at, Active=False)

    def _assign_something(
        self, at: datetime, user: Row | None = None, stream: str = "courses"
    ) -> None:
        """Assign any course or learning path directly to somebody."""
        user, what = user or self.pick("users"), self.pick(stream)
        if user and what and user["Active"]:
            self._assign(at, user, what, directly=True)

    def _assign(self, at: datetime, user: Row, what: Row, *, directly: bool = False) -> None:
        """Assign a course, or a learning path with its courses, unless somebody has it."""
        stream = what.table.endpoint.stream
        known = self.tables[_RESULTS[stream]].find(what.id, user.id)
        if known or not (self._of["modules", what.id] or self._of["courses", what.id]):
            return
        if directly:
            self.add(_DIRECT[stream], at, user, what)
        if stream == "courses":
            self._enrol(at, user, what)
            return
        for course in self._belonging("courses", what):
            self._assign(at, user, course)
        self._progress_on_path(at, self.add(_RESULTS[stream], at, user, what))

    def _enrol(self, at: datetime, user: Row, course: Row) -> None:
        """Add the result of a course that was assigned, and plan whether it is studied."""
        due = at + course["TimeLimitDays"] * DAY if course["TimeLimitDays"] else None
        dates = {"DueDate": due, "UpdatedDate": at}
        result = self.add("course_results", at, user, course, **dates, UpdatedBy=None)
        if due:
            self._plan(_night_after(due), self._look_at_dates, result)
        if self.chance(self._diligence[user.id]):
            self._plan_study(at, result, 10)
        elif self.chance(0.5):
            self._plan_study(at, result, 120)

    def _look_at_dates(self, at: datetime, result: Row) -> None:
        """Let a result be overdue, or no longer count, if its date has passed."""
        if not result["Completed"]:
            self.change(result, at, Overdue=True)
        elif (till := result["CompliantTillDate"]) and till < at:
            self.change(result, at, UpToDate=False)

    def _plan_study(self, at: datetime, result: Row, days: float) -> None:
        self._plan(at + self.random.expovariate(1 / days) * DAY, self._study, result)

    def _study_anything(self, at: datetime) -> None:
        """Let somebody go on with a course that is not done."""
        results = self.tables["course_results"].rows
        if unfinished := [result for result in results if not result["Completed"]]:
            self._study(at, self.random.choice(unfinished))

    def _study(self, at: datetime, result: Row) -> None:
        """Let somebody log in and take the next module, and plan when they go on, if at all."""
        user = self.tables["users"].find(result["UserId"])
        modules = self._of["modules", result.id]
        if not modules or not user or not user["Active"]:
            return
        if self.chance(0.7):
            self._log_in(at, user)
        module = modules[self._steps[result] % len(modules)]
        passed = not module["Passmark"] or self.chance(0.85)
        self._attempt(at, result, user, module, passed=passed)
        self._steps[result] += passed
        self._progress(at, result)
        if passed and self._steps[result] % len(modules) == 0:
            self._complete(at, result)
        elif self.chance(0.88 + 0.1 * self._diligence[user.id]):
            self._plan_study(at, result, 1.5)
        self._progress_on_paths(at, result)

    def _attempt(
        self, at: datetime, result: Row, user: Row, module: Row, *, passed: bool
    ) -> None:
        """Add how somebody did in a module that they began some minutes ago."""
        minutes = int(self.random.lognormvariate(2.5, 1))
        started = max(at - timedelta(minutes=minutes), result["CreatedDate"])
        self._attempts[module.id, user.id] += 1
        self.add(
            "module_results",
            started,
            module,
            user,
            StartedDate=started,
            FinishedDate=at if passed else None,
            UpdatedDate=at,
            TimeTaken=f"{_night_after(at) + (at - started):%H:%M:%S}",
            AttemptNumber=self._attempts[module.id, user.id],
            Completed=passed,
            Score=self.random.randint(_PASSMARK, 100) if passed else _PASSMARK // 2,
        )

    def _progress(self, at: datetime, result: Row) -> None:
        """Bring a course result up to date after a step."""
        share = self._steps[result] / len(self._of["modules", result.id])
        percent = 100.0 if result["Completed"] else round(100 * share, 2)
        dates = {"StartedDate": result["StartedDate"] or at, "LastAttemptDate": at}
        self.change(result, at, PercentageComplete=percent, **dates)

    def _complete(self, at: datetime, result: Row) -> None:
        """Let somebody complete a course, which may lapse one day, and be renewed."""
        course = self.tables["courses"].find(result.id)
        days = course["CompliantTillDays"] if course else None
        till = at + days * DAY if days else None
        dates = {"CompletedDate": at, "DueDate": None, "CompliantTillDate": till}
        self.change(result, at, Completed=True, Overdue=False, UpToDate=True, **dates)
        self._achieve(at, "courses", result, till)
        if till:
            self._plan(_night_after(till), self._look_at_dates, result)
            if self.chance(0.7 * self._diligence[result["UserId"]]):
                self._plan_study(till - 20 * DAY, result, 20)

    def _progress_on_paths(self, at: datetime, result: Row) -> None:
        """Bring the learning paths up to date that hold the course of a result."""
        for path in self._belonging("paths", result):
            whole = self.tables["learning_path_results"].find(path.id, result["UserId"])
            if whole:
                self._progress_on_path(at, whole)

    def _progress_on_path(self, at: datetime, whole: Row) -> None:
        """Compute a learning path result from the course results that it consists of."""
        results, user = self.tables["course_results"], whole["UserId"]
        found = (results.find(course.id, user) for course in self._of["courses", whole.id])
        parts = list(filter(None, found))
        begun = [part["StartedDate"] for part in parts if part["StartedDate"]]
        if not begun or whole["Completed"]:
            return
        done = all(part["Completed"] for part in parts)
        percent = round(sum(part["PercentageComplete"] for part in parts) / len(parts), 2)
        dates = {"StartDate": min(begun), "FinishDate": at if done else None}
        self.change(whole, at, PercentageComplete=percent, Completed=done, **dates)
        if done:
            self._achieve(at, "learning_paths", whole, None)

    def _achieve(self, at: datetime, stream: str, result: Row, till: datetime | None) -> None:
        """Award the achievement that comes with a completed course or learning path."""
        table, user = self.tables[stream], self.tables["users"].find(result["UserId"])
        title = result["Name"] + " 🏅" * self.chance(0.1)
        more = {"Type": f"{table.what} Completed", "AchievementDate": at, "Title": title}
        parents = filter(None, (user, table.find(result.id)))
        self.add("achievements", at, *parents, CompliantTillDate=till, **more)

    def _log_in(self, at: datetime, user: Row | None = None) -> None:
        """Let somebody log in: their profile and their only row of logins change."""
        user = user or self.pick("users")
        if user is None or not user["Active"]:
            return
        self.change(user, at, LastLogin=at)
        logins = self.tables["user_logins"]
        if login := logins.find(user.id):
            login.values |= user.values
        else:
            logins.add(dict(user.values))
        self.add("activity_logins", at, user, ActivityType="Login")

    def _invent_something(self, at: datetime) -> None:
        self.invent(self.random.choice(self._invented), at)

    def _edit(self, at: datetime) -> None:
        """Change a field that no other one depends on, or whether a row is active."""
        row = self.pick(self.random.choice([*_EDITED.split(), *self._invented]))
        fields = row.table.fields if row else {}
        name = next((name for name in _EDITED_FIELDS if name in fields), "Active")
        if row and {name, "UpdatedDate"} <= fields.keys():
            drawn = self.draw(fields[name], self.random.randrange(1000))
            self.change(row, at, **{name: not row[name] if name == "Active" else drawn})

    def _delete_somebody(self, at: datetime) -> None:
        """Delete somebody for good, or a course that is in no learning path."""
        row = self.pick("users" if self.chance(0.8) else "courses")
        if row and len(row.table.rows) > _ENOUGH and not self._of["paths", row.id]:
            self.delete([] if self._leads(row) else [row], at)


def _nth(things: Sequence[Any], number: int) -> tuple[Any, str]:
    """Return a thing, and the end of a name that no other number has."""
    round_, place = divmod(number, len(things))
    return things[place], f" {round_ + 1}" if round_ else ""


def _night_after(at: datetime) -> datetime:
    """Return the midnight after a moment, when Litmos looks at due dates."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0) + DAY

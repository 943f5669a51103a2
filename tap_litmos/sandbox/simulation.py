"""What happens in the organisation, in its past and from now on.

All planned events wait in a queue, ordered by time, and may plan others. Results follow from
assignments, those of learning paths from those of their courses, and achievements from
completions. Rows of all other streams are drawn.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from datetime import timedelta
from functools import partial
from heapq import heappop, heappush
from itertools import count
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from . import names
from .tables import Ledger, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from random import Random

    from .tables import Row

    Act = Callable[..., Any]

DAY = timedelta(days=1)
_MANDATORY_COURSES = 5  # of each team
_MIN_ROWS = 8  # of each drawn stream
_RESULTS = {"courses": "course_results", "learning_paths": "learning_path_results"}
_DIRECT = {"courses": "user_courses", "learning_paths": "learning_path_users"}
_EDITED = ("users", "courses", "modules", "learning_paths", "team_courses", "user_courses")
_SIMULATED = """
users courses modules learning_paths teams team_courses user_courses user_logins module_results
course_results learning_path_results achievements course_modules learning_path_courses
learning_path_users team_users team_learning_paths activity_logins
"""


class Simulation(Ledger):
    """A company that is founded, hires people and trains them."""

    def __init__(self, random: Random, start: datetime, midnight: datetime, users: int) -> None:
        """Plan the past.

        Args:
            random: The source of all chance.
            start: The midnight before which nothing happened.
            midnight: The start of the current day.
            users: How many people are hired until then.
        """
        super().__init__(random)
        self._start, self._past = start, midnight - start
        self._queue: list[tuple[datetime, int, Act, tuple[Row, ...]]] = []
        self._order, self._hired = count(), count()
        self._people = random.sample(names.PEOPLE, len(names.PEOPLE))
        self._related = defaultdict[tuple[str, "Row"], list["Row"]](list)
        self._diligence = defaultdict[str, float](partial(random.betavariate, 6, 1))
        self._steps: Counter[Row] = Counter()
        self._drawn = [stream for stream in self.tables if stream not in _SIMULATED.split()]
        self._plan_past(users)
        for number in range(most := max(_MIN_ROWS, users // 10)):
            self._plan(midnight + DAY * number / most, self.happen)

    def _plan_past(self, users: int) -> None:
        courses = min(max(8, users // 16), 240)
        self._plan_many(max(4, users // 12), 0.0002, 0.005, self._found_team)
        self._plan_many(courses * 3 // 4, 0.006, 0.03, self._create_course)
        self._plan_many(courses // 4, 0.03, 0.9, self._create_course)
        self._plan_many(max(3, courses // 5), 0.03, 0.06, self._create_path)
        # Half of the people are imported at the same time; the others join later.
        self._plan_many((users + 1) // 2, 0.025, 0.025, self._hire)
        self._plan_many(users // 2, 0.03, 0.99, self._hire)
        self._plan_many(users, 0.05, 1, self._edit)
        self._plan_many(users // 15, 0.1, 1, self._leave)
        for stream in self._drawn:
            self._plan_many(max(_MIN_ROWS, users), 0.05, 1, partial(self.invent, stream))

    def _plan(self, at: datetime, act: Act, *rows: Row) -> None:
        """Plan an event, which is cancelled if one of its rows is deleted."""
        heappush(self._queue, (milliseconds(at), next(self._order), act, rows))

    def _plan_many(self, times: int, first: float, last: float, act: Act, *rows: Row) -> None:
        """Plan events between two shares of the past."""
        for _ in range(times):
            self._plan(self._start + self._past * self.random.uniform(first, last), act, *rows)

    def run(self, until: datetime) -> None:
        """Run all events that are planned up to a time."""
        while self._queue and self._queue[0][0] <= until:
            at, _, act, rows = heappop(self._queue)
            if not any(row.gone for row in rows):
                act(at, *rows)

    def happen(self, at: datetime) -> None:
        """Run an unplanned event."""
        invent = partial(self.invent, self.random.choice(self._drawn))
        often = [self._study_anything, self._log_in, self._edit]
        acts: list[Act] = [*often, self._assign_any, invent, self._hire, self._leave]
        self.random.choices(acts, (80, 60, 50, 12, 6, 6, 1))[0](at)

    def _of(self, kind: str, owner: Row) -> list[Row]:
        """Return the rows of a kind that belong to another row."""
        return [row for row in self._related[kind, owner] if not row.gone]

    def _next(self, stream: str, things: Sequence[Any]) -> tuple[Any, str]:
        """Return what the next row of a stream is, and a suffix that makes its name unique."""
        round_, place = divmod(len(self.tables[stream].rows), len(things))
        return things[place], f" {round_ + 1}" if round_ else ""

    def _found_team(self, at: datetime) -> None:
        """Found the company first, then its departments, then the groups of these."""
        teams, departments = self.tables["teams"].rows, len(names.DEPARTMENTS)
        group, place = divmod(len(teams) - 1, departments)
        above = teams[place + 1 if group > 0 else 0 :][:1]
        team = self.add("teams", at, *above, Name="".join(self._next("teams", names.TEAMS)))
        self._plan_many(7, 0.031, 0.3, partial(self._equip, "courses"), team)
        self._plan_many(1, 0.061, 0.5, partial(self._equip, "learning_paths"), team)

    def _create_course(self, at: datetime) -> None:
        (name, due, lapses, *titles), part = self._next("courses", names.TOPICS)
        days = {"TimeLimitDays": int(due) or None, "CompliantTillDays": int(lapses) or None}
        course = self.add("courses", at, Name=name + part, **days)
        for title in titles:
            module = self.add("modules", at, Name=title + part)
            self.add("course_modules", at, course, module)
            self._related["modules", course].append(module)

    def _create_path(self, at: datetime) -> None:
        (name, *titles), part = self._next("learning_paths", names.PATHS)
        path, courses = self.add("learning_paths", at, Name=name + part), self.tables["courses"]
        fitting = [course for course in courses.rows if course["Name"] in titles and not part]
        for course in fitting or self.random.sample(courses.rows, 2):
            self.add("learning_path_courses", at, path, course)
            self._related["courses", path].append(course)

    def _equip(self, stream: str, at: datetime, team: Row) -> None:
        """Assign something to a team: first what is mandatory, then anything."""
        rows, found = self.tables[stream].rows, self._of("training", team)
        mandatory = [row for row in rows if row["TimeLimitDays"]][:_MANDATORY_COURSES]
        what = next((row for row in mandatory if row not in found), self.random.choice(rows))
        if what in found:
            return
        for in_library in (False, True)[: self.random.randint(1, 2)]:
            self.add(f"team_{stream}", at, team, what, IsInTeamLibrary=in_library)
        self._related["training", team].append(what)
        for user in self._of("members", team):
            self._assign(at, user, what)

    def _hire(self, at: datetime) -> None:
        """Hire somebody into one of the teams, in turn; the first of a team leads it."""
        number, teams = next(self._hired), self.tables["teams"].rows
        if not teams:
            return
        team = teams[number % len(teams)]
        leaders = [user for row in (team, *team.parents) for user in self._of("members", row)]
        boss = leaders[:1]
        profile = self._profile(number) | {"ManagerName": boss[0]["FullName"] if boss else None}
        user = self.add("users", at, *boss, **profile)
        self.add("team_users", at, team, user)
        self._related["members", team].append(user)
        for what in self._of("training", team):
            self._assign(at, user, what)
        for kind in ("courses", "courses", "learning_paths")[: self.random.randint(2, 3)]:
            later = min(60 * DAY, self._past / 4) * self.random.random()
            self._plan(at + later, partial(self._assign_any, kind=kind), user)

    def _profile(self, number: int) -> dict[str, Any]:
        """Return who somebody is; names that repeat get an initial, so that they are unique."""
        again, place = divmod(number, len(self._people))
        person = self._people[place]
        initial = f" {ascii_uppercase[again % 26]}." if again else ""
        full_name = f"{person['FirstName']}{initial} {person['LastName']}"
        plain = unicodedata.normalize("NFKD", full_name.lower()).encode("ascii", "ignore")
        user_name = re.sub("[^a-z'-]+", ".", plain.decode()).strip(".-'") or "user"
        address = f"{user_name}.{number}@example.com"
        return person | {"FullName": full_name, "UserName": address, "Email": address}

    def _leave(self, at: datetime) -> None:
        """Deactivate or delete somebody who manages nobody."""
        user = self.pick("users")
        if user and user.id not in {row["ManagerId"] for row in user.table.rows}:
            self.change(user, at, Active=False)
            if self.chance(0.25):
                self.delete([user], at)

    def _assign_any(self, at: datetime, user: Row | None = None, kind: str = "courses") -> None:
        """Assign any course or learning path directly to somebody."""
        user, what = user or self.pick("users"), self.pick(kind)
        if user and what and user["Active"] and not self._result(user, what):
            self.add(_DIRECT[kind], at, user, what)
            self._assign(at, user, what)

    def _result(self, user: Row, what: Row) -> Row | None:
        return self.tables[_RESULTS[what.table.endpoint.stream]].find(what.id, user.id)

    def _assign(self, at: datetime, user: Row, what: Row) -> Row:
        """Assign a course, or a learning path with its courses; return the result."""
        if known := self._result(user, what):
            return known
        if what.table is self.tables["courses"]:
            return self._enrol(at, user, what)
        whole = self.add("learning_path_results", at, user, what)
        for course in self._of("courses", what):
            part = self._assign(at, user, course)
            self._related["parts", whole].append(part)
            self._related["wholes", part].append(whole)
        self._progress_on_path(at, whole)
        return whole

    def _enrol(self, at: datetime, user: Row, course: Row) -> Row:
        """Add the result of an assigned course, and plan when it is due and studied."""
        due = at + course["TimeLimitDays"] * DAY if course["TimeLimitDays"] else None
        dates = {"DueDate": due, "UpdatedDate": at}
        result = self.add("course_results", at, user, course, **dates, UpdatedBy=None)
        if due:
            self._plan(_night_after(due), self._check_dates, result)
        if self.chance(self._diligence[user.id]):
            self._plan_study(at, result, 10)
        return result

    def _check_dates(self, at: datetime, result: Row) -> None:
        """Update a result that is overdue or lapsed; most people then study."""
        done, till = result["Completed"], result["CompliantTillDate"]
        if done and not (till and till < at):
            return
        self.change(result, at, UpToDate=False, Overdue=not done)
        if self.chance(0.6):
            self._plan_study(at, result, 15)

    def _plan_study(self, at: datetime, result: Row, days: float) -> None:
        """Plan when somebody goes on with a course: after so many days on average."""
        self._plan(at + self.random.expovariate(1 / days) * DAY, self._study, result)

    def _study_anything(self, at: datetime) -> None:
        results = self.tables["course_results"].rows
        if unfinished := [row for row in results if row.parents and not row["Completed"]]:
            self._study(at, self.random.choice(unfinished))

    def _study(self, at: datetime, result: Row) -> None:
        """Take the next module of a course, and plan to go on."""
        user, course = result.parents
        modules = self._of("modules", course)
        if not modules or not user["Active"]:
            return
        if self.chance(0.7):
            self._log_in(at, user)
        self._attempt(at, result, modules)
        share = 1.0 if result["Completed"] else self._steps[result] / len(modules)
        dates = {"StartedDate": result["StartedDate"] or at, "LastAttemptDate": at}
        self.change(result, at, PercentageComplete=round(100 * share, 2), **dates)
        if self._steps[result] >= len(modules):
            self._complete(at, result)
        elif self.chance(0.95):
            self._plan_study(at, result, 1.5)
        for whole in self._of("wholes", result):
            self._progress_on_path(at, whole)

    def _attempt(self, at: datetime, result: Row, modules: Sequence[Row]) -> None:
        """Add the result of a module that somebody started some minutes ago."""
        user, module = result.parents[0], modules[self._steps[result] % len(modules)]
        minutes, passed = self.random.randint(2, 59), self.chance(0.9)
        started = max(at - timedelta(minutes=minutes), result["CreatedDate"])
        values = {
            "StartedDate": started,
            "FinishedDate": at if passed else None,
            "UpdatedDate": at,
            "TimeTaken": f"00:{minutes:02}:00",
            "AttemptNumber": self.random.choice((1, 1, 1, 2)),
            "Completed": passed,
            "Score": self.random.randint(80, 100) if passed else 40,
        }
        self.add("module_results", started, module, user, **values)
        self._steps[result] += passed

    def _complete(self, at: datetime, result: Row) -> None:
        """Complete a course, which may lapse one day; most people renew it in time."""
        user, course = result.parents
        self._steps[result] = 0
        till = at + course["CompliantTillDays"] * DAY if course["CompliantTillDays"] else None
        dates = {"CompletedDate": at, "DueDate": None, "CompliantTillDate": till}
        self.change(result, at, Completed=True, Overdue=False, UpToDate=True, **dates)
        self._achieve(at, result, till)
        if till:
            self._plan(_night_after(till), self._check_dates, result)
            if self.chance(0.9 * self._diligence[user.id]):
                self._plan_study(till - 30 * DAY, result, 15)

    def _progress_on_path(self, at: datetime, whole: Row) -> None:
        """Update a learning path result from the course results that it consists of."""
        shares = [part["PercentageComplete"] for part in self._of("parts", whole)]
        if not any(shares) or whole["Completed"]:
            return
        done = min(shares) == 100  # noqa: PLR2004 - percent
        dates = {"StartDate": whole["StartDate"] or at, "FinishDate": at if done else None}
        percent = round(sum(shares) / len(shares), 2)
        self.change(whole, at, PercentageComplete=percent, Completed=done, **dates)
        if done:
            self._achieve(at, whole, None)

    def _achieve(self, at: datetime, result: Row, till: datetime | None) -> None:
        """Award the achievement for a completed course or learning path."""
        kind = f"{result.parents[1].table.what} Completed"
        more = {"Title": result["Name"], "AchievementDate": at, "CompliantTillDate": till}
        self.add("achievements", at, *result.parents, Type=kind, **more)

    def _log_in(self, at: datetime, user: Row | None = None) -> None:
        """Log somebody in: update their profile and their row of logins."""
        user = user or self.pick("users")
        if user is None or not user["Active"]:
            return
        self.change(user, at, LastLogin=at)
        logins = self.tables["user_logins"]
        login = logins.find(user.id) or logins.add({"Id": user.id})
        login.values |= user.values
        self.add("activity_logins", at, user, ActivityType="Login")

    def _edit(self, at: datetime) -> None:
        """Change a text that nothing depends on, or just save a row again."""
        if row := self.pick(self.random.choice(_EDITED)):
            name = min(row.values.keys() & {"JobTitle", "Description"}, default="Active")
            self.change(row, at, **{name: self.draw(row.table.fields[name], row.number)})


def _night_after(at: datetime) -> datetime:
    """Return the midnight after a time, when Litmos checks due dates."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0) + DAY

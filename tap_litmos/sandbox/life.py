"""What happens in the company, its past and its present alike.

All that will happen waits in a queue, ordered by its moment; what happens may add to it.
Results follow from assignments, those of learning paths from those of their courses, and
achievements from completions.
"""

from __future__ import annotations

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
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from random import Random

    from tap_litmos.declaration import Endpoint

    from .tables import Row

    Act = Callable[..., Any]

DAY = timedelta(days=1)
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz.-'_")
_SHORTEST_NAME = 6
_PASSMARK = 80
_EXAMS = ("quiz", "test", "exam")
_MANDATORY = 4
_ROLES = ("Account_Owner", "Administrator", "Administrator")
_ENOUGH = 8
_SPARED = 20
_RESULTS = {"courses": "course_results", "learning_paths": "learning_path_results"}
_DIRECT = {"courses": "user_courses", "learning_paths": "learning_path_users"}
# What an edit changes; any other stream has all its rows from the declarations alone.
_EDITED = {
    "users": "JobTitle",
    "courses": "Description",
    "modules": "Description",
    "learning_paths": "Description",
    "teams": "TeamCodeForBulkImport",
    "team_courses": "Active",
    "user_courses": "Active",
    "team_users": "IsTeamAdmin",
    "learning_path_users": "Active",
    "ecommerce_courses": "Tags",
}
_OTHERS_TOLD = """
user_logins module_results achievements course_modules learning_path_courses
team_learning_paths ecommerce_learning_paths activity_actions activity_assignments
activity_content activity_settings activity_logins
"""
_TOLD = {*_EDITED, *_RESULTS.values(), *_OTHERS_TOLD.split()}


class Life(Ledger):
    """A company that is founded, hires people, lets them learn, and goes on."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        random: Random,
        start: datetime,
        midnight: datetime,
        users: int,
    ) -> None:
        """Plan the past, in which nothing has happened yet.

        Args:
            endpoints: The streams.
            random: Decides whatever is left to chance.
            start: The midnight before which nothing was.
            midnight: The beginning of the present day.
            users: How many people are hired until then.
        """
        super().__init__(endpoints, random)
        self._queue: list[tuple[datetime, int, Act, tuple[Row, ...]]] = []
        self._order = count()
        self._start, self._past = start, midnight - start
        self._of: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        self._diligence: dict[str, float] = {}
        self._steps: Counter[tuple[str, str]] = Counter()
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._begun: dict[tuple[str, str], Row] = {}
        self._strange = [stream for stream in self.tables if stream not in _TOLD]
        self._acts: tuple[tuple[int, Act], ...] = (
            (60, self._log_in_somebody),
            (80, self._study_something),
            (6, self._hire),
            (12, self._assign_something),
            (50, self._edit),
            (4, self._set),
            (1, self._delete_somebody),
        )
        self._plan_past(users)
        for number in range(most := max(_ENOUGH, users // 10)):
            self._plan(midnight + DAY * number / most, self.happen)

    def _plan_past(self, users: int) -> None:
        courses = min(max(8, users // 12), 240)
        self._plan(self._start + timedelta(hours=8), self._found_team)
        for _ in range(max(4, users // 12) - 1):
            at = self._start + timedelta(hours=9 + 10 * self.random.random())
            self._plan(at, self._found_team)
        for number in range(courses):
            last = 0.03 if number < courses * 0.7 else 0.9
            self._plan(self._moment(0.001, last), self._create_course)
        for _ in range(max(3, courses // 5)):
            self._plan(self._moment(0.03, 0.06), self._create_path)
        # Half of the people are imported, many within the same second; others join later.
        batches = [self._moment(0.02, 0.03).replace(microsecond=0) for _ in range(3)]
        days = [self.random.choice(batches) for _ in range((users + 1) // 2)]
        for at in days + [self._moment(0.03, 0.99) for _ in range(users // 2)]:
            self._plan(at, self._hire)
        acts: list[tuple[int, Act]] = [(users, self._edit), (max(2, users // 48), self._set)]
        acts += [(users // 20, self._delete_somebody)] if users > _SPARED else []
        strange = max(_ENOUGH, users)
        acts += [(strange, partial(self._invent, stream)) for stream in self._strange]
        for times, act in acts:
            for _ in range(times):
                self._plan(self._moment(0.05), act)

    def _moment(self, first: float, last: float = 1.0) -> datetime:
        """Return a moment between two shares of the past."""
        return self._start + self._past * self.random.uniform(first, last)

    def _plan(self, at: datetime, act: Act, *rows: Row) -> None:
        """Let something happen at a moment, unless one of the rows is gone by then."""
        heappush(self._queue, (milliseconds(at), next(self._order), act, rows))

    def run(self, until: datetime) -> None:
        """Let everything happen that is planned up to a moment."""
        while self._queue and self._queue[0][0] <= until:
            at, _, act, rows = heappop(self._queue)
            if not any(row.gone for row in rows):
                act(at, *rows)

    def happen(self, at: datetime) -> None:
        """Let something happen that was not planned."""
        weights = [weight for weight, _ in self._acts]
        self.random.choices(self._acts, weights)[0][1](at)

    def _belonging(self, kind: str, to: Row) -> list[Row]:
        """Return rows that belong to another one."""
        return [row for row in self._of[kind, to.id] if not row.gone]

    def _found_team(self, at: datetime) -> None:
        teams = self.tables["teams"].rows
        if not teams:
            name, above = names.COMPANY, []
        else:
            round_, place = divmod(len(teams) - 1, len(names.DEPARTMENTS))
            name, above = names.DEPARTMENTS[place], [teams[place + 1] if round_ else teams[0]]
            if round_:
                name += f" {names.SITES[(round_ - 1) % len(names.SITES)]}"
            if round_ > len(names.SITES):
                name += f" {round_}"
        team = self.add("teams", at, *above, Name=name)
        for _ in range(7):
            self._plan(self._moment(0.031, 0.3), self._equip, team)
        self._plan(
            self._moment(0.061, 0.5), partial(self._equip, stream="learning_paths"), team
        )

    def _create_course(self, at: datetime) -> None:
        number = len(self.tables["courses"].rows)
        round_, place = divmod(number, len(names.TOPICS))
        edition, level = divmod(round_, len(names.LEVELS))
        topic = names.TOPICS[place]
        end = names.LEVELS[level] + (f" {edition + 1}. ed." if edition else "")
        course = self.add(
            "courses",
            at,
            Name=topic.name + end,
            CompliantTillDays=topic.compliant_days,
            TimeLimitDays=topic.due_days,
        )
        for title in topic.modules:
            exam = any(word in title.lower() for word in _EXAMS)
            kind = {"ModuleType": "Assessment"} if exam else {}
            passmark = _PASSMARK if exam else 0
            module = self.add("modules", at, Name=title + end, Passmark=passmark, **kind)
            self.add("course_modules", at, course, module)
            self._of["modules", course.id].append(module)
        self._offer(course, at)

    def _create_path(self, at: datetime) -> None:
        number = len(self.tables["learning_paths"].rows)
        round_, place = divmod(number, len(names.PATHS))
        name = names.PATHS[place] + (f" {round_ + 1}" if round_ else "")
        path = self.add("learning_paths", at, Name=name, Price=250.0 * (number % 2 == 0))
        courses = self.tables["courses"].rows
        size = min(len(courses), self.random.randint(2, 5))
        for course in self.random.sample(courses, size):
            self.add("learning_path_courses", at, path, course)
            self._of["courses", path.id].append(course)
            self._of["paths", course.id].append(path)
        self._offer(path, at)

    def _offer(self, what: Row, at: datetime) -> None:
        """Offer a course or learning path in the shop if it has a price."""
        what.values["ForSale"] = what["Price"] > 0
        if what["ForSale"]:
            self.add(f"ecommerce_{what.table.endpoint.stream}", at, what)

    def _equip(self, at: datetime, team: Row, stream: str = "courses") -> None:
        """Assign something to a team: what is mandatory first, then anything."""
        found, what = self._belonging("training", team), self.pick(stream)
        if stream == "courses":
            mandatory = [row for row in self.tables[stream].rows if row["TimeLimitDays"]]
            what = next((row for row in mandatory[:_MANDATORY] if row not in found), what)
        if what is None or what in found:
            return
        table = f"team_{stream}"
        self.add(table, at, team, what, IsInTeamLibrary=False)
        if self.chance(0.3):
            self.add(table, at + timedelta(minutes=5), team, what, IsInTeamLibrary=True)
        self._of["training", team.id].append(what)
        for user in self._belonging("members", team):
            self._assign(at, user, what)

    def _hire(self, at: datetime) -> None:
        """Hire somebody into one of the teams, in turn; the first of a team leads it."""
        number, teams = len(self._diligence), self.tables["teams"].rows
        team = teams[number % len(teams)]
        above = self.tables["teams"].find(team["ParentTeamId"])
        managers = self._belonging("members", team)[:1]
        managers = managers or (self._belonging("members", above)[:1] if above else [])
        region = self.random.choice(names.REGIONS)
        first, last = (
            self.random.choice(region.first_names),
            self.random.choice(region.last_names),
        )
        user_name = self._user_name(f"{first}.{last}", number)
        user = self.add(
            "users",
            at,
            *managers,
            UserName=user_name,
            FirstName=first + " " * (number % 41 == 1),
            LastName=last,
            FullName=f"{last} {first}" if region.culture == "ja-JP" else f"{first} {last}",
            Email=user_name if number % 29 else None,
            AccessLevel=_ROLES[number] if number < len(_ROLES) else "Learner",
            LastLogin=None,
            TimeZone=region.time_zone,
            City=region.city,
            Country=region.country,
            Culture=region.culture,
            ManagerName=managers[0]["FullName"] if managers else None,
            ExpirationDate=None if number % 20 else milliseconds(at + 730 * DAY),
        )
        self._diligence[user.id] = diligence = self.random.betavariate(3, 1.3)
        if number < len(_ROLES):
            self.admins.append(user)
        self._join(at, user, team)
        if number % 19 == len(_ROLES) and len(teams) > 1:
            self._plan(at + 10 * DAY, self._join, user, teams[(number + 1) % len(teams)])
        for _ in range(2):
            self._plan(at + 60 * DAY * self.random.random(), self._assign_something, user)
        for _ in range(4 if self.chance(0.8) else 0):
            self._plan(at + self._past * self.random.random(), self._log_in, user)
        if self.chance(0.06 * diligence) and not self._leads(user):
            self._plan(at + self._past * self.random.random(), self._leave, user)

    def _user_name(self, name: str, number: int) -> str:
        """Return a login name in ASCII that nobody else has."""
        name = unicodedata.normalize("NFKD", name.lower())
        name = "".join(letter for letter in name if letter in _PLAIN).strip(".-'")
        if len(name) < _SHORTEST_NAME or self._attempts["names", name]:
            name = f"{name or 'user'}.{number}"
        self._attempts["names", name] += 1
        return f"{name}@example.com"

    def _leads(self, user: Row) -> bool:
        """Return whether somebody leads a team or is an administrator."""
        return user in self.admins or bool(self._of["leads", user.id])

    def _join(self, at: datetime, user: Row, team: Row) -> None:
        """Make somebody a member of a team, who thereby gets what the team is assigned."""
        leader = not self._belonging("members", team)
        self._of["members", team.id].append(user)
        if leader:
            self._of["leads", user.id].append(team)
        self.add("team_users", at, team, user, IsTeamLeader=leader, IsTeamAdmin=leader)
        for what in self._belonging("training", team):
            self._assign(at, user, what)

    def _leave(self, at: datetime, user: Row) -> None:
        self.change(user, at, Active=False)
        self.log("activity_actions", "User Deactivated", at, user)

    def _assign_something(self, at: datetime, user: Row | None = None) -> None:
        """Assign a course or, now and then, a learning path directly to somebody."""
        user = user or self.pick("users")
        what = self.pick("learning_paths" if self.chance(0.2) else "courses")
        if user and what and user["Active"]:
            self._assign(at, user, what, directly=True)

    def _assign(self, at: datetime, user: Row, what: Row, *, directly: bool = False) -> None:
        """Assign a course, or a learning path with its courses, unless somebody has it."""
        stream = what.table.endpoint.stream
        if self.tables[_RESULTS[stream]].find(what.id, user.id):
            return
        if directly:
            self.add(_DIRECT[stream], at, user, what)
        if stream == "learning_paths":
            for course in self._belonging("courses", what):
                self._assign(at, user, course)
            self._progress_on_path(at, self.add(_RESULTS[stream], at, user, what))
            return
        days = what["TimeLimitDays"]
        due = at + days * DAY if days else None
        result = self.add(
            _RESULTS[stream], at, user, what, DueDate=due, UpdatedDate=at, UpdatedBy=None
        )
        if due:
            self._plan(_night_after(due), self._fall_overdue, result)
        diligence = self._diligence[user.id]
        if self.chance(diligence):
            self._plan_study(at, result, 10)
        elif self.chance(0.5):
            self._plan_study(at, result, 120)

    def _fall_overdue(self, at: datetime, result: Row) -> None:
        if not result["Completed"]:
            self.change(result, at, Overdue=True)

    def _plan_study(self, at: datetime, result: Row, days: float) -> None:
        self._plan(at + self.random.expovariate(1 / days) * DAY, self._sit_down, result)

    def _sit_down(self, at: datetime, result: Row) -> None:
        """Let somebody log in, study, and plan when to go on."""
        user = self.tables["users"].find(result["UserId"])
        if user is None or not user["Active"]:
            return
        if self.chance(0.5):
            self._log_in(at, user)
        self._study(at, result)
        gives_up = 0.1 * (1 - self._diligence[user.id]) + 0.02
        if not self._is_through(result) and not self.chance(gives_up):
            self._plan_study(at, result, 1.5)

    def _is_through(self, result: Row) -> bool:
        """Return whether somebody has been through all modules of a course, once or again."""
        modules = len(self._of["modules", result.id])
        return result["Completed"] and self._steps[result.id, result["UserId"]] % modules == 0

    def _study(self, at: datetime, result: Row) -> None:
        """Let somebody take the next step in a course: begin, fail or finish a module."""
        key, modules = (result.id, result["UserId"]), self._of["modules", result.id]
        module = modules[self._steps[key] % len(modules)]
        attempt = self._begun.pop(key, None)
        if attempt is None:
            only_begins = self.chance(0.1)
            minutes = 0 if only_begins else int(self.random.lognormvariate(2.5, 1))
            started = max(at - timedelta(minutes=minutes), result["CreatedDate"])
            self._attempts[module.id, key[1]] += 1
            attempt = self.add(
                "module_results",
                started,
                *(module, self.tables["users"].find(key[1]) or result),
                AttemptNumber=self._attempts[module.id, key[1]],
                Code=result["Code"],
                StartedDate=started,
                FinishedDate=None,
            )
            if only_begins:
                self._begun[key] = attempt
                self._progress(at, result)
                return
        passmark = module["Passmark"]
        done = not passmark or self.chance(0.85)
        score = self.random.randint(passmark or 100, 100) if done else passmark // 2
        seconds = int((at - attempt["StartedDate"]).total_seconds())
        taken = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        self.change(attempt, at, Score=score, Completed=done, FinishedDate=at, TimeTaken=taken)
        self._steps[key] += done
        self._progress(at, result, done=done)

    def _progress(self, at: datetime, result: Row, *, done: bool = False) -> None:
        """Bring a course result up to date after a step, and all that follows from it."""
        user, modules = result["UserId"], len(self._of["modules", result.id])
        steps = self._steps[result.id, user]
        begun = {"StartedDate": result["StartedDate"] or at, "LastAttemptDate": at}
        percent = 100.0 if result["Completed"] else round(100 * steps / modules, 2)
        self.change(result, at, **begun, PercentageComplete=percent)
        if done and steps % modules == 0:
            self._complete(at, result)
        for path in self._belonging("paths", result):
            whole = self.tables["learning_path_results"].find(path.id, user)
            if whole:
                self._progress_on_path(at, whole)

    def _complete(self, at: datetime, result: Row) -> None:
        """Let somebody complete a course, which may lapse one day, and be renewed."""
        course = self.tables["courses"].find(result.id)
        days = course["CompliantTillDays"] if course else None
        till = at + days * DAY if days else None
        self.change(
            result,
            at,
            Completed=True,
            CompletedDate=at,
            DueDate=None,
            Overdue=False,
            UpToDate=True,
            CompliantTillDate=till,
        )
        self._achieve(at, result, till)
        if till:
            self._plan(_night_after(till), self._lapse, result)
            if self.chance(self._diligence[result["UserId"]] * 0.7):
                self._plan_study(till - 20 * DAY, result, 20)

    def _lapse(self, at: datetime, result: Row) -> None:
        """Take note that a completion no longer counts, unless it was renewed."""
        if result["CompliantTillDate"] < at:
            self.change(result, at, UpToDate=False)

    def _progress_on_path(self, at: datetime, whole: Row) -> None:
        """Compute a learning path result from the course results that it consists of."""
        find, user = self.tables["course_results"].find, whole["UserId"]
        courses = self._of["courses", whole.id]
        parts = [part for course in courses if (part := find(course.id, user))]
        begun = [part["StartedDate"] for part in parts if part["StartedDate"]]
        if not begun or whole["Completed"]:
            return
        done = all(part["Completed"] for part in parts)
        percent = sum(part["PercentageComplete"] for part in parts) / len(parts)
        self.change(
            whole,
            at,
            PercentageComplete=round(percent, 2),
            Completed=done,
            StartDate=min(begun),
            FinishDate=at if done else None,
        )
        if done:
            self._achieve(at, whole, None)

    def _achieve(self, at: datetime, result: Row, till: datetime | None) -> None:
        """Award the achievement that comes with a completed course or learning path."""
        of = next(
            stream for stream, name in _RESULTS.items() if name == result.table.endpoint.stream
        )
        what = self.tables[of].find(result.id)
        user = self.tables["users"].find(result["UserId"])
        self.add(
            "achievements",
            at,
            *(row for row in (user, what) if row),
            CompliantTillDate=till,
            Title=result["Name"] + " 🏅" * self.chance(0.1),
            AchievementDate=at,
            Type=f"{self.tables[of].what} Completed",
            CertificateId=self.random.randint(1, 7) if till else None,
        )

    def _log_in(self, at: datetime, user: Row) -> None:
        """Let somebody log in: their profile and their only row of logins change."""
        if not user["Active"]:
            return
        self.change(user, at, LastLogin=at)
        logins = self.tables["user_logins"]
        login = logins.find(user.id)
        if login:
            logins.change(login, user.values)
        else:
            logins.add(dict(user.values))
        address = self.redraw(self.tables["activity_logins"].fields["IPAddress"], user.original)
        line = {"ActivityType": "Login", **self.tables["activity_logins"].taken_over(user)}
        self.write("activity_logins", at, line | {"IPAddress": address})

    def _log_in_somebody(self, at: datetime) -> None:
        if user := self.pick("users"):
            self._log_in(at, user)

    def _study_something(self, at: datetime) -> None:
        for _ in range(_ENOUGH):
            result = self.pick("course_results")
            if result and not self._is_through(result):
                user = self.tables["users"].find(result["UserId"])
                if user and user["Active"]:
                    self._study(at, result)
                    return

    def _edit(self, at: datetime) -> None:
        """Change a field that no other one depends on, or the flag of an assignment."""
        stream = self.random.choice([*_EDITED, *self._strange])
        row = self.pick(stream)
        if row is None or not {"UpdatedDate", _EDITED.get(stream)} & row.values.keys():
            return
        name = _EDITED.get(stream) or list(row.values)[-1]
        if isinstance(row[name], bool):
            self.change(row, at, **{name: not row[name]})
        elif stream in _EDITED:
            number = self.random.randrange(1000)
            self.change(row, at, **{name: self.redraw(row.table.fields[name], number)})

    def _set(self, at: datetime) -> None:
        """Change a setting of a team."""
        category, name, old, new = self.random.choice(names.SETTINGS)
        more = {"Category": category, "OldValue": old, "NewValue": new}
        if team := self.pick("teams"):
            self.log("activity_settings", f"{name} Changed", at, team, **more)

    def _delete_somebody(self, at: datetime) -> None:
        """Delete somebody for good, or a course that is in no learning path."""
        stream = "users" if self.chance(0.8) else "courses"
        row = self.pick(stream)
        if row is None or len(self.tables[stream].rows) < _ENOUGH:
            return
        if not self._leads(row) and not self._of["paths", row.id]:
            self.delete([row], at)

    def _invent(self, stream: str, at: datetime) -> None:
        self.invent(stream, at)


def _night_after(at: datetime) -> datetime:
    """Return the midnight after a moment, when Litmos looks at due dates."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0) + DAY

"""The past of the company: from its first day in Litmos to the present one."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from . import names
from .ledger import DAY, milliseconds

if TYPE_CHECKING:
    from datetime import datetime

    from .tables import Row
    from .training import Training


class History:
    """Lets a company go through its past, in which nothing happens after the end."""

    def __init__(self, company: Training, start: datetime, end: datetime) -> None:
        """Prepare the past between two midnights."""
        self.company = company
        self.random = company.random
        self.start = start
        self.end = end
        self.courses: list[Row] = []
        self.paths: list[Row] = []
        self.teams: list[Row] = []

    def unfold(self, users: int) -> None:
        """Found the company, let its people learn, and bring all results up to date."""
        self._found(max(4, users // 12), min(max(8, users // 12), 240))
        self._hire(users)
        self._assign_to_teams()
        belongings = self._belongings()
        for user in self.company.tables["users"].rows:
            self._live(user, belongings[user.id])
        self.company.fall_overdue(self.end)
        self._settle()

    def _at(self, first: float, last: float = 1.0) -> datetime:
        """Return a moment between two shares of the past."""
        share = first + self.random.random() * (last - first)
        return milliseconds(self.start + (self.end - self.start) * share)

    def _found(self, teams: int, courses: int) -> None:
        company = self.company
        top = company.add_team(names.COMPANY, None, self.start + timedelta(hours=8))
        self.teams.append(top)
        for number in range(teams - 1):
            round_, place = divmod(number, len(names.DEPARTMENTS))
            name = names.DEPARTMENTS[place]
            parent = self.teams[place + 1] if round_ else top
            if round_:
                name += f" {names.SITES[(round_ - 1) % len(names.SITES)]}"
            if round_ > len(names.SITES):
                name += f" {round_}"
            self.teams.append(company.add_team(name, parent, self._at(0.001, 0.01)))
        for number in range(courses):
            topic = names.TOPICS[number % len(names.TOPICS)]
            round_, level = divmod(number // len(names.TOPICS), len(names.LEVELS))
            edition = f" {round_ + 1}. ed." if round_ else ""
            at = self._at(0.001, 0.03 if number < courses * 0.7 else 0.9)
            self.courses.append(company.add_course(topic, names.LEVELS[level] + edition, at))
        for number in range(max(3, courses // 5)):
            round_, place = divmod(number, len(names.PATHS))
            name = names.PATHS[place] + (f" {round_ + 1}" if round_ else "")
            parts = self.random.sample(self.courses, self.random.randint(2, 5))
            latest = max(course.stamp for course in parts)
            self.paths.append(company.add_path(name, parts, latest + timedelta(hours=30)))

    def _hire(self, users: int) -> None:
        """Import half of the people at once, in batches within a second; others join later."""
        company = self.company
        batches = [self._at(0.012, 0.03).replace(microsecond=0) for _ in range(3)]
        days = [self.random.choice(batches) for _ in range((users + 1) // 2)]
        days += [self._at(0.03, 0.99) for _ in range(users // 2)]
        for number, at in enumerate(sorted(days)):
            team = self.teams[number % len(self.teams)]
            level = "Learner"
            if number < 3:  # noqa: PLR2004 - the owner and two administrators
                level = "Administrator" if number else "Account_Owner"
            user = company.hire(at, team, level=level)
            if level != "Learner":
                company.admins.append(user)
            if number % 19 == 18:  # noqa: PLR2004 - some are in another team as well
                other = self.teams[(number + 1) % len(self.teams)]
                company.join(other, user, at + (self.end - at) * 0.1)

    def _assign_to_teams(self) -> None:
        company = self.company
        for team in self.teams:
            mandatory = [course for course in self.courses if course.values["TimeLimitDays"]]
            chosen = mandatory[:4] + self.random.sample(self.courses, 3)
            unique = {course.id: course for course in chosen}
            for number, course in enumerate(unique.values()):
                at = max(self._at(0.031, 0.3), course.stamp + timedelta(hours=9))
                company.assign_to_team("team_courses", team, course, at, library=False)
                if number % 3 == 0:
                    later = at + timedelta(minutes=5)
                    company.assign_to_team("team_courses", team, course, later, library=True)
            for path in self.random.sample(self.paths, 1):
                at = max(self._at(0.04, 0.5), path.stamp + timedelta(hours=9))
                library = company.chance(0.3)
                company.assign_to_team("team_learning_paths", team, path, at, library=library)

    def _belongings(self) -> dict[str, list[tuple[str, Row, datetime]]]:
        """Return for each user what they get through teams: kind, row, moment."""
        tables = self.company.tables
        of_team: defaultdict[str, list[tuple[str, Row, datetime]]] = defaultdict(list)
        for stream, kind in (("team_courses", "courses"), ("team_learning_paths", "paths")):
            parent = "courses" if kind == "courses" else "learning_paths"
            for row in tables[stream].rows:
                if not row.values["IsInTeamLibrary"]:
                    what = tables[parent].get(row.id)
                    of_team[row.text("TeamId")].append((kind, what, row.stamp))
        of_user: defaultdict[str, list[tuple[str, Row, datetime]]] = defaultdict(list)
        for row in tables["team_users"].rows:
            of_user[row.id] += [
                (kind, what, max(at, row.stamp + timedelta(seconds=2)))
                for kind, what, at in of_team[row.text("TeamId")]
            ]
        return of_user

    def _live(self, user: Row, belongings: list[tuple[str, Row, datetime]]) -> None:
        """Let a person be assigned courses and learning paths, study them, perhaps leave."""
        company, random = self.company, self.random
        joined = user.stamp
        end = self.end
        if company.chance(0.06) and not company.leads(user):
            end = joined + (self.end - joined) * random.random()
        self._assign(user, belongings, end)
        sessions = self._study(user, end)
        if company.chance(0.8):
            sessions += [joined + (end - joined) * random.random() for _ in range(4)]
        sessions.sort()
        for at in sessions[:-1]:
            company.log_login(user, at)
        if sessions:
            company.log_in(user, milliseconds(sessions[-1]))
        if end < self.end:
            company.change(user, milliseconds(end), Active=False)
            company.log("activity_actions", "User Deactivated", user, None, user.stamp)

    def _assign(
        self, user: Row, belongings: list[tuple[str, Row, datetime]], end: datetime
    ) -> None:
        """Assign to a person what their teams have, and something of their own."""
        company, random, joined = self.company, self.random, user.stamp
        for kind, what, at in belongings:
            if at < end and kind == "courses":
                company.assign_course(user, what, at, directly=False)
            elif at < end:
                company.assign_path(user, what, at, directly=False)
        for course in random.sample(self.courses, 2):
            at = milliseconds(max(joined, course.stamp) + random.random() * 60 * DAY)
            if at < end:
                company.assign_course(user, course, at, directly=True)
        path = random.choice(self.paths)
        at = milliseconds(max(joined, path.stamp) + random.random() * 90 * DAY)
        if at < end and company.chance(0.5):
            company.assign_path(user, path, at, directly=True)

    def _study(self, user: Row, end: datetime) -> list[datetime]:
        """Let a person study until a moment; return when they logged in to do so."""
        company, random = self.company, self.random
        diligence = random.betavariate(3, 1.3)
        sessions = []
        for result in company.results_of(user):
            pace = 10
            if not company.chance(diligence):
                if company.chance(0.5):
                    continue
                pace = 120
            at = result.stamp + random.expovariate(1 / pace) * DAY
            while at < end and not company.finished(result):
                company.study(result, milliseconds(at))
                if company.chance(0.4):
                    sessions.append(max(at - timedelta(minutes=40), user.stamp))
                at += random.expovariate(1 / 1.5) * DAY
                if company.chance(0.1 * (1 - diligence) + 0.02):  # gives up
                    break
        return sessions

    def _settle(self) -> None:
        """Let some of what was set up be changed again, and a little be deleted."""
        company, random, tables = self.company, self.random, self.company.tables
        for stream, share, change in (
            ("users", 0.2, {"JobTitle": "Team Lead (acting)"}),
            ("courses", 0.3, {"Description": "Now with subtitles &amp;amp; transcripts"}),
            ("modules", 0.1, {"Description": "\tRevised  "}),
            ("teams", 0.2, {"TeamCodeForBulkImport": "moved"}),
            ("team_courses", 0.05, {"Active": False}),
            ("user_courses", 0.05, {"Active": False}),
            ("team_users", 0.03, {"IsTeamAdmin": True}),
            ("learning_path_users", 0.1, {"Active": False}),
            ("ecommerce_courses", 0.5, {"Price": 99.95}),
        ):
            for row in tables[stream].rows:
                if company.chance(share):
                    at = row.stamp + (self.end - row.stamp) * random.random()
                    company.change(row, milliseconds(at), **change)
        for _ in range(max(2, len(self.teams) // 4)):
            company.log_setting(random.choice(self.teams), self._at(0.02))
        if len(tables["users"].rows) > 20:  # noqa: PLR2004 - a tiny company spares everybody
            learners = [row for row in tables["users"].rows if not company.leads(row)]
            company.delete(learners[-3::-97], self.end - DAY)
            company.delete(self.courses[-1:], self.end - DAY)

"""How compliant an organisation is, computed in plain Python from the truth.

A second way beside the marts' SQL, against which their figures are held.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Row = dict[str, Any]
Pair = tuple[str, str]

LATE = {"overdue", "lapsed"}


@dataclass(frozen=True)
class Result:
    """Where a person stands with a course or a learning path."""

    user: str
    of: str
    status: str
    counts: bool
    on_time: bool | None
    lapses: date | None
    assigned: date | None
    completed: date | None
    due: date | None
    due_soon: bool = False


class Truth:
    """What an organisation's rows say on a day.

    Attributes:
        results: For each person and course that the person has, where they stand.
        paths: Likewise for learning paths.
    """

    def __init__(self, rows: Mapping[str, list[Row]], today: date) -> None:
        self.rows, self.today = rows, today
        # Who is not among the users was hired after they were read, and counts all the same.
        self.inactive = {row["Id"] for row in rows["users"] if not row["Active"]}
        self.courses = {row["Id"]: row for row in rows["courses"]}
        self._links = self._links_by_owner()
        self._changed = self._assigned_since()
        self.results = self._course_results()
        self.paths = self._path_results()

    def assignments(self) -> Iterable[tuple[Any, ...]]:
        """Yield person, course, reason, team, path, and when that last changed."""
        for row in in_force(self.rows["user_courses"]):
            yield row["UserId"], row["Id"], "user", None, None, changed(row)
        for row in assigned(self.rows["team_courses"]):
            for member in self._links["team_users", row["TeamId"]]:
                if not row["LearningPathAssignment"]:
                    since = changed(row, member)
                    yield member["Id"], row["Id"], "team", row["TeamId"], None, since
        for row in in_force(self.rows["learning_path_users"]):
            path = row["LearningPathId"]
            for course in self._links["learning_path_courses", path]:
                since = changed(row, course)
                yield row["Id"], course["Id"], "learning_path", None, path, since
        for row in assigned(self.rows["team_learning_paths"]):
            team, path = row["TeamId"], row["Id"]
            for member, course in product(
                self._links["team_users", team], self._links["learning_path_courses", path]
            ):
                since = changed(row, member, course)
                yield member["Id"], course["Id"], "team_learning_path", team, path, since

    def _links_by_owner(self) -> dict[tuple[str, str], list[Row]]:
        """Return who is in each team, and what is in each path, where it is active."""
        links = defaultdict(list)
        for stream, owner in (
            ("team_users", "team"),
            ("learning_path_courses", "learning_path"),
        ):
            active = {row["Id"] for row in in_force(self.rows[f"{owner}s"])}
            key = "TeamId" if owner == "team" else "LearningPathId"
            for row in in_force(self.rows[stream]):
                if row[key] in active:
                    links[stream, row[key]].append(row)
        return links

    def _assigned_since(self) -> dict[Pair, list[datetime]]:
        """Return when each assignment of a pair last changed."""
        changes = defaultdict(list)
        for user, course, *_, since in self.assignments():
            if (
                user not in self.inactive
                and self.courses.get(course, {"Active": True})["Active"]
            ):
                changes[user, course].append(since)
        return changes

    def _course_results(self) -> list[Result]:
        found, seen = [], set()
        earned: Counter[Pair] = Counter()
        for row in self.rows["achievements"]:
            if row["CourseId"]:
                earned[row["UserId"], row["CourseId"]] += 1
        first = min((row["CreatedDate"] for row in self.rows["achievements"]), default=None)
        for row in self.rows["course_results"]:
            pair = row["UserId"], row["Id"]
            seen.add(pair)
            since = max(self._changed[pair], default=None)
            if not row["Active"] and since and since > changed(row):
                found.append(self._without_result(pair, since))
                continue
            course = self.courses[row["Id"]]
            recurs = course["CompliantTillDays"] is not None or row["CompliantTillDate"]
            due = row["DueDate"]
            is_first = earned[pair] == 1 and first and row["CreatedDate"] >= first
            if due is None and row["Completed"] and (not recurs or is_first):
                due = limit(course, row["CreatedDate"])
            done = day(row["CompletedDate"])
            status = self._status(row, day(row["DueDate"]), bool(row["Overdue"]))
            found.append(
                Result(
                    *pair,
                    status,
                    self._counts(*pair) and row["Active"],
                    done <= day(due) if row["Completed"] and due and done else None,  # type: ignore[operator]
                    day(row["CompliantTillDate"]),
                    day(row["CreatedDate"]),
                    done,
                    day(due),
                    due_soon=self._is_soon(status, day(due)),
                )
            )
        found += [
            self._without_result(pair, min(changes))
            for pair, changes in self._changed.items()
            if pair not in seen
        ]
        return found

    def _without_result(self, pair: Pair, since: datetime) -> Result:
        due = day(limit(self.courses[pair[1]], since))
        status = "overdue" if due and due < self.today else "not_started"
        soon = self._is_soon(status, due)
        counts = self._counts(*pair)
        return Result(*pair, status, counts, None, None, day(since), None, due, due_soon=soon)

    def _is_soon(self, status: str, due: date | None) -> bool:
        open_still = status in {"not_started", "in_progress"}
        return open_still and due is not None and due <= self.today + timedelta(days=30)

    def _counts(self, user: str, course: str) -> bool:
        return user not in self.inactive and self.courses[course]["Active"] is not False

    def _status(self, row: Row, due: date | None, flagged: bool) -> str:  # noqa: FBT001
        till, done = day(row["CompliantTillDate"]), row["Completed"]
        if not done and (due < self.today if due else flagged):
            return "overdue"
        if till and till < self.today:
            return "lapsed"
        if done:
            soon = till and till <= self.today + timedelta(days=30)
            return "expiring" if soon else "completed"
        begun = row.get("StartedDate") or row.get("StartDate") or row["PercentageComplete"]
        return "in_progress" if begun else "not_started"

    def _path_results(self) -> list[Result]:
        late = {(each.user, each.of) for each in self.counting() if each.status == "overdue"}
        courses = defaultdict(set)
        for row in self.rows["learning_path_courses"]:
            if row["Active"]:
                courses[row["LearningPathId"]].add(row["Id"])
        off = {row["Id"] for row in self.rows["learning_paths"] if not row["Active"]}
        found = []
        for row in self.rows["learning_path_results"]:
            user, path = row["UserId"], row["Id"]
            behind = any((user, course) in late for course in courses[path])
            counts = bool(row["Active"]) and user not in self.inactive and path not in off
            status = "overdue" if behind else self._status(row, None, flagged=False)
            till, since = day(row["CompliantTillDate"]), day(row["CreatedDate"])
            done = day(row["FinishDate"])
            found.append(Result(user, path, status, counts, None, till, since, done, None))
        return found

    def counting(self) -> list[Result]:
        """Return the results that count."""
        return [each for each in self.results if each.counts]

    def of_teams(self) -> dict[str, set[str]]:
        """Return for each team the people who are in it."""
        active = {row["Id"] for row in self.rows["teams"] if row["Active"]}
        members = defaultdict(set)
        for row in self.rows["team_users"]:
            if row["Active"] and row["TeamId"] in active and row["Id"] not in self.inactive:
                members[row["TeamId"]].add(row["Id"])
        return members

    def above(self, stream: str, parent: str) -> dict[str, list[str]]:
        """Return for each row of a stream the ids above it, the nearest first."""
        parents = {
            row["Id"]: None if row[parent] == "0" else row[parent] for row in self.rows[stream]
        }
        lines = {}
        for each, parent_of in parents.items():
            line: list[str] = []
            above = parent_of
            while above and above not in {*line, each}:
                line.append(above)
                above = parents.get(above)
            lines[each] = line
        return lines


def figures(results: Iterable[Result]) -> dict[str, Any]:
    """Return the figures of compliance over results, as the marts name them."""
    results = list(results)
    by_status = Counter(each.status for each in results)
    late = [each for each in results if each.status in LATE]
    known = [each.on_time for each in results if each.on_time is not None]
    done = by_status["completed"] + by_status["expiring"]
    return {
        "people": len({each.user for each in results}),
        "people_behind": len({each.user for each in late}),
        "assigned": len(results),
        "completed": done,
        **{name: by_status[name] for name in ("expiring", "in_progress", "not_started")},
        **{name: by_status[name] for name in ("overdue", "lapsed")},
        "due_soon": sum(each.due_soon for each in results),
        "percent_completed": percent(done, len(results)),
        "percent_compliant": percent(len(results) - len(late), len(results)),
        "percent_on_time": percent(sum(known), len(known)),
    }


def percent(part: int, whole: int) -> float | None:
    """Return a percentage with one decimal, of which a half is rounded up."""
    return (2000 * part + whole) // (2 * whole) / 10 if whole else None


def in_force(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that are active."""
    return [row for row in rows if row["Active"]]


def assigned(rows: Iterable[Row]) -> list[Row]:
    """Return what a team must do, not what its library offers."""
    return [row for row in in_force(rows) if not row["IsInTeamLibrary"]]


def changed(*rows: Row) -> datetime:
    """Return when the last of some rows changed."""
    moments: list[datetime] = [row["UpdatedDate"] or row["CreatedDate"] for row in rows]
    return max(moments)


def limit(course: Row, since: datetime) -> datetime | None:
    """Return when a course is due that was assigned at a moment."""
    if course["TimeLimitDate"]:
        return course["TimeLimitDate"]  # type: ignore[no-any-return]
    days = course["TimeLimitDays"]
    return since + timedelta(days=days) if days is not None else None


def day(moment: datetime | None) -> date | None:
    """Return the day of a moment, which is in UTC."""
    return moment.date() if moment else None

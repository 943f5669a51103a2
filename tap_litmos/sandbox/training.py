"""What people are assigned, how far they get, and what they earn by it.

Whatever happens, in the company's past as well as while the sandbox runs, happens through
`Training`, so that results always follow from assignments and achievements from results.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from .company import Company
from .ledger import DAY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from .tables import Row, Table, Values


class Training(Company):
    """Assignments, results and achievements; each method takes the moment of its act."""

    def __init__(self, tables: Mapping[str, Table], random: Random) -> None:
        """Start with nobody who learns anything."""
        super().__init__(tables, random)
        self._steps: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._attempts: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._begun: dict[tuple[str, str], Row] = {}

    def assign_to_team(
        self, stream: str, team: Row, what: Row, at: datetime, *, library: bool
    ) -> None:
        """Assign a course or learning path to a team, or offer it in the team's library."""
        original = what.values.get("OriginalCourseId")
        kind = "OriginalCourseId" if original else "OriginalLearningPathId"
        values: Values = {
            "TeamId": team.id,
            "Id": what.id,
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
        known = self.tables["course_results"].find(*key)
        if known:
            return known
        originals = {
            "OriginalUserId": user.values["OriginalId"],
            "OriginalCourseId": course.values["OriginalCourseId"],
        }
        if directly:
            self.add("user_courses", at, UserId=key[1], Id=key[0], Active=True, **originals)
            self.log("activity_assignments", "Assigned", course, user, at)
        due_days = course.values["TimeLimitDays"]
        result = self.add(
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
            DueDate=at + course.whole("TimeLimitDays") * DAY if due_days else None,
            Code=course.values["Code"],
            UserName=user.values["UserName"],
        )
        self.lists["results", key[1]].append(result)
        return result

    def assign_path(self, user: Row, path: Row, at: datetime, *, directly: bool) -> None:
        """Assign a learning path with all its courses to somebody, unless they have it."""
        key = (path.id, user.id)
        if self.tables["learning_path_results"].find(*key):
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
                **originals,
            )
            self.log("activity_assignments", "Assigned", path, user, at)
        for course in self.lists["courses", key[0]]:
            self.assign_course(user, course, at, directly=False)
        whole = self.add(
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
        self._progress_on_path(whole)

    def study(self, result: Row, at: datetime) -> None:
        """Let somebody take the next step in a course: begin, fail or finish a module."""
        key = (result.id, result.text("UserId"))
        modules = self.lists["modules", key[0]]
        module = modules[self._steps[key]]
        passmark = module.whole("Passmark")
        attempt = self._begun.pop(key, None)
        if attempt is None:
            if self.chance(0.1):  # only begins now, and finishes another time
                self._begun[key] = self._attempt(result, module, at)
                self._progress(result, modules, at)
                return
            minutes = timedelta(minutes=int(self.random.lognormvariate(2.5, 1)))
            started = max(at - minutes, result.moment("CreatedDate"))
            attempt = self._attempt(result, module, started)
            failed = passmark > 0 and self.chance(0.15)
        else:
            failed = False
        score = self.random.randint(passmark // 3, passmark - 1) if failed else 100
        if passmark and not failed:
            score = self.random.randint(passmark, 100)
        self.change(
            attempt,
            at,
            Score=score,
            Completed=not failed,
            FinishedDate=at,
            TimeTaken=_clock_text(at - attempt.moment("StartedDate")),
        )
        if not failed:
            self._steps[key] += 1
            self._attempts[key] = 0
        self._progress(result, modules, at)

    def _attempt(self, result: Row, module: Row, at: datetime) -> Row:
        """Let somebody begin with a module."""
        key = (result.id, result.text("UserId"))
        self._attempts[key] += 1
        return self.add(
            "module_results",
            at,
            Id=module.id,
            UserId=key[1],
            OriginalModuleId=module.values["OriginalId"],
            OriginalUserId=result.values["OriginalUserId"],
            ModuleResultId=self.next_id("module_results")[0],
            Active=True,
            Name=module.values["Name"],
            Passmark=module.values["Passmark"],
            Score=0,
            UserName=result.values["UserName"],
            Completed=False,
            AttemptNumber=self._attempts[key],
            StartedDate=at,
            TimeTaken=_clock_text(timedelta()),
            Code=result.values["Code"],
        )

    def results_of(self, user: Row) -> list[Row]:
        """Return somebody's course results."""
        return self.lists["results", user.id]

    def finished(self, result: Row) -> bool:
        """Return whether a course has no module left to study."""
        key = (result.id, result.text("UserId"))
        return self._steps[key] >= len(self.lists["modules", key[0]])

    def _progress(self, result: Row, modules: list[Row], at: datetime) -> None:
        """Bring a course result up to date after a step, and all that follows from it."""
        user = result.text("UserId")
        steps = self._steps[result.id, user]
        changes: Values = {
            "StartedDate": result.values.get("StartedDate") or at,
            "LastAttemptDate": at,
            "PercentageComplete": round(100 * steps / len(modules), 2),
        }
        if steps == len(modules):
            days = self.tables["courses"].get(result.id).values["CompliantTillDays"]
            till = at + days * DAY if isinstance(days, int) else None
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
        for path in self.lists["paths", result.id]:
            whole = self.tables["learning_path_results"].find(path.id, user)
            if whole:
                self._progress_on_path(whole)

    def _progress_on_path(self, whole: Row) -> None:
        """Compute a learning path result from the course results that it consists of."""
        find, user = self.tables["course_results"].find, whole.text("UserId")
        found = [find(course.id, user) for course in self.lists["courses", whole.id]]
        parts = [part for part in found if part]
        begun = [part for part in parts if part.values.get("StartedDate")]
        if not begun:
            return
        percentages = [cast("float", part.values["PercentageComplete"]) for part in parts]
        done = all(part.values["Completed"] for part in parts)
        last = max(part.moment("LastAttemptDate") for part in begun)
        last = max(last, whole.moment("CreatedDate"))
        if done and not whole.values["Completed"]:
            self._achieve(whole, "Learning Path", last, None)
        self.change(
            whole,
            last,
            PercentageComplete=round(sum(percentages) / len(parts), 2),
            Completed=done,
            StartDate=min(part.moment("StartedDate") for part in begun),
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
                self.change(row, last, Overdue=True)


def _clock_text(duration: timedelta) -> str:
    """Return a duration as `HH:mm:ss`, with more than 24 hours if need be."""
    seconds = int(duration.total_seconds())
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"

"""The present of the company: what happens while the sandbox runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import names

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from .tables import Row
    from .training import Training

_FEW = 8


class Life:
    """A sequence of events that is the same whenever a seed is the same."""

    def __init__(self, company: Training) -> None:
        """Prepare for the first event."""
        self.company = company
        self.random = company.random
        self._events: tuple[tuple[int, Callable[[datetime], None]], ...] = (
            (60, self._log_in),
            (80, self._study),
            (6, self._hire),
            (12, self._change_profile),
            (16, self._assign),
            (10, self._toggle_team_assignment),
            (10, self._edit_content),
            (4, self._change_price),
            (4, self._change_setting),
            (1, self._delete),
        )

    def happen(self, at: datetime) -> None:
        """Let the next event happen at a moment."""
        weights = [weight for weight, _ in self._events]
        self.random.choices(self._events, weights)[0][1](at)

    def _pick(self, stream: str, *, active: bool = True) -> Row | None:
        """Return any row of a stream, an active one if possible within a few tries."""
        rows = self.company.tables[stream].rows
        for _ in range(_FEW if rows else 0):
            row = self.random.choice(rows)
            if row.values.get("Active") or not active:
                return row
        return None

    def _log_in(self, at: datetime) -> None:
        if user := self._pick("users"):
            self.company.log_in(user, at)

    def _study(self, at: datetime) -> None:
        company = self.company
        for _ in range(_FEW * _FEW):
            result = self._pick("course_results")
            if result and not company.finished(result):
                user = company.tables["users"].get(result.text("UserId"))
                if user.values["Active"]:
                    company.study(result, at)
                    return

    def _hire(self, at: datetime) -> None:
        company, team = self.company, self._pick("teams")
        if team is None:
            return
        user = company.hire(at, team)
        for stream, parent in (
            ("team_courses", "courses"),
            ("team_learning_paths", "learning_paths"),
        ):
            for row in company.tables[stream].rows:
                value = row.values
                if value["TeamId"] != team.id or value["IsInTeamLibrary"]:
                    continue
                what = company.tables[parent].get(row.id)
                if parent == "courses":
                    company.assign_course(user, what, at, directly=False)
                else:
                    company.assign_path(user, what, at, directly=False)

    def _change_profile(self, at: datetime) -> None:
        if user := self._pick("users"):
            job = self.random.choice(names.JOBS)
            self.company.change(user, at, JobTitle=job)

    def _assign(self, at: datetime) -> None:
        user, course = self._pick("users"), self._pick("courses")
        if user and course:
            self.company.assign_course(user, course, at, directly=True)

    def _toggle_team_assignment(self, at: datetime) -> None:
        row = self._pick("team_courses", active=False)
        if row is None:
            return
        active = not row.values["Active"]
        company, _value = self.company, row.values
        company.change(row, at, Active=active)
        course = company.tables["courses"].get(row.id)
        team = company.tables["teams"].get(row.text("TeamId"))
        what = "Assigned" if active else "Unassigned"
        company.log("activity_assignments", what, course, team, at)

    def _edit_content(self, at: datetime) -> None:
        stream = self.random.choice(("modules", "courses", "learning_paths"))
        if row := self._pick(stream):
            text = f"Edited on {at:%Y-%m-%d at %H:%M} / {self.random.randrange(1000)}"
            self.company.change(row, at, Description=text)

    def _change_price(self, at: datetime) -> None:
        offer = self._pick("ecommerce_courses")
        if offer is None:
            return
        price = round(self.random.uniform(10, 200), 2)
        course = self.company.tables["courses"].get(offer.id)
        self.company.change(offer, at, Price=price)
        self.company.change(course, at, Price=price)

    def _change_setting(self, at: datetime) -> None:
        if team := self._pick("teams"):
            self.company.log_setting(team, at)

    def _delete(self, at: datetime) -> None:
        """Delete something for good, as long as enough of it remains."""
        company = self.company
        others = ("courses", "learning_paths", "teams")
        stream = "users" if self.company.chance(0.8) else self.random.choice(others)
        row = self._pick(stream, active=False)
        if row is None or len(company.tables[stream].rows) < _FEW:
            return
        leads = stream == "users" and company.leads(row)
        keys = {team.values["ParentTeamId"] for team in company.tables["teams"].rows}
        if not leads and row.id not in keys:
            company.delete([row], at)

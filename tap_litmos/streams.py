"""Every stream of the tap, declared as data.

Fields bear Litmos' own names and stand in its order. To add an endpoint, add its `Endpoint`
to `ENDPOINTS`: this is the only file to touch.
"""

from __future__ import annotations

from tap_litmos.declaration import Declaration, Endpoint, Field


def _text(name: str, description: str) -> Field:
    return Field(name, "string", description)


def _whole(name: str, description: str, *also_sent_as: str) -> Field:
    return Field(name, "integer", description, also_sent_as)


def _number(name: str, description: str) -> Field:
    return Field(name, "number", description)


def _flag(name: str, description: str, *also_sent_as: str) -> Field:
    return Field(name, "boolean", description, also_sent_as)


def _moment(name: str, description: str, *also_sent_as: str) -> Field:
    return Field(name, "datetime", description, also_sent_as)


def _id(name: str, of: str) -> Field:
    return _text(name, f"Id of the {of}; case-sensitive")


def _child(of: str) -> Field:
    return _text("Id", f"Id of the {of}, not of this row; case-sensitive")


def _original(name: str, of: str, *also_sent_as: str) -> Field:
    return _whole(name, f"Integer form of the {of}'s id, one to one with it", *also_sent_as)


def _listing(
    stream: str, path: str, root: str, item: str, of: str, total_path: str | None = None
) -> Endpoint:
    what = of.replace("_", " ")
    return Endpoint(
        stream=stream,
        path=path,
        total_path=total_path,
        nesting=(root, item),
        title=f"Present {what}",
        description=f"Ids of all {what} that exist now; those deleted for good are missing",
        primary_key=("Id",),
        replication_key=None,
        references={"Id": f"{of}.Id"},
        fields=(_id("Id", what.removesuffix("s")),),
    )


def _custom(number: int) -> Field:
    return _text(f"CustomField{number}", f"Custom field {number}, defined by the account")


_USER_ID = _id("UserId", "user")
_COURSE_ID = _id("CourseId", "course")
_LEARNING_PATH_ID = _id("LearningPathId", "learning path")
_TEAM_ID = _id("TeamId", "team")

_ORIGINAL_USER_ID = _original("OriginalUserId", "user")
_ORIGINAL_COURSE_ID = _original("OriginalCourseId", "course")
_ORIGINAL_LEARNING_PATH_ID = _original("OriginalLearningPathId", "learning path")
_ORIGINAL_TEAM_ID = _original("OriginalTeamId", "team")

_CREATED_DATE = _moment("CreatedDate", "When the row was created (UTC)")
_UPDATED_DATE = _moment("UpdatedDate", "When the row last changed (UTC), null if it never did")
_CREATED_BY = _whole("CreatedBy", "Integer id of the creating user, -1: system, 0: nobody")
_UPDATED_BY = _whole("UpdatedBy", "Integer id of the last updating user, -1: system, 0: nobody")
_DATES = (_CREATED_DATE, _UPDATED_DATE)
_AUDIT = (*_DATES, _CREATED_BY, _UPDATED_BY)

_LOGIN_NAME = _text("UserName", "Name with which the user logs in")
_PASSMARK = _number("Passmark", "Score that is needed to pass")
_RESULT_ACTIVE = _flag("Active", "False if the result is deactivated")
_PERCENTAGE_COMPLETE = _number("PercentageComplete", "Progress in percent, from 0 to 100")
_COMPLIANT_TILL_DATE = _moment(
    "CompliantTillDate", "Until when completion counts (UTC), null if no end is set"
)
_LEARNING_PATH_ASSIGNMENT = _flag(
    "LearningPathAssignment", "True if assigned through a learning path"
)
_IS_IN_TEAM_LIBRARY = Field(
    "IsInTeamLibrary",
    "boolean",
    "True: offered in the team's library, false: assigned to the team",
    default=False,
)

_FOR_SALE = _flag("ForSale", "Whether it is sold in the account's web shop")
_PRICE = _number("Price", "Price in the web shop, in the shop's currency")
_SALES_TEXTS = (
    _text("EcommerceShortDescription", "Teaser in the web shop"),
    _text("EcommerceLongDescription", "Full text in the web shop"),
)
_ACCESS = (
    _moment("AccessTillDate", "When learners lose access (UTC), null if no date is set"),
    _whole("AccessTillDays", "Days of access after assignment, null if no limit is set"),
)
_LIBRARY = (
    _whole("DisplayOrder", "Position when listed, lowest first"),
    _flag("IncludeInLibrary", "Whether learners can find it in the library themselves"),
)

_PERSON = (
    _id("Id", "user"),
    _LOGIN_NAME,
    _text("FirstName", "Given name"),
    _text("LastName", "Family name"),
    _text("FullName", "Given and family name together"),
    _text("Email", "E-mail address"),
    _text("AccessLevel", "Role in Litmos, such as Learner or Account_Owner"),
    _flag("DisableMessages", "True if the user gets no messages from Litmos"),
    _flag("Active", "False if the user is deactivated"),
    _text("Skype", "Skype name"),
    _text("PhoneWork", "Phone number at work"),
    _text("PhoneMobile", "Mobile phone number"),
    _moment("LastLogin", "Latest login (UTC), null if the user never logged in"),
    Field(
        "LoginKey",
        "string",
        "Login link: treat as a secret",
        opt_in="include_login_key",
    ),
    _flag("IsCustomUsername", "True if the login name is not the e-mail address"),
    _text("TimeZone", "Time zone that the user sees; has no effect on date-times here"),
    _text("SalesforceId", "Id of the user in Salesforce"),
    _original("OriginalId", "user", "OriginalUserId"),
    _text("Street1", "First line of the street address"),
    _text("Street2", "Second line of the street address"),
    _text("City", "City of the address"),
    _text("State", "State or region of the address"),
    _text("PostalCode", "Postal code of the address"),
    _text("Country", "Country of the address"),
    _text("CompanyName", "Company that the user belongs to"),
    _text("JobTitle", "Job title of the user"),
    *map(_custom, range(1, 4)),
    _text("Culture", "Language and region of the user's display, such as en-US"),
    *map(_custom, range(4, 11)),
    _text("SalesforceContactId", "Id of the user's contact in Salesforce"),
    _text("SalesforceAccountId", "Id of the user's account in Salesforce"),
    *_AUDIT,
    _text("Brand", "Brand whose look the user sees"),
    _text("ManagerId", "Id of the user's manager, null or 0 if none; case-sensitive"),
    _text("ManagerName", "Name of the user's manager"),
    _flag("EnableTextNotification", "Whether the user gets text messages on the phone"),
    _text("Website", "Web address of the user"),
    _text("Twitter", "Twitter name"),
    _moment("ExpirationDate", "When the account of the user expires (UTC), null if never"),
    _text("ExternalEmployeeId", "Id of the user in the employer's own systems"),
    _text("ProfileType", "Type of the user's profile"),
)

_ACTIVITY_KEY = Field(
    "ActivityKey",
    "hash",
    "Hash of all other fields, which identifies the row as no id is sent",
    sent=False,
)
_ACTIVITY_TYPE = _text("ActivityType", "What was done")
_OBJECTS = (
    _text("ObjectType", "Kind of the object that was acted on, such as a course"),
    _id("ObjectId", "object that was acted on"),
    _original("OriginalObjectId", "object"),
    _text("ObjectName", "Name of the object that was acted on"),
    _text("TargetObjectType", "Kind of the object that the act was aimed at, such as a user"),
    _id("TargetObjectId", "object that the act was aimed at"),
    _original("OriginalTargetObjectId", "target object"),
    _text("TargetObjectName", "Name of the object that the act was aimed at"),
)
_ACTOR = (
    _whole("ActivityBy", "Integer id of the user who acted"),
    _text("ActivityByUserName", "Login name of the user who acted"),
    _moment("ActivityDate", "When it was done (UTC)"),
)
_ACTIVITY = (_ACTIVITY_KEY, _ACTIVITY_TYPE, *_OBJECTS, *_ACTOR)

_OFFER = (
    _id("Id", "course or learning path"),
    _text("Code", "Short code of the offer"),
    _text("Name", "Name of the offer"),
    _flag("Active", "False if the offer is deactivated"),
    _text("UpdatedBy", "User who last changed the offer, as text"),
    _text("OriginalId", "Integer form of the offer's id, one to one with it, sent as text"),
    _text("Description", "What the offer teaches"),
    *_SALES_TEXTS,
    _text("Skills", "Skills that the offer teaches"),
    _PRICE,
    *_ACCESS,
    _text("CoursePrerequisites", "Courses to be completed before this offer"),
    _text("LearningPathPrerequisites", "Learning paths to be completed before this offer"),
    _text("Currency", "Currency of the price, as a code such as USD"),
    _text("Languages", "Languages in which the offer is available"),
    _text("Topics", "Topics under which the offer is listed"),
    _text("Tags", "Tags of the offer"),
    *_DATES,
    _text("CreatedBy", "User who created the offer, as text"),
)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        stream="users",
        path="/org/users/details",
        nesting=("Users", "User"),
        title="User profiles",
        description="People with their profiles; deactivated ones stay, with Active false",
        primary_key=("Id",),
        replication_key="UpdatedDate",
        references={"ManagerId": "users.Id"},
        fields=_PERSON,
    ),
    Endpoint(
        stream="user_logins",
        path="/org/users/logins",
        nesting=("Users", "User"),
        title="User logins",
        description=(
            "One row for each user's latest login, with the profile; Litmos keeps no earlier "
            "ones, so successive syncs build the history"
        ),
        primary_key=("Id", "LastLogin"),
        replication_key="LastLogin",
        references={"Id": "users.Id"},
        fields=_PERSON,
    ),
    Endpoint(
        stream="module_results",
        path="/org/modules/results",
        nesting=("ModuleResults", "ModuleResult"),
        title="Module results",
        description="How users did in modules; deactivated results stay, with Active false",
        primary_key=("ModuleResultId",),
        replication_key="UpdatedDate",
        references={"UserId": "users.Id", "Id": "modules.Id"},
        fields=(
            _child("module"),
            _USER_ID,
            _original("OriginalModuleId", "module", "OrginalModuleId"),
            _ORIGINAL_USER_ID,
            _whole("ModuleResultId", "Id of this result"),
            _RESULT_ACTIVE,
            _text("Name", "Name of the module"),
            _PASSMARK,
            _number("Score", "Score that the user reached"),
            _LOGIN_NAME,
            _flag("Completed", "Whether the user has completed the module"),
            _whole("AttemptNumber", "Number of the user's attempt at the module"),
            _CREATED_BY,
            _moment("FinishedDate", "When the user finished the module (UTC), null if not yet"),
            _CREATED_DATE,
            _moment("StartedDate", "When the user started the module (UTC), null if not yet"),
            _text("TimeTaken", "Time that the user spent, as HH:mm:ss; may exceed a day"),
            _UPDATED_DATE,
            _text("Code", "Short code of the module"),
        ),
    ),
    Endpoint(
        stream="course_results",
        path="/org/results/details",
        nesting=("UserResults", "UserResult"),
        title="Course results",
        description="How far users are in courses; deactivated results stay, with Active false",
        primary_key=("Id", "UserId"),
        replication_key="UpdatedDate",
        references={"UserId": "users.Id", "Id": "courses.Id"},
        fields=(
            _child("course"),
            _USER_ID,
            _ORIGINAL_USER_ID,
            _ORIGINAL_COURSE_ID,
            _text("Name", "Name of the course"),
            _RESULT_ACTIVE,
            *_DATES,
            _moment("StartedDate", "When the user started the course (UTC), null if not yet"),
            _flag("Completed", "Whether the user has completed the course"),
            _PERCENTAGE_COMPLETE,
            _moment("CompletedDate", "When the user completed it (UTC), null if not yet"),
            _flag("UpToDate", "False if the course has changed since the user completed it"),
            _flag("Overdue", "True if the due date has passed without completion"),
            _COMPLIANT_TILL_DATE,
            _moment("DueDate", "When the course is due (UTC), null if never or once completed"),
            _moment("LastAttemptDate", "When the user last worked on the course (UTC)"),
            _CREATED_BY,
            _text("Code", "Short code of the course"),
            _LOGIN_NAME,
            _UPDATED_BY,
            _LEARNING_PATH_ASSIGNMENT,
            _flag("TeamAssignment", "True if assigned through a team"),
        ),
    ),
    Endpoint(
        stream="learning_path_results",
        path="/org/learningpaths/results",
        nesting=("LearningPathResults", "LearningPathResult"),
        title="Learning path results",
        description=(
            "How far users are in learning paths; deactivated results stay, with Active false"
        ),
        primary_key=("Id", "UserId"),
        replication_key="UpdatedDate",
        references={"UserId": "users.Id", "Id": "learning_paths.Id"},
        fields=(
            _child("learning path"),
            _USER_ID,
            _ORIGINAL_LEARNING_PATH_ID,
            _ORIGINAL_USER_ID,
            _RESULT_ACTIVE,
            _text("Name", "Name of the learning path"),
            _PERCENTAGE_COMPLETE,
            _flag("Completed", "Whether the user has completed the learning path"),
            *_DATES,
            _COMPLIANT_TILL_DATE,
            _moment("StartDate", "When the user started the path (UTC), null if not yet"),
            _moment("FinishDate", "When the user finished the path (UTC), null if not yet"),
            _CREATED_BY,
        ),
    ),
    Endpoint(
        stream="achievements",
        path="/org/achievements",
        nesting=("Achievements", "Achievement"),
        title="User achievements",
        description="What users have earned by completing courses and learning paths",
        primary_key=("Id",),
        replication_key="UpdatedDate",
        references={
            "UserId": "users.Id",
            "CourseId": "courses.Id",
            "LearningPathId": "learning_paths.Id",
        },
        fields=(
            _id("Id", "achievement"),
            _USER_ID,
            _text("CourseId", "Id of the course, null if not for a course; case-sensitive"),
            _text("LearningPathId", "Id of the learning path, null if none; case-sensitive"),
            _original("OriginalAchievementId", "achievement"),
            _ORIGINAL_USER_ID,
            _ORIGINAL_COURSE_ID,
            _ORIGINAL_LEARNING_PATH_ID,
            _moment(
                "CompliantTillDate",
                "Until when the achievement counts (UTC), null if no end is set",
                "ComplaintTillDate",
            ),
            _text("Title", "Title of the achievement"),
            _moment("AchievementDate", "When the user earned the achievement (UTC)"),
            _text("Type", "Kind of the achievement"),
            _whole("CertificateId", "Id of the certificate that comes with it"),
            *_AUDIT,
        ),
    ),
    Endpoint(
        stream="modules",
        path="/org/modules",
        nesting=("Modules", "Module"),
        title="Training modules",
        description="Modules, the parts of courses; deactivated ones stay, with Active false",
        primary_key=("Id",),
        replication_key="UpdatedDate",
        fields=(
            _id("Id", "module"),
            _original("OriginalId", "module"),
            _text("Name", "Name of the module"),
            _text("Description", "What the module teaches"),
            _flag("Active", "False if the module is deactivated"),
            _PASSMARK,
            *_DATES,
            _CREATED_BY,
            _text("ModuleType", "Kind of the module's content"),
        ),
    ),
    Endpoint(
        stream="courses",
        path="/org/courses",
        nesting=("Courses", "Course"),
        title="Training courses",
        description="Courses with their settings; deactivated ones stay, with Active false",
        primary_key=("Id",),
        replication_key="UpdatedDate",
        fields=(
            _id("Id", "course"),
            _text("Code", "Short code of the course"),
            _text("Name", "Name of the course"),
            _flag("Active", "False if the course is deactivated"),
            _FOR_SALE,
            _ORIGINAL_COURSE_ID,
            _text("Description", "What the course teaches"),
            *_SALES_TEXTS,
            _text("CourseCodeForBulkImport", "Code of the course in files for bulk import"),
            _PRICE,
            *_ACCESS,
            *_AUDIT,
            _whole("CompliantTillDays", "Days that completion counts, null if no end is set"),
            _moment("TimeLimitDate", "When the course is due (UTC), null if no date is set"),
            _whole("TimeLimitDays", "Days from assignment until due, null if no limit is set"),
            *_LIBRARY,
            _text("CourseImageURL", "Web address of the course's image"),
        ),
    ),
    Endpoint(
        stream="learning_paths",
        path="/org/learningpaths",
        nesting=("LearningPaths", "LearningPath"),
        title="Learning paths",
        description="Learning paths, made of courses; deactivated ones stay, with Active false",
        primary_key=("Id",),
        replication_key="UpdatedDate",
        fields=(
            _id("Id", "learning path"),
            _text("Name", "Name of the learning path"),
            _text("Description", "What the learning path teaches"),
            _flag("Active", "False if the learning path is deactivated"),
            _original("OriginalId", "learning path"),
            _FOR_SALE,
            _PRICE,
            *_SALES_TEXTS,
            *_ACCESS,
            *_DATES,
            _CREATED_BY,
            *_LIBRARY,
            _flag(
                "IsCourseOrderOptional",
                "True if learners may take the courses in any order",
                "IsCourseOptionalOrder",
            ),
            _text("ImageURL", "Web address of the learning path's image"),
        ),
    ),
    Endpoint(
        stream="course_modules",
        path="/org/courses/modules",
        nesting=("CourseModules", "CourseModule"),
        title="Modules in courses",
        description="Which modules are in which courses; removed ones stay, with Active false",
        primary_key=("CourseId", "Id"),
        replication_key="UpdatedDate",
        references={"CourseId": "courses.Id", "Id": "modules.Id"},
        fields=(
            _COURSE_ID,
            _child("module"),
            _ORIGINAL_COURSE_ID,
            _original("OriginalModuleId", "module"),
            _flag("Active", "False if the module is no longer in the course"),
            *_AUDIT,
        ),
    ),
    Endpoint(
        stream="learning_path_courses",
        path="/org/learningpaths/courses",
        nesting=("LearningPathCourses", "LearningPathCourse"),
        title="Learning path courses",
        description=(
            "Which courses are in which learning paths; removed ones stay, with Active false"
        ),
        primary_key=("LearningPathId", "Id"),
        replication_key="UpdatedDate",
        references={"LearningPathId": "learning_paths.Id", "Id": "courses.Id"},
        fields=(
            _LEARNING_PATH_ID,
            _child("course"),
            _ORIGINAL_LEARNING_PATH_ID,
            _ORIGINAL_COURSE_ID,
            _flag("Active", "False if the course is no longer in the learning path"),
            *_AUDIT,
        ),
    ),
    Endpoint(
        stream="user_courses",
        path="/org/users/courses",
        nesting=("UserCourses", "UserCourse"),
        title="User course assignments",
        description=(
            "Courses assigned to users, without assignments through a team; removed ones stay, "
            "with Active false"
        ),
        primary_key=("UserId", "Id"),
        replication_key="UpdatedDate",
        references={"UserId": "users.Id", "Id": "courses.Id"},
        fields=(
            _USER_ID,
            _child("course"),
            _ORIGINAL_USER_ID,
            _ORIGINAL_COURSE_ID,
            _flag("Active", "False if the course is no longer assigned to the user"),
            *_AUDIT,
        ),
    ),
    Endpoint(
        stream="learning_path_users",
        path="/org/learningpaths/users",
        nesting=("LearningPathUsers", "LearningPathUser"),
        title="Learning path users",
        description=(
            "Learning paths assigned to users, without assignments through a team; removed "
            "ones stay, with Active false"
        ),
        primary_key=("LearningPathId", "Id"),
        replication_key="UpdatedDate",
        references={"LearningPathId": "learning_paths.Id", "Id": "users.Id"},
        fields=(
            _LEARNING_PATH_ID,
            _child("user"),
            _ORIGINAL_LEARNING_PATH_ID,
            _flag("Active", "False if the learning path is no longer assigned to the user"),
            _ORIGINAL_USER_ID,
            _CREATED_BY,
            _CREATED_DATE,
            _UPDATED_BY,
            _UPDATED_DATE,
        ),
    ),
    Endpoint(
        stream="teams",
        path="/org/teams",
        nesting=("Teams", "Team"),
        title="Teams of users",
        description="Teams and how they nest; deactivated ones stay, with Active false",
        primary_key=("Id",),
        replication_key="UpdatedDate",
        references={"ParentTeamId": "teams.Id"},
        fields=(
            _id("Id", "team"),
            _text("Name", "Name of the team"),
            _ORIGINAL_TEAM_ID,
            _flag("Active", "False if the team is deactivated"),
            *_AUDIT,
            _text("ParentTeamId", "Id of the team above, null if none; case-sensitive"),
            _text("TeamCodeForBulkImport", "Code of the team in files for bulk import"),
        ),
    ),
    Endpoint(
        stream="team_users",
        path="/org/teams/users",
        nesting=("TeamUsers", "TeamUser"),
        title="Team members",
        description="Which users are in which teams; removed ones stay, with Active false",
        primary_key=("TeamId", "Id"),
        replication_key="UpdatedDate",
        references={"TeamId": "teams.Id", "Id": "users.Id"},
        fields=(
            _TEAM_ID,
            _child("user"),
            _ORIGINAL_TEAM_ID,
            _ORIGINAL_USER_ID,
            _flag("Active", "False if the user is no longer in the team"),
            _flag("IsTeamLeader", "Whether the user leads the team"),
            _flag("IsTeamAdmin", "Whether the user administers the team"),
            *_AUDIT,
        ),
    ),
    Endpoint(
        stream="team_courses",
        path="/org/teams/courses",
        nesting=("TeamCourses", "TeamCourse"),
        title="Team courses",
        description=(
            "Courses of teams, up to two rows for a team and course, told apart by "
            "IsInTeamLibrary; removed ones stay, with Active false"
        ),
        primary_key=("TeamId", "Id", "IsInTeamLibrary"),
        replication_key="UpdatedDate",
        references={"TeamId": "teams.Id", "Id": "courses.Id"},
        fields=(
            _TEAM_ID,
            _child("course"),
            _ORIGINAL_COURSE_ID,
            _ORIGINAL_TEAM_ID,
            _flag("Active", "False if the team no longer has the course"),
            _IS_IN_TEAM_LIBRARY,
            _LEARNING_PATH_ASSIGNMENT,
            *_AUDIT,
        ),
    ),
    Endpoint(
        stream="team_learning_paths",
        path="/org/teams/learningpaths",
        nesting=("TeamLearningPaths", "TeamLearningPath"),
        title="Team learning paths",
        description=(
            "Learning paths of teams, up to two rows for a team and learning path, told apart "
            "by IsInTeamLibrary; removed ones stay, with Active false"
        ),
        primary_key=("TeamId", "Id", "IsInTeamLibrary"),
        replication_key="UpdatedDate",
        references={"TeamId": "teams.Id", "Id": "learning_paths.Id"},
        fields=(
            _TEAM_ID,
            _child("learning path"),
            _ORIGINAL_LEARNING_PATH_ID,
            _ORIGINAL_TEAM_ID,
            _flag("Active", "False if the team no longer has the learning path"),
            _IS_IN_TEAM_LIBRARY,
            *_AUDIT,
        ),
    ),
    Endpoint(
        stream="activity_actions",
        path="/org/activities/actions",
        nesting=("ActionActivitys", "ActionActivity"),
        title="Action log",
        description="Log of actions in the account, one row for each",
        primary_key=("ActivityKey",),
        replication_key="ActivityDate",
        fields=_ACTIVITY,
        selected_by_default=False,
    ),
    Endpoint(
        stream="activity_assignments",
        path="/org/activities/assignments",
        nesting=("AssignmentActivitys", "AssignmentActivity"),
        title="Assignment log",
        description="Log of assignments made and removed, one row for each",
        primary_key=("ActivityKey",),
        replication_key="ActivityDate",
        fields=_ACTIVITY,
        selected_by_default=False,
    ),
    Endpoint(
        stream="activity_content",
        path="/org/activities/content",
        nesting=("ContentActivitys", "ContentActivity"),
        title="Content log",
        description="Log of changes to training content, one row for each",
        primary_key=("ActivityKey",),
        replication_key="ActivityDate",
        fields=_ACTIVITY,
        selected_by_default=False,
    ),
    Endpoint(
        stream="activity_settings",
        path="/org/activities/settings",
        nesting=("SettingsActivitys", "SettingsActivity"),
        title="Settings log",
        description="Log of changes to settings, with the values before and after",
        primary_key=("ActivityKey",),
        replication_key="ActivityDate",
        fields=(
            _ACTIVITY_KEY,
            _ACTIVITY_TYPE,
            _text("Category", "Group that the setting belongs to"),
            *_OBJECTS,
            _text("OldValue", "Value of the setting before the change"),
            _text("NewValue", "Value of the setting after the change"),
            *_ACTOR,
        ),
        selected_by_default=False,
    ),
    Endpoint(
        stream="activity_logins",
        path="/org/activities/logins",
        nesting=("LoginActivitys", "LoginActivity"),
        title="Login log",
        description="Log of logins, one row for each, unlike user_logins",
        primary_key=("ActivityKey",),
        replication_key="LoginDate",
        references={"UserId": "users.Id"},
        fields=(
            _ACTIVITY_KEY,
            _ACTIVITY_TYPE,
            _USER_ID,
            _ORIGINAL_USER_ID,
            _LOGIN_NAME,
            _text("IPAddress", "Internet address from which the user logged in"),
            _moment("LoginDate", "When the user logged in (UTC)"),
        ),
        selected_by_default=False,
    ),
    Endpoint(
        stream="ecommerce_courses",
        path="/org/ecommerce/courses",
        nesting=("Ecommerce", "Courses", "Course"),
        title="Course offers",
        description="Courses in the web shop; deactivated ones stay, with Active false",
        primary_key=("Id",),
        replication_key="UpdatedDate",
        references={"Id": "courses.Id"},
        fields=_OFFER,
        selected_by_default=False,
    ),
    Endpoint(
        stream="ecommerce_learning_paths",
        path="/org/ecommerce/learningpaths",
        nesting=("Ecommerce", "LearningPaths", "LearningPath"),
        title="Learning path offers",
        description="Learning paths in the web shop; deactivated ones stay, with Active false",
        primary_key=("Id",),
        replication_key="UpdatedDate",
        references={"Id": "learning_paths.Id"},
        fields=_OFFER,
        selected_by_default=False,
    ),
    _listing("user_ids", "/users", "Users", "User", "users", "/users/paginated"),
    _listing("course_ids", "/courses", "Courses", "Course", "courses"),
    _listing(
        "learning_path_ids", "/learningpaths", "LearningPaths", "LearningPath", "learning_paths"
    ),
    _listing("team_ids", "/teams", "Teams", "Team", "teams"),
)

SECRETS = {
    name
    for endpoint in ENDPOINTS
    for name, field in endpoint.elements().items()
    if field.opt_in is not None
}
"""The plain names of elements that are in no field but their own, wherever they come."""

SYNC_LOG = Declaration(
    stream="sync_log",
    title="Sync log",
    description="What the tap read: one row for each window of each stream",
    primary_key=("Stream", "Since", "RequestedAt"),
    replication_key="RequestedAt",
    fields=(
        _text("Stream", "Name of the stream"),
        _moment("Since", "Start of the window (UTC); 1990-01-01 for a list of all ids"),
        _moment("To", "End of the window as it was asked for (UTC), null for a list"),
        _moment(
            "CompleteTo",
            "Up to when every row has come (UTC): the end of the window, or the bookmark if it "
            "is earlier; null if rows were left out",
        ),
        _moment("RequestedAt", "When the first page of the window was requested (UTC)"),
        _whole("Rows", "How many different rows came"),
        _whole(
            "TotalCount",
            "How many rows there are by Litmos' own count, null where it gives none",
        ),
        _whole("Pages", "How many pages came, those that were read again included"),
        _whole("Requests", "How many requests those pages took, retries included"),
        _whole("Retries", "How many of the requests were retries"),
        _whole("ReadAgain", "How often pages were read again, as rows had moved or came twice"),
        _whole("LeftOut", "How many rows were left out, as they had no primary key"),
        _whole("Misfits", "How many values did not fit their field or had to be repaired"),
        _text("Digest", "Hash of the keys and replication values of all rows"),
    ),
    selected_by_default=False,
)
"""The stream that the tap makes of its own work: see `sync_log.py`."""

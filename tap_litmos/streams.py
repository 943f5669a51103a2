"""Every stream of the tap, declared as data.

Fields bear Litmos' own names, in Litmos' order. To add an endpoint, add its `Endpoint` to
`ENDPOINTS`: this is the only file to edit, and `make docs` writes the rest.

*The document*, here and elsewhere, is Litmos' own page "Date Range Delta Queries Via API".
"""

from __future__ import annotations

from tap_litmos.declaration import Declaration, Endpoint, Field


def _string(name: str, description: str) -> Field:
    return Field(name, "string", description)


def _integer(name: str, description: str, *also_sent_as: str) -> Field:
    return Field(name, "integer", description, also_sent_as)


def _number(name: str, description: str) -> Field:
    return Field(name, "number", description)


def _boolean(name: str, description: str, *also_sent_as: str) -> Field:
    return Field(name, "boolean", description, also_sent_as)


def _datetime(name: str, description: str, *also_sent_as: str) -> Field:
    return Field(name, "datetime", description, also_sent_as)


def _id(name: str, of: str) -> Field:
    return _string(name, f"Id of the {of}; case-sensitive")


# Where a row joins two things, Litmos calls the id of one of them `Id`.
def _foreign_id(of: str) -> Field:
    return _string("Id", f"Id of the {of}, not of this row; case-sensitive")


def _integer_id(name: str, of: str, *also_sent_as: str) -> Field:
    return _integer(name, f"Integer form of the {of}'s id, one to one with it", *also_sent_as)


def _listing(stream: str, *, path: str, nesting: tuple[str, str], of: str) -> Endpoint:
    what = of.replace("_", " ")
    return Endpoint(
        stream=stream,
        path=path,
        nesting=nesting,
        title=f"Present {what}",
        description=f"Ids of all {what} that exist now; those deleted for good are missing",
        primary_key=("Id",),
        replication_key=None,
        references={"Id": f"{of}.Id"},
        fields=(_id("Id", what.removesuffix("s")),),
    )


def _custom(number: int) -> Field:
    return _string(f"CustomField{number}", f"Custom field {number}, defined by the account")


_USER_ID = _id("UserId", "user")
_COURSE_ID = _id("CourseId", "course")
_LEARNING_PATH_ID = _id("LearningPathId", "learning path")
_TEAM_ID = _id("TeamId", "team")

_ORIGINAL_USER_ID = _integer_id("OriginalUserId", "user")
_ORIGINAL_COURSE_ID = _integer_id("OriginalCourseId", "course")
_ORIGINAL_LEARNING_PATH_ID = _integer_id("OriginalLearningPathId", "learning path")
_ORIGINAL_TEAM_ID = _integer_id("OriginalTeamId", "team")

_CREATED_DATE = _datetime("CreatedDate", "When the row was created (UTC)")
_UPDATED_DATE = _datetime("UpdatedDate", "When the row last changed (UTC), null if it never did")
_CREATED_BY = _integer("CreatedBy", "Integer id of the creating user, -1: system, 0: nobody")
_UPDATED_BY = _integer("UpdatedBy", "Integer id of the last updating user, -1: system, 0: nobody")
_DATES = (_CREATED_DATE, _UPDATED_DATE)
_AUDIT = (*_DATES, _CREATED_BY, _UPDATED_BY)

_LOGIN_NAME = _string("UserName", "Name with which the user logs in")
_PASSMARK = _number("Passmark", "Score that is needed to pass")
_RESULT_ACTIVE = _boolean("Active", "False if the result is deactivated")
_PERCENTAGE_COMPLETE = _number("PercentageComplete", "Progress in percent, from 0 to 100")
_COMPLIANT_TILL_DATE = _datetime(
    "CompliantTillDate", "Until when completion counts (UTC), null if no end is set"
)
_LEARNING_PATH_ASSIGNMENT = _boolean(
    "LearningPathAssignment", "True if assigned through a learning path"
)
_IS_IN_TEAM_LIBRARY = Field(
    "IsInTeamLibrary",
    "boolean",
    "True: offered in the team's library, false: assigned to the team",
    default=False,
)

_FOR_SALE = _boolean("ForSale", "Whether it is sold in the account's web shop")
_PRICE = _number("Price", "Price in the web shop, in the shop's currency")
_SALES_TEXTS = (
    _string("EcommerceShortDescription", "Teaser in the web shop"),
    _string("EcommerceLongDescription", "Full text in the web shop"),
)
_ACCESS = (
    _datetime("AccessTillDate", "When learners lose access (UTC), null if no date is set"),
    _integer("AccessTillDays", "Days of access after assignment, null if no limit is set"),
)
_LIBRARY = (
    _integer("DisplayOrder", "Position when listed, lowest first"),
    _boolean("IncludeInLibrary", "Whether learners can find it in the library themselves"),
)

_PERSON = (
    _id("Id", "user"),
    _LOGIN_NAME,
    _string("FirstName", "Given name"),
    _string("LastName", "Family name"),
    _string("FullName", "Given and family name together"),
    _string("Email", "E-mail address"),
    _string("AccessLevel", "Role in Litmos, such as Learner or Account_Owner"),
    _boolean("DisableMessages", "True if the user gets no messages from Litmos"),
    _boolean("Active", "False if the user is deactivated"),
    _string("Skype", "Skype name"),
    _string("PhoneWork", "Phone number at work"),
    _string("PhoneMobile", "Mobile phone number"),
    _datetime("LastLogin", "Latest login (UTC), null if the user never logged in"),
    Field("LoginKey", "string", "Login link: treat as a secret", opt_in="include_login_key"),
    _boolean("IsCustomUsername", "True if the login name is not the e-mail address"),
    _string("TimeZone", "Time zone that the user sees; has no effect on date-times here"),
    _string("SalesforceId", "Id of the user in Salesforce"),
    _integer_id("OriginalId", "user", "OriginalUserId"),
    _string("Street1", "First line of the street address"),
    _string("Street2", "Second line of the street address"),
    _string("City", "City of the address"),
    _string("State", "State or region of the address"),
    _string("PostalCode", "Postal code of the address"),
    _string("Country", "Country of the address"),
    _string("CompanyName", "Company that the user belongs to"),
    _string("JobTitle", "Job title of the user"),
    *map(_custom, range(1, 4)),
    _string("Culture", "Language and region of the user's display, such as en-US"),
    *map(_custom, range(4, 11)),
    _string("SalesforceContactId", "Id of the user's contact in Salesforce"),
    _string("SalesforceAccountId", "Id of the user's account in Salesforce"),
    *_AUDIT,
    _string("Brand", "Brand whose look the user sees"),
    _string("ManagerId", "Id of the user's manager, null or 0 if none; case-sensitive"),
    _string("ManagerName", "Name of the user's manager"),
    _boolean("EnableTextNotification", "Whether the user gets text messages on the phone"),
    _string("Website", "Web address of the user"),
    _string("Twitter", "Twitter name"),
    _datetime("ExpirationDate", "When the account of the user expires (UTC), null if never"),
    _string("ExternalEmployeeId", "Id of the user in the employer's own systems"),
    _string("ProfileType", "Type of the user's profile"),
)

_ACTIVITY_KEY = Field(
    "ActivityKey",
    "hash",
    "Hash of all other fields, which identifies the row as no id is sent",
    sent=False,
)
_ACTIVITY_TYPE = _string("ActivityType", "What was done")
_OBJECTS = (
    _string("ObjectType", "Kind of the object that was acted on, such as a course"),
    _id("ObjectId", "object that was acted on"),
    _integer_id("OriginalObjectId", "object"),
    _string("ObjectName", "Name of the object that was acted on"),
    _string("TargetObjectType", "Kind of the object that the act was aimed at, such as a user"),
    _id("TargetObjectId", "object that the act was aimed at"),
    _integer_id("OriginalTargetObjectId", "target object"),
    _string("TargetObjectName", "Name of the object that the act was aimed at"),
)
_ACTOR = (
    _integer("ActivityBy", "Integer id of the user who acted"),
    _string("ActivityByUserName", "Login name of the user who acted"),
    _datetime("ActivityDate", "When it was done (UTC)"),
)
_ACTIVITY = (_ACTIVITY_KEY, _ACTIVITY_TYPE, *_OBJECTS, *_ACTOR)

_OFFER = (
    _id("Id", "course or learning path"),
    _string("Code", "Short code of the offer"),
    _string("Name", "Name of the offer"),
    _boolean("Active", "False if the offer is deactivated"),
    _string("UpdatedBy", "User who last changed the offer, as text"),
    _string("OriginalId", "Integer form of the offer's id, one to one with it, sent as text"),
    _string("Description", "What the offer teaches"),
    *_SALES_TEXTS,
    _string("Skills", "Skills that the offer teaches"),
    _PRICE,
    *_ACCESS,
    _string("CoursePrerequisites", "Courses to be completed before this offer"),
    _string("LearningPathPrerequisites", "Learning paths to be completed before this offer"),
    _string("Currency", "Currency of the price, as a code such as USD"),
    _string("Languages", "Languages in which the offer is available"),
    _string("Topics", "Topics under which the offer is listed"),
    _string("Tags", "Tags of the offer"),
    *_DATES,
    _string("CreatedBy", "User who created the offer, as text"),
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
            _foreign_id("module"),  # the field `Id`: the module's, not the result's
            _USER_ID,
            _integer_id("OriginalModuleId", "module", "OrginalModuleId"),  # Litmos' typo
            _ORIGINAL_USER_ID,
            _integer("ModuleResultId", "Id of this result"),
            _RESULT_ACTIVE,
            _string("Name", "Name of the module"),
            _PASSMARK,
            _number("Score", "Score that the user reached"),
            _LOGIN_NAME,
            _boolean("Completed", "Whether the user has completed the module"),
            _integer("AttemptNumber", "Number of the user's attempt at the module"),
            _CREATED_BY,
            _datetime("FinishedDate", "When the user finished the module (UTC), null if not yet"),
            _CREATED_DATE,
            _datetime("StartedDate", "When the user started the module (UTC), null if not yet"),
            _string("TimeTaken", "Time that the user spent, as HH:mm:ss; may exceed a day"),
            _UPDATED_DATE,
            _string("Code", "Short code of the module"),
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
            _foreign_id("course"),
            _USER_ID,
            _ORIGINAL_USER_ID,
            _ORIGINAL_COURSE_ID,
            _string("Name", "Name of the course"),
            _RESULT_ACTIVE,
            *_DATES,
            _datetime("StartedDate", "When the user started the course (UTC), null if not yet"),
            _boolean("Completed", "Whether the user has completed the course"),
            _PERCENTAGE_COMPLETE,
            _datetime("CompletedDate", "When the user completed it (UTC), null if not yet"),
            _boolean("UpToDate", "False if the course has changed since the user completed it"),
            _boolean("Overdue", "True if the due date has passed without completion"),
            _COMPLIANT_TILL_DATE,
            _datetime("DueDate", "When the course is due (UTC), null if never or once completed"),
            _datetime("LastAttemptDate", "When the user last worked on the course (UTC)"),
            _CREATED_BY,
            _string("Code", "Short code of the course"),
            _LOGIN_NAME,
            _UPDATED_BY,
            _LEARNING_PATH_ASSIGNMENT,
            _boolean("TeamAssignment", "True if assigned through a team"),
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
            _foreign_id("learning path"),
            _USER_ID,
            _ORIGINAL_LEARNING_PATH_ID,
            _ORIGINAL_USER_ID,
            _RESULT_ACTIVE,
            _string("Name", "Name of the learning path"),
            _PERCENTAGE_COMPLETE,
            _boolean("Completed", "Whether the user has completed the learning path"),
            *_DATES,
            _COMPLIANT_TILL_DATE,
            _datetime("StartDate", "When the user started the path (UTC), null if not yet"),
            _datetime("FinishDate", "When the user finished the path (UTC), null if not yet"),
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
            _string("CourseId", "Id of the course, null if not for a course; case-sensitive"),
            _string("LearningPathId", "Id of the learning path, null if none; case-sensitive"),
            _integer_id("OriginalAchievementId", "achievement"),
            _ORIGINAL_USER_ID,
            _ORIGINAL_COURSE_ID,
            _ORIGINAL_LEARNING_PATH_ID,
            _datetime(
                "CompliantTillDate",
                "Until when the achievement counts (UTC), null if no end is set",
                "ComplaintTillDate",
            ),
            _string("Title", "Title of the achievement"),
            _datetime("AchievementDate", "When the user earned the achievement (UTC)"),
            _string("Type", "Kind of the achievement"),
            _integer("CertificateId", "Id of the certificate that comes with it"),
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
            _integer_id("OriginalId", "module"),
            _string("Name", "Name of the module"),
            _string("Description", "What the module teaches"),
            _boolean("Active", "False if the module is deactivated"),
            _PASSMARK,
            *_DATES,
            _CREATED_BY,
            _string("ModuleType", "Kind of the module's content"),
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
            _string("Code", "Short code of the course"),
            _string("Name", "Name of the course"),
            _boolean("Active", "False if the course is deactivated"),
            _FOR_SALE,
            _ORIGINAL_COURSE_ID,
            _string("Description", "What the course teaches"),
            *_SALES_TEXTS,
            _string("CourseCodeForBulkImport", "Code of the course in files for bulk import"),
            _PRICE,
            *_ACCESS,
            *_AUDIT,
            _integer("CompliantTillDays", "Days that completion counts, null if no end is set"),
            _datetime("TimeLimitDate", "When the course is due (UTC), null if no date is set"),
            _integer("TimeLimitDays", "Days from assignment until due, null if no limit is set"),
            *_LIBRARY,
            _string("CourseImageURL", "Web address of the course's image"),
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
            _string("Name", "Name of the learning path"),
            _string("Description", "What the learning path teaches"),
            _boolean("Active", "False if the learning path is deactivated"),
            _integer_id("OriginalId", "learning path"),
            _FOR_SALE,
            _PRICE,
            *_SALES_TEXTS,
            *_ACCESS,
            *_DATES,
            _CREATED_BY,
            *_LIBRARY,
            _boolean(
                "IsCourseOrderOptional",
                "True if learners may take the courses in any order",
                "IsCourseOptionalOrder",
            ),
            _string("ImageURL", "Web address of the learning path's image"),
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
            _foreign_id("module"),
            _ORIGINAL_COURSE_ID,
            _integer_id("OriginalModuleId", "module"),
            _boolean("Active", "False if the module is no longer in the course"),
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
            _foreign_id("course"),
            _ORIGINAL_LEARNING_PATH_ID,
            _ORIGINAL_COURSE_ID,
            _boolean("Active", "False if the course is no longer in the learning path"),
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
            _foreign_id("course"),
            _ORIGINAL_USER_ID,
            _ORIGINAL_COURSE_ID,
            _boolean("Active", "False if the course is no longer assigned to the user"),
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
            _foreign_id("user"),
            _ORIGINAL_LEARNING_PATH_ID,
            _boolean("Active", "False if the learning path is no longer assigned to the user"),
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
            _string("Name", "Name of the team"),
            _ORIGINAL_TEAM_ID,
            _boolean("Active", "False if the team is deactivated"),
            *_AUDIT,
            _string("ParentTeamId", "Id of the team above, null if none; case-sensitive"),
            _string("TeamCodeForBulkImport", "Code of the team in files for bulk import"),
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
            _foreign_id("user"),
            _ORIGINAL_TEAM_ID,
            _ORIGINAL_USER_ID,
            _boolean("Active", "False if the user is no longer in the team"),
            _boolean("IsTeamLeader", "Whether the user leads the team"),
            _boolean("IsTeamAdmin", "Whether the user administers the team"),
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
            _foreign_id("course"),
            _ORIGINAL_COURSE_ID,
            _ORIGINAL_TEAM_ID,
            _boolean("Active", "False if the team no longer has the course"),
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
            _foreign_id("learning path"),
            _ORIGINAL_LEARNING_PATH_ID,
            _ORIGINAL_TEAM_ID,
            _boolean("Active", "False if the team no longer has the learning path"),
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
            _string("Category", "Group that the setting belongs to"),
            *_OBJECTS,
            _string("OldValue", "Value of the setting before the change"),
            _string("NewValue", "Value of the setting after the change"),
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
            _string("IPAddress", "Internet address from which the user logged in"),
            _datetime("LoginDate", "When the user logged in (UTC)"),
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
    _listing(
        "user_ids",
        path="/users",
        nesting=("Users", "User"),
        of="users",
    ),
    _listing("course_ids", path="/courses", nesting=("Courses", "Course"), of="courses"),
    _listing(
        "learning_path_ids",
        path="/learningpaths",
        nesting=("LearningPaths", "LearningPath"),
        of="learning_paths",
    ),
    _listing("team_ids", path="/teams", nesting=("Teams", "Team"), of="teams"),
)

SECRETS = {
    name
    for endpoint in ENDPOINTS
    for name, field in endpoint.elements().items()
    if field.opt_in is not None
}
"""The plain names of elements that never go to `OtherFields`, however deep they lie: who does
not opt in to such a field must not get it there."""

SYNC_LOG = Declaration(
    stream="sync_log",
    title="Sync log",
    description="What the tap read: one row for each window of each stream",
    primary_key=("Stream", "Since", "RequestedAt"),
    replication_key="RequestedAt",
    fields=(
        _string("Stream", "Name of the stream"),
        _datetime("Since", "Start of the window (UTC); 1990-01-01 for a list of all ids"),
        _datetime("To", "End of the window as it was asked for (UTC), null for a list"),
        _datetime(
            "CompleteTo",
            "Up to when every row has come (UTC): the end of the window, or the bookmark if it "
            "is earlier; null if rows were left out",
        ),
        _datetime("RequestedAt", "When the first page of the window was requested (UTC)"),
        _integer("Rows", "How many different rows came"),
        _integer(
            "RowsDatedInWindow",
            "How many of these rows last changed within the window, by their own date; for a "
            "list, all of them",
        ),
        _integer("Pages", "How many pages came, those that were read again included"),
        _integer("Requests", "How many requests those pages took, retries included"),
        _integer("Retries", "How many of the requests were retries"),
        _integer("PagesReread", "How often pages were read again, as rows had moved or came twice"),
        _integer("RowsWithoutKey", "How many rows were not written, as they had no primary key"),
        _integer(
            "InvalidValues", "How many values were not valid for their field, or were repaired"
        ),
        _string("Digest", "Hash of the keys and replication values of RowsDatedInWindow"),
    ),
    selected_by_default=False,
)
"""The stream that the tap makes of its own work: see `sync_log.py`."""

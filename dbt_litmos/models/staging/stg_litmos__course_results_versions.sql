{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'course_id', 'string'),
    ('UserId', 'user_id', 'string'),
    ('OriginalUserId', 'original_user_id', 'integer'),
    ('OriginalCourseId', 'original_course_id', 'integer'),
    ('Name', 'name', 'string'),
    ('Active', 'is_active', 'boolean'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('StartedDate', 'started_date', 'datetime'),
    ('Completed', 'completed', 'boolean'),
    ('PercentageComplete', 'percentage_complete', 'number'),
    ('CompletedDate', 'completed_date', 'datetime'),
    ('UpToDate', 'up_to_date', 'boolean'),
    ('Overdue', 'overdue', 'boolean'),
    ('CompliantTillDate', 'compliant_till_date', 'datetime'),
    ('DueDate', 'due_date', 'datetime'),
    ('LastAttemptDate', 'last_attempt_date', 'datetime'),
    ('CreatedBy', 'created_by', 'integer'),
    ('Code', 'code', 'string'),
    ('UserName', 'user_name', 'string'),
    ('UpdatedBy', 'updated_by', 'integer'),
    ('LearningPathAssignment', 'learning_path_assignment', 'boolean'),
    ('TeamAssignment', 'team_assignment', 'boolean'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'course_results',
    fields,
    key=['Id', 'UserId'],
    changed='UpdatedDate',
    every_version=true
) }}

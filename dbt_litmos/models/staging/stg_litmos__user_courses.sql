{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('UserId', 'user_id', 'string'),
    ('Id', 'course_id', 'string'),
    ('OriginalUserId', 'original_user_id', 'integer'),
    ('OriginalCourseId', 'original_course_id', 'integer'),
    ('Active', 'is_active', 'boolean'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('CreatedBy', 'created_by', 'integer'),
    ('UpdatedBy', 'updated_by', 'integer'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'user_courses',
    fields,
    key=['UserId', 'Id'],
    changed='UpdatedDate'
) }}

{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('CourseId', 'course_id', 'string'),
    ('Id', 'module_id', 'string'),
    ('OriginalCourseId', 'original_course_id', 'integer'),
    ('OriginalModuleId', 'original_module_id', 'integer'),
    ('Active', 'is_active', 'boolean'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('CreatedBy', 'created_by', 'integer'),
    ('UpdatedBy', 'updated_by', 'integer'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'course_modules',
    fields,
    key=['CourseId', 'Id'],
    changed='UpdatedDate'
) }}

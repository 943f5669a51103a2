{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('LearningPathId', 'learning_path_id', 'string'),
    ('Id', 'course_id', 'string'),
    ('OriginalLearningPathId', 'original_learning_path_id', 'integer'),
    ('OriginalCourseId', 'original_course_id', 'integer'),
    ('Active', 'is_active', 'boolean'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('CreatedBy', 'created_by', 'integer'),
    ('UpdatedBy', 'updated_by', 'integer'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'learning_path_courses',
    fields,
    key=['LearningPathId', 'Id'],
    changed='UpdatedDate'
) }}

{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('LearningPathId', 'learning_path_id', 'string'),
    ('Id', 'user_id', 'string'),
    ('OriginalLearningPathId', 'original_learning_path_id', 'integer'),
    ('Active', 'is_active', 'boolean'),
    ('OriginalUserId', 'original_user_id', 'integer'),
    ('CreatedBy', 'created_by', 'integer'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedBy', 'updated_by', 'integer'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'learning_path_users',
    fields,
    key=['LearningPathId', 'Id'],
    changed='UpdatedDate'
) }}

{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'learning_path_id', 'string'),
    ('UserId', 'user_id', 'string'),
    ('OriginalLearningPathId', 'original_learning_path_id', 'integer'),
    ('OriginalUserId', 'original_user_id', 'integer'),
    ('Active', 'is_active', 'boolean'),
    ('Name', 'name', 'string'),
    ('PercentageComplete', 'percentage_complete', 'number'),
    ('Completed', 'completed', 'boolean'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('CompliantTillDate', 'compliant_till_date', 'datetime'),
    ('StartDate', 'start_date', 'datetime'),
    ('FinishDate', 'finish_date', 'datetime'),
    ('CreatedBy', 'created_by', 'integer'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'learning_path_results',
    fields,
    key=['Id', 'UserId'],
    changed='UpdatedDate'
) }}

{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'module_id', 'string'),
    ('UserId', 'user_id', 'string'),
    ('OriginalModuleId', 'original_module_id', 'integer'),
    ('OriginalUserId', 'original_user_id', 'integer'),
    ('ModuleResultId', 'module_result_id', 'integer'),
    ('Active', 'is_active', 'boolean'),
    ('Name', 'name', 'string'),
    ('Passmark', 'passmark', 'number'),
    ('Score', 'score', 'number'),
    ('UserName', 'user_name', 'string'),
    ('Completed', 'completed', 'boolean'),
    ('AttemptNumber', 'attempt_number', 'integer'),
    ('CreatedBy', 'created_by', 'integer'),
    ('FinishedDate', 'finished_date', 'datetime'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('StartedDate', 'started_date', 'datetime'),
    ('TimeTaken', 'time_taken', 'string'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('Code', 'code', 'string'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'module_results',
    fields,
    key=['ModuleResultId'],
    changed='UpdatedDate'
) }}

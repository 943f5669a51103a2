{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('TeamId', 'team_id', 'string'),
    ('Id', 'learning_path_id', 'string'),
    ('OriginalLearningPathId', 'original_learning_path_id', 'integer'),
    ('OriginalTeamId', 'original_team_id', 'integer'),
    ('Active', 'is_active', 'boolean'),
    ('IsInTeamLibrary', 'is_in_team_library', 'boolean'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('CreatedBy', 'created_by', 'integer'),
    ('UpdatedBy', 'updated_by', 'integer'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'team_learning_paths',
    fields,
    key=['TeamId', 'Id', 'IsInTeamLibrary'],
    changed='UpdatedDate'
) }}

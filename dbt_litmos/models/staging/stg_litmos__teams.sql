{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'team_id', 'string'),
    ('Name', 'name', 'string'),
    ('OriginalTeamId', 'original_team_id', 'integer'),
    ('Active', 'is_active', 'boolean'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('CreatedBy', 'created_by', 'integer'),
    ('UpdatedBy', 'updated_by', 'integer'),
    ('ParentTeamId', 'parent_team_id', 'string'),
    ('TeamCodeForBulkImport', 'team_code_for_bulk_import', 'string'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'teams',
    fields,
    key=['Id'],
    changed='UpdatedDate',
    listing='team_ids'
) }}

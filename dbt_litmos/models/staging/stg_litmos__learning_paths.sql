{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'learning_path_id', 'string'),
    ('Name', 'name', 'string'),
    ('Description', 'description', 'string'),
    ('Active', 'is_active', 'boolean'),
    ('OriginalId', 'original_id', 'integer'),
    ('ForSale', 'for_sale', 'boolean'),
    ('Price', 'price', 'number'),
    ('EcommerceShortDescription', 'ecommerce_short_description', 'string'),
    ('EcommerceLongDescription', 'ecommerce_long_description', 'string'),
    ('AccessTillDate', 'access_till_date', 'datetime'),
    ('AccessTillDays', 'access_till_days', 'integer'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('CreatedBy', 'created_by', 'integer'),
    ('DisplayOrder', 'display_order', 'integer'),
    ('IncludeInLibrary', 'include_in_library', 'boolean'),
    ('IsCourseOrderOptional', 'is_course_order_optional', 'boolean'),
    ('ImageURL', 'image_url', 'string'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'learning_paths',
    fields,
    key=['Id'],
    changed='UpdatedDate',
    listing='learning_path_ids'
) }}

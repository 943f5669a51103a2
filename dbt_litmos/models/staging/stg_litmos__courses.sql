{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'course_id', 'string'),
    ('Code', 'code', 'string'),
    ('Name', 'name', 'string'),
    ('Active', 'is_active', 'boolean'),
    ('ForSale', 'for_sale', 'boolean'),
    ('OriginalCourseId', 'original_course_id', 'integer'),
    ('Description', 'description', 'string'),
    ('EcommerceShortDescription', 'ecommerce_short_description', 'string'),
    ('EcommerceLongDescription', 'ecommerce_long_description', 'string'),
    ('CourseCodeForBulkImport', 'course_code_for_bulk_import', 'string'),
    ('Price', 'price', 'number'),
    ('AccessTillDate', 'access_till_date', 'datetime'),
    ('AccessTillDays', 'access_till_days', 'integer'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('CreatedBy', 'created_by', 'integer'),
    ('UpdatedBy', 'updated_by', 'integer'),
    ('CompliantTillDays', 'compliant_till_days', 'integer'),
    ('TimeLimitDate', 'time_limit_date', 'datetime'),
    ('TimeLimitDays', 'time_limit_days', 'integer'),
    ('DisplayOrder', 'display_order', 'integer'),
    ('IncludeInLibrary', 'include_in_library', 'boolean'),
    ('CourseImageURL', 'course_image_url', 'string'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'courses',
    fields,
    key=['Id'],
    changed='UpdatedDate',
    listing='course_ids'
) }}

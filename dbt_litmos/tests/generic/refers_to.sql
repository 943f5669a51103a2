{# Rows that refer to a row that is missing in their account. #}
{% test refers_to(model, column_name, to, field) %}
with referring as (

    select account, {{ column_name }} as id
    from {{ model }}
    where {{ column_name }} is not null

)

select referring.id
from referring
left join {{ to }} as referred
    on referred.{{ field }} = referring.id and referred.account = referring.account
where referred.{{ field }} is null
{% endtest %}

{# Keys of several columns that more than one row has. #}
{% test unique_key(model, key) %}
select {{ key | join(', ') }}
from {{ model }}
group by {{ key | join(', ') }}
having count(*) > 1
{% endtest %}

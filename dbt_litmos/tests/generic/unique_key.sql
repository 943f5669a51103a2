{# The rows whose key, of several columns, is not theirs alone. #}
{% test unique_key(model, key) %}
select {{ key | join(', ') }}
from {{ model }}
group by {{ key | join(', ') }}
having count(*) > 1
{% endtest %}

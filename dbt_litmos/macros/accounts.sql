{#
  Several Litmos accounts in one project: `litmos__schemas` lists their schemas, and the column
  `account` of every model holds the schema of a row. Ids are unique within an account only.
#}

{# The schemas of the tap's tables, one for each account. #}
{% macro schemas() %}
  {%- do return(var('litmos__schemas') or [var('litmos__schema')]) -%}
{% endmacro %}


{% macro has_several_accounts() %}
  {%- do return(litmos.schemas() | length > 1) -%}
{% endmacro %}


{# The end of a join's condition: that two rows belong to the same account. #}
{% macro same_account(first, second) -%}
  {%- if litmos.has_several_accounts() %} and {{ first }}.account = {{ second }}.account{% endif -%}
{%- endmacro %}


{#
  A text that identifies a row: expressions joined by `/`, after the account if there are several.

  Args:
    parts: The expressions.
    account: The expression for the account.
#}
{% macro key(parts, account='account') -%}
  {%- set fields = [] -%}
  {%- for part in ([account] if litmos.has_several_accounts() else []) + parts -%}
    {%- do fields.extend(["'/'", part] if fields else [part]) -%}
  {%- endfor -%}
  {{ dbt.concat(fields) if fields | length > 1 else fields[0] }}
{%- endmacro %}

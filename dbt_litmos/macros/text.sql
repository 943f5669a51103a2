{# A name as people read it: Litmos sends some with the entities of HTML. #}
{% macro readable(name) -%}
  {%- set text = namespace(sql=name) -%}
  {%- for entity, character in [
      ('&lt;', '<'), ('&gt;', '>'), ('&quot;', '"'), ('&#39;', "''"), ('&apos;', "''"),
      ('&nbsp;', ' '), ('&amp;', '&'),
  ] -%}
    {%- set text.sql = "replace(" ~ text.sql ~ ", '" ~ entity ~ "', '" ~ character ~ "')" -%}
  {%- endfor -%}
  trim({{ text.sql }})
{%- endmacro %}

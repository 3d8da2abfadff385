{% macro m() %}1{% endmacro %}
select {{ m() }} as x
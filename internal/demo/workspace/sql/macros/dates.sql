{# The calendar date of an instant in the schedule's zone: the one that data dates are counted in. #}
{% macro local_date(moment) %}cast({{ moment }} at time zone '{{ var("zone") }}' as date){% endmacro %}

{# True for what had happened by the end of the data date. Full tables show production as it was when the
   night ran, which may be later; reports count only up to their date. #}
{% macro by_data_date(moment) %}{{ local_date(moment) }} <= date '{{ data_date }}'{% endmacro %}

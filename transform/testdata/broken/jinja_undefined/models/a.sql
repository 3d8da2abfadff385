select
  {{ colum }} as x
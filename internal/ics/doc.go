// Package ics reads the holidays of an iCalendar file: what most companies and countries publish theirs as.
package ics

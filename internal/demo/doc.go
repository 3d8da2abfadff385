// Package demo makes a workspace to try Daybreak with: the production database of a company that sells
// customer messaging, and the configuration, schedule and models that its data team would have written.
//
// The database is generated, not shipped. Everything in it follows from a seed and a date, so two machines
// make the same rows, and it looks like production does: a few customers are most of the traffic, weekdays
// and office hours have their shape in nineteen time zones, invoices are paid weeks after they were written,
// conversations are rated days after they ended, names and messages come in many scripts, and some columns
// are NULL more often than anyone intended. Nobody in it exists; every address ends in ".example".
package demo

// Package elt is the vocabulary of Daybreak: datasets, days, runs, steps, manifests, versions and
// incidents, their states, and the pure rules over them.
//
// It imports the standard library only, and every other package imports it. Nothing here reads a
// clock, a file or a database: a rule is a function from facts to a conclusion, so that the status
// page, the scheduler and a test reach the same conclusion from the same facts.
package elt

// Package eta says when a night's datasets will arrive: the time that half of the possible nights keep, the time
// that nine in ten keep, how likely a deadline is to be missed, and what it hangs on.
//
// A [Model] learns from recorded nights, oldest first. For every step it keeps what is usual (a level that follows
// drift, the weekday, the month's end, the rows to be moved) and shelves, night by night, by how much each step
// missed what was expected of it on the evening before. [Model.Forecast] starts from where tonight's steps are
// and plays the rest of the night a few thousand times: each time it takes one whole night from the shelf, so that
// what was slow together stays slow together, leans it towards what tonight has shown so far, and runs the graph of
// steps on the workers that there are. A step that is running can only end later than now.
//
// There is no number where none can be had: too few nights, a step that has run longer than it ever did, a step
// that failed. The reason is said instead.
//
// Everything here is a pure function of its arguments and of the random source that the caller hands in.
// docs/eta.md explains the method, where it comes from and how it was measured.
package eta

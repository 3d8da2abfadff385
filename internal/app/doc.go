// Package app builds every part of Daybreak in the order in which data flows through it, and wires the parts
// together. It is the only place that knows them all; each command of the command line is one file.
package app

// About is what --help says first.
const About = `Daybreak runs the nightly ELT of a data team, and tells everybody else when their data is ready.

  daybreak demo                              a company, seven nights and a status page, on this machine
  daybreak init shop && cd shop              a workspace of your own
  daybreak check && daybreak run             one night, now
  daybreak serve                             every night, with the status page
  daybreak wait revenue@2026-01-05           the first line of a job that needs revenue`

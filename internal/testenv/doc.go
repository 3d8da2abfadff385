// Package testenv starts the real servers that tests talk to: PostgreSQL, MariaDB, an S3 server,
// a browser; and Toxiproxy, which stands before one of them and cuts, slows or swallows its connections.
//
// Every server listens on a free port of the loopback interface, keeps its files in a temporary folder,
// and belongs to one test process: a shell that holds the other end of a pipe ends the server and removes
// its files when that process is gone, even if it was killed. A missing program fails the test with the
// line that installs it; nothing is skipped.
//
// Only tests import this package.
package testenv

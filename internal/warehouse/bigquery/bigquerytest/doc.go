// Package bigquerytest is a double of BigQuery for tests: its REST API over HTTP, with loads, copies and queries done
// for real by DuckDB.
//
// It is kept honest by the API's own discovery document, which comes with the client library: routes are those of the
// document, and every request and every response is held to its schemas. A request that the document does not
// describe fails the test. SQL is translated for the statements that the driver renders and for simple models; what
// the translation does not know is refused, never guessed.
//
// Faults make requests and jobs fail as the real service's do: see Fault.
package bigquerytest

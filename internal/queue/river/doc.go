// Package river is the work queue of many machines: jobs of River on the PostgreSQL server of the ledger, in a schema of
// their own beside the ledger's. A job holds a step's ID and nothing else. It may be lost, come twice or come late: the
// ledger's lease with its fence decides who does a step, and the next sweep enqueues again whatever the ledger says is due.
// So no job is ever tried again by River itself, and none is kept for long.
//
// There is a queue for each kind of step, so that a machine can work at some kinds alone.
package river

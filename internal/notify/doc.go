// Package notify tells people of incidents: it takes messages from the ledger's outbox and brings them to Slack and to
// webhooks, and runs from its events to an OpenLineage endpoint.
//
// Each destination has a sender of its own, so that one that is away holds up no other, and nothing that works on the
// night waits for any. A message is claimed, sent and recorded, one after the other; a sender that dies in between
// leaves it to be sent again under the same Idempotency-Key. A destination's address is a secret: it is known to this
// package alone, and appears in no error, no log and no ledger.
package notify

// Package status is the service that ends the question "is my data ready?": an API for jobs, and pages
// for people, both saying the same thing because both are made from the same board.
//
// A feed polls the ledger's revision and keeps one snapshot: the facts of the last ninety days, the
// status that [elt.NewBoard] derives from them, and what follows for each dataset. A request reads the
// snapshot and never waits for the ledger, so a thousand pollers cost the ledger what one does. When
// the ledger is away the last snapshot is still served with its age; once it is too old to vouch for
// anything, pages turn grey and gates answer 503.
//
// Nothing here writes. Every route is in one table (routes.go) with who calls it, and every one needs
// the token unless the service was made public or the route is on the short list of open ones.
package status

package elt

import "time"

// Backup is what a backup of the ledger holds.
type Backup struct {
	Schema   int64     `json:"schema"` // the number of the ledger's last migration
	TakenAt  time.Time `json:"taken_at"`
	Tables   int       `json:"tables"`
	Rows     int64     `json:"rows"`
	Runs     int64     `json:"runs"`
	Versions int64     `json:"versions"`
	Events   int64     `json:"events"`
}

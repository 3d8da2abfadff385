package api

import "github.com/daybreak-data/daybreak/internal/elt"

// BackfillPlan is what a backfill would do.
type BackfillPlan struct {
	Request   elt.BackfillRequest        `json:"request"`
	Days      int                        `json:"days"`  // that it would bring
	Dates     int                        `json:"dates"` // on which it would bring some
	Counts    map[elt.BackfillAction]int `json:"counts"`
	Estimate  elt.Estimate               `json:"estimate"`
	Spans     []elt.BackfillSpan         `json:"spans"`      // days of a dataset in a row that are treated alike
	PlanToken elt.PlanToken              `json:"plan_token"` // with which this very plan is started
}

// Backfills is a page of backfills, the latest first.
type Backfills struct {
	Meta
	Backfills []elt.Backfill `json:"backfills"`
	Next      string         `json:"next,omitempty"` // cursor of the following page
}

// Backfill is one backfill with its progress.
type Backfill struct {
	Meta
	Backfill elt.Backfill `json:"backfill"`
}

// BackfillDays is a page of a backfill's days, in the order in which they are brought.
type BackfillDays struct {
	Meta
	Days []elt.BackfillDay `json:"days"`
	Next string            `json:"next,omitempty"` // cursor of the following page
}

package elt

import "time"

// RemarkID identifies a remark.
type RemarkID string

// Remark is what a person says: of an incident while they look after it, or pinned on a dataset or on one of its days.
type Remark struct {
	ID       RemarkID    `json:"id"`
	At       time.Time   `json:"at"`
	Actor    string      `json:"actor"`
	Text     string      `json:"text"`
	Incident IncidentID  `json:"incident,omitempty"` // or Dataset
	Dataset  DatasetName `json:"dataset,omitempty"`
	Date     Date        `json:"date,omitzero"` // of one day alone; zero: of the dataset
}

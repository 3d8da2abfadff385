package elt

import "time"

// WorkerSilence is after how long without a sign of life a worker counts as gone.
const WorkerSilence = 30 * time.Second

// Worker is a process that works, as the ledger knows it.
type Worker struct {
	ID        WorkerID   `json:"id"`
	Host      string     `json:"host"`
	Process   int        `json:"process"` // its number on that host
	Command   string     `json:"command"` // "serve" or "worker"
	Version   string     `json:"version"`
	Kinds     []StepKind `json:"kinds"` // of step that it works at
	Threads   int        `json:"threads"`
	StartedAt time.Time  `json:"started_at"`
	SeenAt    time.Time  `json:"seen_at"`
	Leads     bool       `json:"leads"` // it decides about ticks, and carries runs forward
	Alive     bool       `json:"alive"` // it was seen lately, by the ledger's clock
	Steps     []StepID   `json:"steps"` // that it holds now
}

// StepKinds returns every kind of step, in the order in which a dataset meets them.
func StepKinds() []StepKind {
	return []StepKind{ExtractStep, LoadStep, VerifyStep, TransformStep, TestStep, PublishStep}
}

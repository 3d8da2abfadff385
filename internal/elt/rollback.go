package elt

import "encoding/json"

// Rollback is what going back to an earlier version of a dataset would do.
type Rollback struct {
	Dataset DatasetName   `json:"dataset"`
	Current Version       `json:"current"` // what people read
	Target  Version       `json:"target"`  // what they would read
	Lost    []Date        `json:"lost"`    // days that nothing is published of any more
	Feeds   []DatasetName `json:"feeds"`   // what is made from it; what reads it directly will be outdated
	// Versions are all that there are to go back to or forward to, the last published first.
	Versions []Version `json:"versions"`
	// Begun is the run that has brought the target back and has not ended, because it was interrupted.
	Begun RunID `json:"-"`
}

// Nothing reports whether people read the target already, and nothing is left to do.
func (r Rollback) Nothing() bool {
	return r.Begun == "" && (r.Target.ID == r.Current.ID || r.Target.ID == r.Current.Restores)
}

// Digest is of all that the rollback would do: whoever has looked at a plan and confirms another one shows it by this.
func (r Rollback) Digest() (Digest, error) {
	r.Versions = nil
	b, err := json.Marshal(r)
	return DigestOf(string(b)), err
}

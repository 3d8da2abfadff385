package elt

import "slices"

// Chain returns the versions that a dataset's published content was made from, oldest first: its last one that began
// anew (a whole table, or a first load), and each that was merged into it since. A version that restores another one
// continues what that one was made from. versions are those of one dataset, in any order. anew says which of them began
// anew; it is asked from the newest on, until it says yes. The chain is empty when none does.
func Chain(versions []Version, anew func(Version) (bool, error)) ([]Version, error) {
	versions = slices.SortedFunc(slices.Values(versions), func(a, b Version) int { return a.PublishedAt.Compare(b.PublishedAt) })
	lines := make(map[VersionID][]Version, len(versions)) // of each version; they share what they have in common
	var line []Version
	for _, v := range versions {
		if v.Restores != "" {
			line = lines[v.Restores]
		} else {
			line = append(slices.Clip(line), v)
		}
		lines[v.ID] = line
	}
	for i, v := range slices.Backward(line) {
		if begins, err := anew(v); err != nil || begins {
			return line[i:], err
		}
	}
	return nil, nil
}

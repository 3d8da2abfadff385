package elt

import "slices"

// Chain returns the versions that a dataset's published content was made from, oldest first: its last one that began
// anew (a whole table, or a first load), and each that was merged into it since. A version that restores another one
// continues what that one was made from. versions are those of one dataset, in any order; anew says which of them began
// anew. The chain is empty when a version restores one that is not among them.
func Chain(versions []Version, anew func(Version) bool) []Version {
	versions = slices.SortedFunc(slices.Values(versions), func(a, b Version) int { return a.PublishedAt.Compare(b.PublishedAt) })
	chains := make(map[VersionID][]Version, len(versions)) // of each version; they share what they have in common
	var chain []Version
	for _, v := range versions {
		switch {
		case v.Restores != "":
			chain = chains[v.Restores]
		case anew(v):
			chain = []Version{v}
		default:
			chain = append(slices.Clip(chain), v)
		}
		chains[v.ID] = chain
	}
	return chain
}

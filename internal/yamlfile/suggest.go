package yamlfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Suggest returns the advice for a name that is not among the known ones: "did you mean "table"?", or what
// there is to choose from.
func Suggest(name string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	if best := elt.Closest(name, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	sorted := slices.Sorted(slices.Values(known))
	const most = 20
	if len(sorted) > most {
		return fmt.Sprintf("known are %s and %d more", strings.Join(sorted[:most], ", "), len(sorted)-most)
	}
	return "known are " + strings.Join(sorted, ", ")
}

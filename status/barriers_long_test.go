//go:build long

package status

import "github.com/daybreak-data/daybreak/internal/testenv"

// looks are the views in which axe-core looks at each page: all of them.
func looks() []testenv.View { return testenv.Views() }

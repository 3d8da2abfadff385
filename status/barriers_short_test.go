//go:build !long

package status

import "github.com/daybreak-data/daybreak/internal/testenv"

// looks are the views in which axe-core looks at each page: a light desk and a dark phone. The build tag long has it look at a
// dark desk and a light phone too.
func looks() []testenv.View {
	all := testenv.Views()
	return []testenv.View{all[0], all[3]}
}

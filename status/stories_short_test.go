//go:build !long

package status_test

// stories is how many random histories are told.
const stories = 4

//go:build long

package status_test

const stories = 60

//go:build !long

package property

const seed = "20261122"

//go:build long

package property

const seed = "0" // another one each time
